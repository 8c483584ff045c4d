// Reading side of the test registry: which repository has what, manifests, tags, referrers, blobs with Range.
import { createHash } from "node:crypto";
import type { Blobs } from "./blobs.ts";
import { answerBytes, answerError, answerJson, answerStream, type Exchange } from "./exchange.ts";
import type { RegistryOptions } from "./server.ts";

const OCI_INDEX = "application/vnd.oci.image.index.v1+json";

interface StoredManifest {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}

interface Repository {
  readonly tags: Map<string, string>;
  readonly manifests: Map<string, StoredManifest>;
  readonly blobs: Set<string>;
}

interface ManifestBody {
  readonly config?: { readonly digest: string; readonly mediaType: string };
  readonly layers?: readonly {
    readonly digest: string;
    readonly mediaType: string;
    readonly urls?: readonly string[];
  }[];
  readonly manifests?: readonly { readonly digest: string }[];
  readonly subject?: { readonly digest: string };
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** All repositories of one registry. */
export class Repositories {
  readonly #blobs: Blobs;
  readonly #options: RegistryOptions;
  readonly #repositories = new Map<string, Repository>();

  constructor(blobs: Blobs, options: RegistryOptions) {
    this.#blobs = blobs;
    this.#options = options;
  }

  link(name: string, digest: string): void {
    this.#repository(name).blobs.add(digest);
  }

  isLinked(name: string, digest: string): boolean {
    return this.#repositories.get(name)?.blobs.has(digest) ?? false;
  }

  put(name: string, tag: string | undefined, bytes: Uint8Array, mediaType: string, algorithm = "sha256"): string {
    const digest = `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
    const repository = this.#repository(name);
    repository.manifests.set(digest, { bytes, mediaType });
    if (tag !== undefined) repository.tags.set(tag, digest);
    return digest;
  }

  manifest(name: string, reference: string): (StoredManifest & { readonly digest: string }) | undefined {
    const repository = this.#repositories.get(name);
    const digest = reference.includes(":") ? reference : repository?.tags.get(reference);
    const found = digest === undefined ? undefined : repository?.manifests.get(digest);
    return found && digest !== undefined ? { ...found, digest } : undefined;
  }

  async answerManifest(exchange: Exchange, name: string, reference: string): Promise<void> {
    const { method } = exchange.request;
    if (method === "PUT") return this.#putManifest(exchange, name, reference);
    if (method === "DELETE") return this.#deleteManifest(exchange, name, reference);
    if (method === "HEAD" && this.#options.refusesHead === true)
      return answerError(exchange, 405, "UNSUPPORTED", "HEAD is not supported");
    const found = this.manifest(name, reference);
    if (!found) return answerError(exchange, 404, "MANIFEST_UNKNOWN", "manifest unknown");
    const digest = this.#options.hidesDigest === true ? {} : { "docker-content-digest": found.digest };
    answerBytes(exchange, 200, { "content-type": found.mediaType, ...digest }, found.bytes);
  }

  async answerBlob(exchange: Exchange, name: string, digest: string): Promise<void> {
    const { request, fault } = exchange;
    const size = this.isLinked(name, digest) ? await this.#blobs.size(digest) : undefined;
    if (size === undefined) return answerError(exchange, 404, "BLOB_UNKNOWN", "blob unknown to registry");
    if (request.method === "DELETE") {
      this.#repository(name).blobs.delete(digest);
      return answerJson(exchange, 202, {});
    }
    const headers = {
      "content-type": "application/octet-stream",
      "docker-content-digest": digest,
      "accept-ranges": "bytes",
    };
    if (request.method === "HEAD") return answerHead(exchange, { ...headers, "content-length": String(size) });
    if (this.#options.redirectBlob)
      return answerBytes(exchange, 307, { location: this.#options.redirectBlob(digest) }, Buffer.alloc(0));
    const end = fault?.kind === "truncate" ? fault.size : size;
    const range = this.#options.ignoresRange === true ? null : /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const start = Number(range?.[1] ?? 0);
    const stop = range?.[2] ? Math.min(end, Number(range[2]) + 1) : end;
    if (start > stop) return answerError(exchange, 416, "RANGE_INVALID", "range is not satisfiable");
    const length = { "content-length": String(stop - start) };
    const part = range ? { "content-range": `bytes ${start}-${stop - 1}/${end}` } : {};
    await answerStream(
      exchange,
      range ? 206 : 200,
      { ...headers, ...length, ...part },
      this.#blobs.read(digest, start, stop),
    );
  }

  answerTags(exchange: Exchange, name: string): void {
    const repository = this.#repositories.get(name);
    if (!repository) return answerError(exchange, 404, "NAME_UNKNOWN", "repository name not known to registry");
    const { searchParams } = exchange.url;
    const last = searchParams.get("last") ?? "";
    const tags = [...repository.tags.keys()].toSorted().filter((tag) => tag > last);
    answerJson(exchange, 200, { name, tags: tags.slice(0, Number(searchParams.get("n") ?? tags.length)) });
  }

  answerReferrers(exchange: Exchange, name: string, subject: string): void {
    if (this.#options.hidesReferrers === true) return answerError(exchange, 404, "UNSUPPORTED", "no referrers API");
    const wanted = exchange.url.searchParams.get("artifactType");
    const manifests = [...(this.#repositories.get(name)?.manifests ?? [])].flatMap(([digest, { bytes, mediaType }]) => {
      const body = parse(bytes);
      const artifactType = body?.artifactType ?? body?.config?.mediaType;
      if (body?.subject?.digest !== subject || (wanted !== null && wanted !== artifactType)) return [];
      return [{ mediaType, digest, size: bytes.length, artifactType, annotations: body.annotations }];
    });
    const filters = wanted === null ? {} : { "oci-filters-applied": "artifactType" };
    answerJson(
      exchange,
      200,
      { schemaVersion: 2, mediaType: OCI_INDEX, manifests },
      { "content-type": OCI_INDEX, ...filters },
    );
  }

  async #putManifest(exchange: Exchange, name: string, reference: string): Promise<void> {
    const { request, entry } = exchange;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const bytes = Buffer.concat(chunks);
    entry.bytesIn += bytes.length;
    const body = parse(bytes);
    if (body === undefined) return answerError(exchange, 400, "MANIFEST_INVALID", "not JSON");
    const missing = this.#missing(name, body);
    if (missing !== undefined) return answerError(exchange, 404, "MANIFEST_BLOB_UNKNOWN", `unknown: ${missing}`);
    const isDigest = reference.includes(":");
    const algorithm = isDigest ? reference.split(":")[0]! : "sha256";
    const actual = `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
    if (isDigest && actual !== reference) return answerError(exchange, 400, "DIGEST_INVALID", "digest does not match");
    const digest = this.put(
      name,
      isDigest ? undefined : reference,
      bytes,
      request.headers["content-type"] ?? "",
      algorithm,
    );
    const subject = body.subject && this.#options.hidesReferrers !== true ? { "oci-subject": body.subject.digest } : {};
    const location = `/v2/${name}/manifests/${digest}`;
    answerBytes(exchange, 201, { location, "docker-content-digest": digest, ...subject }, Buffer.alloc(0));
  }

  #deleteManifest(exchange: Exchange, name: string, reference: string): void {
    const repository = this.#repositories.get(name);
    if (!repository?.manifests.delete(reference) && !repository?.tags.delete(reference))
      return answerError(exchange, 404, "MANIFEST_UNKNOWN", "manifest unknown");
    for (const [tag, digest] of repository.tags) if (digest === reference) repository.tags.delete(tag);
    answerJson(exchange, 202, {});
  }

  /** Everything that a manifest names must be there first: this is what makes push order testable. */
  #missing(name: string, { config, layers = [], manifests = [] }: ManifestBody): string | undefined {
    const isThere = ({ digest, urls }: { digest: string; urls?: readonly string[] }): boolean =>
      (urls?.length ?? 0) > 0 || this.isLinked(name, digest);
    const blob = [...(config ? [config] : []), ...layers].find((descriptor) => !isThere(descriptor));
    const child = manifests.find(({ digest }) => this.manifest(name, digest) === undefined);
    return (blob ?? child)?.digest;
  }

  #repository(name: string): Repository {
    let repository = this.#repositories.get(name);
    if (!repository) {
      repository = { tags: new Map(), manifests: new Map(), blobs: new Set() };
      this.#repositories.set(name, repository);
    }
    return repository;
  }
}

function answerHead(exchange: Exchange, headers: Readonly<Record<string, string>>): void {
  answerBytes(exchange, 200, headers, Buffer.alloc(0));
}

function parse(bytes: Uint8Array): ManifestBody | undefined {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8")) as ManifestBody;
  } catch {
    return undefined;
  }
}
