// `--cache-from` and `--cache-to`: `type=registry,ref=…`, or just a reference (reference G01–G09). What is not built refuses here.
import { resolve } from "node:path";
import { BuildError, suggest, type CacheLocation, type CacheSource, type CacheTarget } from "../index.ts";
import { CacheAttributes } from "./cache-attributes.ts";
import { csvAttributes, type Attribute } from "./csv.ts";
import { compressionLevel, compressionOf } from "./output-spec.ts";
import { GHA_KEYS, ghaLocation } from "./cache-gha.ts";
import { S3_KEYS, S3_TARGET_KEYS, s3Location } from "./cache-s3.ts";
import { parseSize, type Environment } from "./values.ts";

export interface CacheWorld {
  readonly cwd: string;
  readonly environment: Environment;
}

const TYPES = ["registry", "local", "inline", "s3", "gha"];

const LOCATION_KEYS: Readonly<Record<string, readonly string[]>> = {
  registry: ["ref", "registry.insecure"],
  local: [],
  s3: S3_KEYS,
  gha: GHA_KEYS,
};
const SOURCE_KEYS: Readonly<Record<string, readonly string[]>> = { local: ["src", "digest", "tag"] };
const TARGET_KEYS: Readonly<Record<string, readonly string[]>> = {
  registry: ["image-manifest", "oci-mediatypes"],
  local: ["dest", "tag", "image-manifest", "oci-mediatypes", "reset"],
  s3: S3_TARGET_KEYS,
};
const COMMON_TARGET_KEYS = [
  "mode",
  "ignore-error",
  "compression",
  "compression-level",
  "force-compression",
  "keep",
  "max-size",
  "skip-cheap",
  "mounts",
];

/** One `--cache-from`: several references may stand in one, with commas. */
export function parseCacheFrom(text: string, world: CacheWorld): CacheSource[] {
  return specsOf("--cache-from", text).map((spec) => {
    if (spec.type === "inline")
      throw new BuildError("usage", "--cache-from type=inline names no image", {
        help: "an inline cache is read with type=registry,ref=IMAGE",
      });
    spec.refuseUnknown([...(LOCATION_KEYS[spec.type] ?? []), ...(SOURCE_KEYS[spec.type] ?? [])]);
    return { location: locationOf(spec, "src", world) };
  });
}

/** One `--cache-to`; "inline" = into the image itself. */
export function parseCacheTo(text: string, world: CacheWorld): (CacheTarget | "inline")[] {
  return specsOf("--cache-to", text).map((spec) => {
    if (spec.type === "inline") return inlineOf(spec);
    spec.refuseUnknown([...(LOCATION_KEYS[spec.type] ?? []), ...(TARGET_KEYS[spec.type] ?? []), ...COMMON_TARGET_KEYS]);
    return targetOf(spec, world);
  });
}

/** An image has its own layers only. */
function inlineOf(spec: CacheAttributes): "inline" {
  spec.refuseUnknown(["mode"]);
  const mode = spec.text("mode") ?? "min";
  if (mode === "min") return "inline";
  throw new BuildError("usage", `--cache-to type=inline knows no mode ${JSON.stringify(mode)}`, {
    help: "an image can only hold the cache of its own layers: use type=registry for mode=max",
  });
}

function targetOf(spec: CacheAttributes, world: CacheWorld): CacheTarget {
  const location = locationOf(spec, "dest", world);
  const mode = spec.text("mode") ?? "min";
  if (mode !== "min" && mode !== "max")
    throw new BuildError("usage", `invalid mode ${JSON.stringify(mode)} for ${spec.flag}`, { help: "min or max" });
  const compression = compressionOf(spec.text("compression"));
  const level = compressionLevel(compression, spec.text("compression-level"));
  const ociMediaTypes = spec.flagOf("oci-mediatypes", true);
  const imageManifest = spec.flagOf("image-manifest", true);
  if (imageManifest && !ociMediaTypes)
    throw new BuildError(
      "usage",
      "invalid configuration for remote cache, OCI mediatypes are required for image-manifest cache format",
      { help: "write image-manifest=false as well" },
    );
  if (compression === "zstd" && !ociMediaTypes)
    throw new BuildError("usage", 'cache option "compression=zstd" conflicts with "oci-mediatypes=false"');
  const keep = spec.count("keep");
  const maxSize = spec.text("max-size");
  return {
    location,
    mode,
    isErrorIgnored: spec.flagOf("ignore-error", true),
    compression,
    ...(level === undefined ? {} : { compressionLevel: level }),
    forceCompression: spec.flagOf("force-compression", false),
    imageManifest,
    ociMediaTypes,
    ...(keep === undefined ? {} : { keep }),
    ...(maxSize === undefined ? {} : { maxSize: parseSize("max-size", maxSize) }),
    skipsCheap: spec.flagOf("skip-cheap", true),
    mounts: spec.flagOf("mounts", false),
    reset: spec.flagOf("reset", false),
  };
}

function locationOf(spec: CacheAttributes, directory: "src" | "dest", world: CacheWorld): CacheLocation {
  switch (spec.type) {
    case "registry": {
      const ref = spec.text("ref");
      if (ref === undefined)
        throw new BuildError("usage", `${spec.flag} type=registry: missing ref`, { help: "add ref=REGISTRY/NAME:TAG" });
      return { kind: "registry", ref, isInsecure: spec.flagOf("registry.insecure", false) };
    }
    case "s3":
      return s3Location(spec, world.environment);
    case "gha":
      return ghaLocation(spec, world.environment);
    default: {
      const path = spec.text(directory);
      if (path === undefined)
        throw new BuildError("usage", `${spec.flag} type=local: missing ${directory}`, {
          help: `add ${directory}=DIRECTORY`,
        });
      const digest = spec.digest("digest");
      return {
        kind: "local",
        path: resolve(world.cwd, path),
        tag: spec.text("tag") ?? "latest",
        ...(digest === undefined ? {} : { digest }),
      };
    }
  }
}

function specsOf(flag: string, text: string): CacheAttributes[] {
  const attributes = csvAttributes(text);
  // Fields without "=" are references (G08).
  if (attributes.every(({ value }) => value === undefined))
    return attributes.map(({ key }) => new CacheAttributes(flag, "registry", new Map([["ref", key]])));
  const given = new Map(attributes.map(({ key, value }) => [key, requireValue(flag, key, value)]));
  const type = given.get("type");
  given.delete("type");
  if (type === undefined)
    throw new BuildError("usage", `${flag} ${text}: type is required`, { help: `one of ${TYPES.join(", ")}` });
  if (type === "azblob")
    throw new BuildError("unsupported", `${flag} type=azblob is not built`, { help: "use registry, local, s3 or gha" });
  if (!TYPES.includes(type)) {
    const near = suggest(type, TYPES);
    throw new BuildError("usage", `unknown cache type ${JSON.stringify(type)} in ${flag}`, {
      help: near === undefined ? `one of ${TYPES.join(", ")}` : `did you mean "${near}"?`,
    });
  }
  return [new CacheAttributes(flag, type, given)];
}

function requireValue(flag: string, key: string, value: Attribute["value"]): string {
  if (value === undefined) throw new BuildError("usage", `${flag}: invalid field '${key}' must be a key=value pair`);
  return value;
}
