// `config.json` in the store's directory: what holds for every build that uses this store, whoever starts it. Read when a build begins to write.
import { join } from "node:path";
import { readFileIfExists } from "../base/fs-atomic.ts";
import { parseBytes } from "../base/size-text.ts";
import { BuildError } from "../diagnostics/build-error.ts";

export interface StoreSettings {
  /** Bytes that everything below the store's root may take. Written as bytes or as `20g`. */
  readonly cacheMaxSize?: number;
}

/** The settings of the store at `root`; none where there is no file. Fails with "store" where the file says what is not understood: a ceiling must not get lost in a typo. */
export function readSettings(root: string): StoreSettings {
  const path = join(root, "config.json");
  const bytes = readFileIfExists(path);
  if (!bytes) return {};
  const settings = parseObject(bytes.toString("utf8"), path);
  const unknown = Object.keys(settings).find((key) => key !== "cacheMaxSize");
  if (unknown !== undefined) throw wrong(path, `unknown setting ${JSON.stringify(unknown)}`);
  const { cacheMaxSize: value } = settings;
  if (value === undefined) return {};
  const size = typeof value === "number" ? value : typeof value === "string" ? parseBytes(value) : undefined;
  if (size === undefined || !Number.isSafeInteger(size) || size <= 0)
    throw wrong(path, `"cacheMaxSize" is no size: ${JSON.stringify(value)}`);
  return { cacheMaxSize: size };
}

function parseObject(text: string, path: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Said below, as for any other text that is no object.
  }
  throw wrong(path, "it is no JSON object");
}

function wrong(path: string, reason: string): BuildError {
  return new BuildError("store", `cannot read the settings in ${path}: ${reason}`, {
    help: 'write {"cacheMaxSize": "20g"}, or remove the file',
  });
}
