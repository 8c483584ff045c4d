// `-o/--output`, `--push`, `--load`: what to make of a result (reference 4.1, U14).
import { resolve } from "node:path";
import { BuildError, suggest, type Compression, type ImageOutputOptions, type OutputSpec } from "../index.ts";
import { booleanAttribute, csvAttributes, csvFields } from "./csv.ts";

const IMAGE_KEYS = [
  "name",
  "compression",
  "compression-level",
  "force-compression",
  "oci-mediatypes",
  "oci-artifact",
  "rewrite-timestamp",
  "source-date-epoch",
  "prefer-nondist-layers",
  "compatibility-version",
  "push-by-digest",
  "name-canonical",
  "registry.insecure",
];
const STORE_KEYS = ["unpack", "store", "dangling-name-prefix", "danging-name-empty-only"];
const KEYS: Readonly<Record<string, readonly string[]>> = {
  image: [...IMAGE_KEYS, ...STORE_KEYS, "push"],
  registry: [...IMAGE_KEYS, ...STORE_KEYS],
  oci: [...IMAGE_KEYS, "dest", "tar"],
  docker: [...IMAGE_KEYS, "dest", "context"],
  local: ["dest", "mode", "platform-split", "source-date-epoch"],
  tar: ["dest", "platform-split", "source-date-epoch"],
  cacheonly: [],
};
/** What speaks of attestations, which we do not make yet. */
const LATER = ["attestation-inline", "attestation-prefix"];
/** What makes the digests that we make (E30). */
const COMPATIBILITY_VERSION = "30";

const PLAIN = { isStored: true, isUnpacked: false } as const;

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
    else specs.push({ kind: "image", push: true, ...PLAIN, names: [], image: base });
  }
  if (flags.load && !specs.some((spec) => spec.kind === "docker")) {
    specs.push({ kind: "docker", names: [], image: { ...base, ociMediaTypes: false } });
  }
  if (specs.length === 0) specs.push({ kind: "image", push: false, ...PLAIN, names: [], image: base });
  const isPushed = specs.some((spec) => spec.kind === "image" && spec.push && spec.names.length === 0);
  if (isPushed && flags.tags.length === 0) {
    throw new BuildError("usage", "tag is needed when pushing to registry", {
      summary: "a push needs a name for the image",
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
      collected[
        `${annotation[1] ?? "manifest"}${annotation[2] === undefined ? "" : `[${annotation[2]}]`}:${annotation[3]}`
      ] = value ?? "";
    else attributes.set(key, value);
  }
  const merged = mergeAnnotations(
    annotations,
    parseAnnotations(Object.entries(collected).map(([key, value]) => `${key}=${value}`)),
  );
  const type = attributes.get("type");
  if (type === undefined) throw new BuildError("usage", `type is required for output ${JSON.stringify(text)}`);
  const known = KEYS[type];
  if (!known) throw new BuildError("usage", `unknown output type ${JSON.stringify(type)}`, { help: typesFor(type) });
  attributes.delete("type");
  for (const key of attributes.keys()) {
    if (LATER.includes(key))
      throw new BuildError("unsupported", `output option ${key} is not built yet: tsbuild makes no attestations`, {
        help: "leave it out",
      });
    if (!known.includes(key))
      throw new BuildError("usage", `unknown option ${JSON.stringify(key)} for output type ${type}`, {
        help: `known: ${known.join(", ")}`,
      });
  }
  return outputOf(type, attributes, flags, imageOptions(attributes, merged));
}

/** What each type makes. */
const MADE: Readonly<Record<string, string>> = {
  image: "in tsbuild's store",
  registry: "in a registry",
  oci: "an image archive",
  docker: "an archive for docker load",
  local: "the files of the image, in a directory",
  tar: "the files of the image, in a tar",
  cacheonly: "nothing",
};

/** The types for somebody who wrote `type`. */
function typesFor(type: string): string {
  const types = Object.keys(MADE);
  const near = types.find((one) => type.startsWith(one)) ?? suggest(type, types);
  const others = types.filter((one) => one !== near);
  if (near === undefined) return `one of ${others.map((one) => `${one} (${MADE[one]})`).join(", ")}`;
  return `did you mean type=${near} (${MADE[near]})? The others: ${others.join(", ")}`;
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
        ...storeOptions(attributes, image),
        names,
        image,
      };
    case "registry":
      return { kind: "image", push: true, ...storeOptions(attributes, image), names, image };
    case "oci": {
      if (!image.ociMediaTypes)
        throw new BuildError("usage", 'exporter option "oci-mediatypes=false" conflicts with type=oci');
      const tar = !attributes.has("tar") || booleanAttribute("tar", attributes.get("tar"));
      return { kind: "oci", dest: tar ? (path ?? "-") : needsDest(), tar, names, image };
    }
    case "docker":
      return dockerOutput(path, attributes, names, image);
    case "local":
      return { kind: "local", dest: needsDest(), ...modeOf(path, attributes), ...epochOf(attributes) };
    case "tar":
      isSplit(attributes);
      return { kind: "tar", dest: path ?? "-", ...epochOf(attributes) };
    default:
      return { kind: "cacheonly" };
  }
}

function dockerOutput(
  dest: string | undefined,
  attributes: ReadonlyMap<string, string | undefined>,
  names: readonly string[],
  image: ImageOutputOptions,
): OutputSpec {
  // Some compressions exist in OCI's types only, so they bring those with them.
  const isOnlyOci = image.isSeekable || image.compression === "zstd";
  const ociMediaTypes = (attributes.has("oci-mediatypes") || isOnlyOci) && image.ociMediaTypes;
  const context = attributes.get("context");
  if (context !== undefined && dest !== undefined)
    throw new BuildError(
      "usage",
      "output options dest and context exclude each other: a file, or a docker to load into",
    );
  return {
    kind: "docker",
    ...(dest === undefined ? {} : { dest }),
    ...(context === undefined ? {} : { context }),
    names,
    image: { ...image, ociMediaTypes },
  };
}

function modeOf(
  dest: string | undefined,
  attributes: ReadonlyMap<string, string | undefined>,
): Pick<Extract<OutputSpec, { kind: "local" }>, "mode" | "isSplit"> {
  if (dest === "-") throw new BuildError("usage", "a local output needs a directory, not -");
  const mode = attributes.get("mode") ?? "copy";
  const split = isSplit(attributes) ? ({ isSplit: true } as const) : {};
  if (mode === "delete" && split.isSplit)
    throw new BuildError("unsupported", "mode=delete with platform-split=true is not built yet", {
      help: "leave platform-split out: one platform needs no directory of its own",
    });
  if (mode === "copy" || mode === "delete") return { mode, ...split };
  throw new BuildError("usage", `invalid mode ${JSON.stringify(mode)} for local output`, { help: "copy or delete" });
}

/** `store`, `unpack` and the name of an image without one (E01). */
function storeOptions(
  attributes: ReadonlyMap<string, string | undefined>,
  { rewriteTimestamp }: ImageOutputOptions,
): Pick<Extract<OutputSpec, { kind: "image" }>, "isStored" | "isUnpacked" | "dangling"> {
  const flag = (key: string, otherwise: boolean): boolean =>
    attributes.has(key) ? booleanAttribute(key, attributes.get(key)) : otherwise;
  const isUnpacked = flag("unpack", false);
  if (isUnpacked && rewriteTimestamp)
    throw new BuildError("usage", 'exporter option "rewrite-timestamp" conflicts with "unpack"', {
      help: "leave one of them out: the layers that are unpacked have the times that they were made with",
    });
  const prefix = attributes.get("dangling-name-prefix") ?? "";
  const isForUnnamed = flag("danging-name-empty-only", false);
  return {
    isStored: flag("store", true),
    isUnpacked,
    ...(prefix === "" ? {} : { dangling: { prefix, isForUnnamed } }),
  };
}

/** Of one platform BuildKit heeds it for a directory, and not for a tar; more are refused elsewhere. */
function isSplit(attributes: ReadonlyMap<string, string | undefined>): boolean {
  return attributes.has("platform-split") && booleanAttribute("platform-split", attributes.get("platform-split"));
}

/** `source-date-epoch`: an output's own time; empty = none, whatever the build has (E26). */
function epochOf(attributes: ReadonlyMap<string, string | undefined>): { readonly epoch?: number | null } {
  if (!attributes.has("source-date-epoch")) return {};
  const text = attributes.get("source-date-epoch") ?? "";
  if (text === "") return { epoch: null };
  if (!/^[+-]?\d+$/.test(text))
    throw new BuildError("usage", `invalid source-date-epoch: ${text}`, {
      help: "give seconds since 1970 as a whole number, or nothing for no time",
    });
  return { epoch: Number(text) };
}

function imageOptions(
  attributes: ReadonlyMap<string, string | undefined>,
  annotations: Annotations,
): ImageOutputOptions {
  const flag = (key: string, otherwise: boolean): boolean =>
    attributes.has(key) ? booleanAttribute(key, attributes.get(key)) : otherwise;
  const ociMediaTypes = flag("oci-mediatypes", true);
  checkCompatibility(attributes.get("compatibility-version"));
  if (attributes.has("oci-artifact") && flag("oci-artifact", true) && !ociMediaTypes)
    throw new BuildError("usage", 'exporter option "oci-artifact=true" conflicts with "oci-mediatypes=false"');
  const written = attributes.get("compression");
  const isSeekable = written === "estargz";
  const compression = isSeekable ? "gzip" : compressionOf(written);
  if ((compression === "zstd" || isSeekable) && !ociMediaTypes)
    throw new BuildError("usage", `exporter option "compression=${written}" conflicts with "oci-mediatypes=false"`);
  if (!ociMediaTypes && Object.keys(annotations.manifest).length > 0) {
    throw new BuildError("usage", 'cannot export annotations with "oci-mediatypes=false"');
  }
  const level = compressionLevel(compression, attributes.get("compression-level"));
  return {
    ociMediaTypes,
    compression,
    ...(level === undefined ? {} : { compressionLevel: level }),
    isSeekable,
    forceCompression: flag("force-compression", false),
    keepsForeignLayers: flag("prefer-nondist-layers", false),
    ...epochOf(attributes),
    rewriteTimestamp: flag("rewrite-timestamp", false),
    pushByDigest: flag("push-by-digest", false),
    nameCanonical: flag("name-canonical", false),
    insecureRegistry: flag("registry.insecure", false),
    annotations: annotations.manifest,
    descriptorAnnotations: annotations.descriptor,
    annotatedPlatforms: annotations.platforms,
  };
}

function checkCompatibility(text: string | undefined): void {
  if (text === undefined || text === COMPATIBILITY_VERSION) return;
  if (text === "10" || text === "20")
    throw new BuildError(
      "unsupported",
      `compatibility-version=${text} is not built: images are made as version 30 says`,
      {
        help: "leave it out, or write compatibility-version=30",
      },
    );
  throw new BuildError("usage", `unsupported compatibility-version ${text}`, { help: "write 30" });
}

/** How layers are compressed; gzip where nothing is said. */
export function compressionOf(text = "gzip"): Compression {
  if (text === "estargz")
    throw new BuildError("unsupported", "compression=estargz is built for outputs, not for caches", {
      help: "use gzip or zstd",
    });
  if (text === "gzip" || text === "zstd" || text === "uncompressed") return text;
  throw new BuildError("usage", `unsupported compression type ${text}`, {
    help: "one of uncompressed, gzip, zstd; for an output also estargz",
  });
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
  /** Those that some were written for. */
  readonly platforms: readonly string[];
}

/** `[TYPE[PLATFORM]:]KEY=VALUE`; the types of an index have nothing to sit on in an image of one platform (E27). */
export function parseAnnotations(texts: readonly string[]): Annotations {
  const manifest: Record<string, string> = {};
  const descriptor: Record<string, string> = {};
  const platforms: string[] = [];
  for (const text of texts) {
    const cut = text.indexOf("=");
    if (cut <= 0) throw new BuildError("usage", `invalid annotation ${JSON.stringify(text)}: expected KEY=VALUE`);
    const name = text.slice(0, cut);
    const typed = /^([a-z-]+(?:\[[A-Za-z0-9_/-]+\])?(?:,[a-z-]+(?:\[[A-Za-z0-9_/-]+\])?)*):(.+)$/.exec(name);
    const key = typed?.[2] ?? name;
    for (const part of (typed?.[1] ?? "manifest").split(",")) {
      const [, type = "", platform] = /^([a-z-]+)(?:\[(.*)\])?$/.exec(part) ?? [];
      if (platform !== undefined) platforms.push(platform);
      if (type === "manifest") manifest[key] = text.slice(cut + 1);
      else if (type === "manifest-descriptor") descriptor[key] = text.slice(cut + 1);
      else if (type === "index" || type === "index-descriptor")
        throw new BuildError("usage", "index annotations not supported for single platform export");
      else throw new BuildError("usage", `unrecognized annotation type ${type}`);
    }
  }
  return { manifest, descriptor, platforms };
}

function mergeAnnotations(a: Annotations, b: Annotations): Annotations {
  return {
    manifest: { ...a.manifest, ...b.manifest },
    descriptor: { ...a.descriptor, ...b.descriptor },
    platforms: [...a.platforms, ...b.platforms],
  };
}
