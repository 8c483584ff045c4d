// image-spec as a judge: a layout's JSON against schemas written from the specification's text, its blobs against their digests, its layers against their diffIDs.
// It shares no code with the program. Schemas: fixtures/image-spec.
import { createHash, type Hash } from "node:crypto";
import { createReadStream, existsSync, lstatSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { Ajv, type ValidateFunction } from "ajv";

const FIXTURES = new URL("../../fixtures/image-spec/", import.meta.url);

export interface JudgedDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface JudgedManifest {
  readonly mediaType: string;
  readonly config: JudgedDescriptor;
  readonly layers: readonly JudgedDescriptor[];
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface JudgedConfig {
  readonly created?: string;
  readonly architecture: string;
  readonly os: string;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly rootfs: { readonly diff_ids: readonly string[] };
  readonly history?: readonly { readonly created_by?: string; readonly empty_layer?: boolean }[];
}

export interface Judgement {
  /** What is wrong, one line each; empty = nothing. */
  readonly faults: readonly string[];
  readonly index: { readonly manifests: readonly JudgedDescriptor[] };
  /** One for each descriptor of the index. */
  readonly images: readonly { readonly manifest: JudgedManifest; readonly config: JudgedConfig }[];
}

/** Judges the OCI layout in the directory `layout`. What is so broken that nothing can be said of the rest throws. */
export async function judgeLayout(layout: string): Promise<Judgement> {
  return new LayoutJudge(layout).judge();
}

const SCHEMA_OF: Readonly<Record<string, string>> = {
  "application/vnd.oci.image.manifest.v1+json": "image-manifest.json",
  "application/vnd.docker.distribution.manifest.v2+json": "docker-manifest.json",
};

class LayoutJudge {
  readonly #layout: string;
  readonly #faults: string[] = [];
  readonly #named = new Set<string>();
  readonly #schemas: Ajv;

  constructor(layout: string) {
    this.#layout = layout;
    this.#schemas = new Ajv({ allErrors: true, strict: false });
    for (const name of readdirSync(FIXTURES))
      this.#schemas.addSchema(JSON.parse(readFileSync(new URL(name, FIXTURES), "utf8")) as object, name);
  }

  async judge(): Promise<Judgement> {
    this.#check("image-layout.json", this.#readJson("oci-layout"), "oci-layout");
    const index = this.#readJson("index.json") as Judgement["index"];
    this.#check("image-index.json", index, "index.json");
    const images: { manifest: JudgedManifest; config: JudgedConfig }[] = [];
    for (const descriptor of index.manifests) images.push(await this.#image(descriptor));
    for (const name of readdirSync(join(this.#layout, "blobs/sha256")))
      if (!this.#named.has(`sha256:${name}`)) this.#fault(`blob ${name} is named by nothing`);
    return { faults: this.#faults, index, images };
  }

  async #image(descriptor: JudgedDescriptor): Promise<{ manifest: JudgedManifest; config: JudgedConfig }> {
    const schema = SCHEMA_OF[descriptor.mediaType];
    if (schema === undefined) throw new Error(`index.json names a ${descriptor.mediaType}`);
    await this.#checkBlob(descriptor);
    const manifest = this.#readJson(blobPath(descriptor.digest)) as JudgedManifest;
    this.#check(schema, manifest, "manifest");
    if (manifest.mediaType !== descriptor.mediaType) this.#fault("the manifest's media type is not its descriptor's");
    await this.#checkBlob(manifest.config);
    const config = this.#readJson(blobPath(manifest.config.digest)) as JudgedConfig;
    this.#check("image-config.json", config, "config");
    await this.#checkLayers(manifest, config);
    return { manifest, config };
  }

  async #checkLayers({ layers }: JudgedManifest, { rootfs, history }: JudgedConfig): Promise<void> {
    const { diff_ids: diffIds } = rootfs;
    if (layers.length !== diffIds.length)
      this.#fault(`${String(layers.length)} layers but ${String(diffIds.length)} diffIDs`);
    const filled = history?.filter(({ empty_layer: isEmpty }) => isEmpty !== true).length;
    if (filled !== undefined && filled !== layers.length)
      this.#fault(`the history has ${String(filled)} entries with a layer, the image ${String(layers.length)} layers`);
    for (const [position, layer] of layers.entries()) {
      await this.#checkBlob(layer);
      const diffId = await this.#diffIdOf(layer);
      if (diffId !== diffIds[position])
        this.#fault(`layer ${String(position)} has diffID ${diffId}, the config says ${String(diffIds[position])}`);
    }
  }

  async #checkBlob({ digest, size }: JudgedDescriptor): Promise<void> {
    const path = join(this.#layout, blobPath(digest));
    this.#named.add(digest);
    if (!existsSync(path)) throw new Error(`blob ${digest} is missing`);
    if (lstatSync(path).size !== size)
      this.#fault(`blob ${digest} has ${String(lstatSync(path).size)} bytes, its descriptor says ${String(size)}`);
    const hash = createHash("sha256");
    await pipeline(createReadStream(path), sink(hash));
    const actual = `sha256:${hash.digest("hex")}`;
    if (actual !== digest) this.#fault(`blob ${digest} has digest ${actual}`);
  }

  async #diffIdOf({ digest, mediaType }: JudgedDescriptor): Promise<string> {
    const hash = createHash("sha256");
    const source = createReadStream(join(this.#layout, blobPath(digest)));
    const [, compression] = /[.+](gzip|zstd)$/.exec(mediaType) ?? [];
    try {
      if (compression === "gzip") await pipeline(source, createGunzip(), sink(hash));
      else if (compression === "zstd") await pipeline(source, createZstdDecompress(), sink(hash));
      else await pipeline(source, sink(hash));
    } catch (error) {
      return `not to be had (${(error as Error).message})`;
    }
    return `sha256:${hash.digest("hex")}`;
  }

  #readJson(path: string): unknown {
    return JSON.parse(readFileSync(join(this.#layout, path), "utf8"));
  }

  #check(schema: string, value: unknown, what: string): void {
    const validate = this.#schemas.getSchema(schema) as ValidateFunction;
    if (validate(value)) return;
    for (const { instancePath, message } of validate.errors ?? [])
      this.#fault(`${what}${instancePath} ${message ?? "is wrong"}`);
  }

  #fault(text: string): void {
    this.#faults.push(text);
  }
}

function sink(hash: Hash): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      hash.update(chunk);
      done();
    },
  });
}

function blobPath(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}
