// `-o/--output`, `--push`, `--load`: what to make of a result (reference 4.1, U14).
import { resolve } from "node:path";
import { BuildError, type Compression, type ImageOutputOptions, type OutputSpec } from "../index.ts";
import { booleanAttribute, csvAttributes, csvFields } from "./csv.ts";

const IMAGE_KEYS = [
  "name",
  "compression",
  "compression-level",
  "force-compression",
  "oci-mediatypes",
  "rewrite-timestamp",
  "push-by-digest",
  "name-canonical",
  "registry.insecure",
];
const KEYS: Readonly<Record<string, readonly string[]>> = {
  image: [...IMAGE_KEYS, "push"],
  registry: IMAGE_KEYS,
  oci: [...IMAGE_KEYS, "dest", "tar"],
  docker: [...IMAGE_KEYS, "dest", "context"],
  local: ["dest", "mode"],
  tar: ["dest"],
  cacheonly: [],
};
/** What the reference knows and we do not make yet. */
const LATER = [
  "unpack",
  "store",
  "dangling-name-prefix",
  "oci-artifact",
  "attestation-inline",
  "prefer-nondist-layers",
  "platform-split",
  "attestation-prefix",
  "source-date-epoch",
];

export interface OutputFlags {
  readonly output: readonly string[];
  readonly push: boolean;
  readonly load: boolean;
  readonly annotation: readonly string[];
  readonly tags: readonly string[];
  readonly cwd: string;
}

/** All outputs of a build. Without any it is an image in the store. */
export function parseOutputs(flags: OutputFlags): OutputSpec[] {
  const annotations = parseAnnotations(flags.annotation);
  const specs = flags.output.map((text) => parseOutput(text, flags, annotations));
  const base = imageOptions(new Map(), annotations);
  if (flags.push) {
    const existing = specs.findIndex((spec) => spec.kind === "image");
    const found = specs[existing];
    if (found?.kind === "image") specs[existing] = { ...found, push: true };
    else specs.push({ kind: "image", push: true, names: [], image: base });
  }
  if (flags.load && !specs.some((spec) => spec.kind === "docker")) {
    specs.push({ kind: "docker", names: [], image: { ...base, ociMediaTypes: false } });
  }
  if (specs.length === 0) specs.push({ kind: "image", push: false, names: [], image: base });
  const isPushed = specs.some((spec) => spec.kind === "image" && spec.push && spec.names.length === 0);
  if (isPushed && flags.tags.length === 0) {
    throw new BuildError("usage", "tag is needed when pushing to registry", {
      help: "name the image with -t REGISTRY/NAME:TAG",
    });
  }
  return specs;
}

function parseOutput(text: string, flags: OutputFlags, annotations: Annotations): OutputSpec {
  if (!text.includes("=") && !text.includes(",")) {
    return text === "-" ? { kind: "tar", dest: "-" } : { kind: "local", dest: resolve(flags.cwd, text), mode: "copy" };
  }
  const attributes = new Map<string, string | undefined>();
  const collected: Record<string, string> = {};
  for (const { key, value } of csvAttributes(text)) {
    const annotation = /^annotation(?:-([a-z-]+))?(?:\[([^\]]*)\])?\.(\S+)$/.exec(key);
    if (annotation)
      collected[annotation[1] === undefined ? `manifest:${annotation[3]}` : `${annotation[1]}:${annotation[3]}`] =
        value ?? "";
    else attributes.set(key, value);
  }
  const merged = mergeAnnotations(
    annotations,
    parseAnnotations(Object.entries(collected).map(([key, value]) => `${key}=${value}`)),
  );
  const type = attributes.get("type");
  if (type === undefined) throw new BuildError("usage", `type is required for output ${JSON.stringify(text)}`);
  const known = KEYS[type];
  if (!known)
    throw new BuildError("usage", `unknown output type ${JSON.stringify(type)}`, {
      help: `one of ${Object.keys(KEYS).join(", ")}`,
    });
  attributes.delete("type");
  for (const key of attributes.keys()) {
    if (LATER.includes(key)) throw new BuildError("unsupported", `output option ${key} is not built yet`);
    if (!known.includes(key))
      throw new BuildError("usage", `unknown option ${JSON.stringify(key)} for output type ${type}`, {
        help: `known: ${known.join(", ")}`,
      });
  }
  return outputOf(type, attributes, flags, imageOptions(attributes, merged));
}

function outputOf(
  type: string,
  attributes: ReadonlyMap<string, string | undefined>,
  flags: OutputFlags,
  image: ImageOutputOptions,
): OutputSpec {
  const names = csvFields(attributes.get("name") ?? "").filter((name) => name !== "");
  const dest = attributes.get("dest");
  const path = dest === undefined || dest === "-" ? dest : resolve(flags.cwd, dest);
  const needsDest = (): string => {
    if (path === undefined)
      throw new BuildError("usage", `dest is required for output type ${type}`, {
        help: `write type=${type},dest=PATH`,
      });
    return path;
  };
  switch (type) {
    case "image":
      return {
        kind: "image",
        push: attributes.has("push") && booleanAttribute("push", attributes.get("push")),
        names,
        image,
      };
    case "registry":
      return { kind: "image", push: true, names, image };
    case "oci": {
      if (!image.ociMediaTypes)
        throw new BuildError("usage", 'exporter option "oci-mediatypes=false" conflicts with type=oci');
      const tar = !attributes.has("tar") || booleanAttribute("tar", attributes.get("tar"));
      return { kind: "oci", dest: tar ? (path ?? "-") : needsDest(), tar, names, image };
    }
    case "docker": {
      const ociMediaTypes = attributes.has("oci-mediatypes") && image.ociMediaTypes;
      const context = attributes.get("context");
      if (context !== undefined && path !== undefined)
        throw new BuildError(
          "usage",
          "output options dest and context exclude each other: a file, or a docker to load into",
        );
      const target = { names, image: { ...image, ociMediaTypes }, ...(context === undefined ? {} : { context }) };
      return path === undefined ? { kind: "docker", ...target } : { kind: "docker", dest: path, ...target };
    }
    case "local": {
      const mode = attributes.get("mode") ?? "copy";
      if (mode !== "copy" && mode !== "delete")
        throw new BuildError("usage", `invalid mode ${JSON.stringify(mode)} for local output`, {
          help: "copy or delete",
        });
      if (path === "-") throw new BuildError("usage", "a local output needs a directory, not -");
      return { kind: "local", dest: needsDest(), mode };
    }
    case "tar":
      return { kind: "tar", dest: path ?? "-" };
    default:
      return { kind: "cacheonly" };
  }
}

function imageOptions(
  attributes: ReadonlyMap<string, string | undefined>,
  annotations: Annotations,
): ImageOutputOptions {
  const flag = (key: string, otherwise: boolean): boolean =>
    attributes.has(key) ? booleanAttribute(key, attributes.get(key)) : otherwise;
  const ociMediaTypes = flag("oci-mediatypes", true);
  const compression = compressionOf(attributes.get("compression"));
  if (compression === "zstd" && !ociMediaTypes) {
    throw new BuildError("usage", `exporter option "compression=${compression}" conflicts with "oci-mediatypes=false"`);
  }
  if (!ociMediaTypes && Object.keys(annotations.manifest).length > 0) {
    throw new BuildError("usage", 'cannot export annotations with "oci-mediatypes=false"');
  }
  const level = compressionLevel(compression, attributes.get("compression-level"));
  return {
    ociMediaTypes,
    compression,
    ...(level === undefined ? {} : { compressionLevel: level }),
    forceCompression: flag("force-compression", false),
    rewriteTimestamp: flag("rewrite-timestamp", false),
    pushByDigest: flag("push-by-digest", false),
    nameCanonical: flag("name-canonical", false),
    insecureRegistry: flag("registry.insecure", false),
    annotations: annotations.manifest,
    descriptorAnnotations: annotations.descriptor,
  };
}

/** How layers are compressed; gzip where nothing is said. */
export function compressionOf(text = "gzip"): Compression {
  if (text === "estargz")
    throw new BuildError("unsupported", "compression=estargz is not built yet", { help: "use gzip or zstd" });
  if (text === "gzip" || text === "zstd" || text === "uncompressed") return text;
  throw new BuildError("usage", `unsupported compression type ${text}`, { help: "one of uncompressed, gzip, zstd" });
}

export function compressionLevel(compression: Compression, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const level = Number(text);
  const limit = compression === "zstd" ? 22 : 9;
  if (!/^\d+$/.test(text) || level > limit) {
    throw new BuildError("usage", `compression-level ${JSON.stringify(text)} is not 0 to ${limit} for ${compression}`);
  }
  return level;
}

interface Annotations {
  readonly manifest: Readonly<Record<string, string>>;
  readonly descriptor: Readonly<Record<string, string>>;
}

/** `[TYPE[PLATFORM]:]KEY=VALUE`; the types of an index have nothing to sit on in an image of one platform (E27). */
export function parseAnnotations(texts: readonly string[]): Annotations {
  const manifest: Record<string, string> = {};
  const descriptor: Record<string, string> = {};
  for (const text of texts) {
    const cut = text.indexOf("=");
    if (cut <= 0) throw new BuildError("usage", `invalid annotation ${JSON.stringify(text)}: expected KEY=VALUE`);
    const name = text.slice(0, cut);
    const typed = /^([a-z-]+(?:\[[A-Za-z0-9_/-]+\])?(?:,[a-z-]+(?:\[[A-Za-z0-9_/-]+\])?)*):(.+)$/.exec(name);
    const key = typed?.[2] ?? name;
    for (const type of (typed?.[1] ?? "manifest").split(",").map((part) => part.replace(/\[.*$/, ""))) {
      if (type === "manifest") manifest[key] = text.slice(cut + 1);
      else if (type === "manifest-descriptor") descriptor[key] = text.slice(cut + 1);
      else if (type === "index" || type === "index-descriptor")
        throw new BuildError("usage", "index annotations not supported for single platform export");
      else throw new BuildError("usage", `unrecognized annotation type ${type}`);
    }
  }
  return { manifest, descriptor };
}

function mergeAnnotations(a: Annotations, b: Annotations): Annotations {
  return { manifest: { ...a.manifest, ...b.manifest }, descriptor: { ...a.descriptor, ...b.descriptor } };
}
