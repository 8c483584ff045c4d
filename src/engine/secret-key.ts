// What of a secret may be in a key where `cache=content` asks for it: a keyed digest. The key is this store's own, so that the digest tells nobody else which secret it was.
import { createHmac, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { isErrno } from "../base/fs-atomic.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";

const KEY_BYTES = 32;

/** HMAC-SHA256 of `value` in hex, under the key in the file `path`, which is made (0600) if it is missing. */
export function secretDigest(path: string, value: Uint8Array): string {
  return createHmac("sha256", localKey(path)).update(value).digest("hex");
}

function localKey(path: string): Uint8Array {
  try {
    // Never in place of another: who comes second takes the first one's.
    writeFileSync(path, randomBytes(KEY_BYTES), { flag: "wx", mode: 0o600 });
  } catch (error) {
    if (!isErrno(error, "EEXIST"))
      throw new BuildError("store", `cannot write ${path}: ${messageOf(error)}`, { cause: error });
  }
  const key = readFileSync(path);
  if (key.length === KEY_BYTES) return key;
  throw new BuildError("store", `${path} is no key of ${KEY_BYTES} bytes`, {
    help: "remove it: steps that use cache=content run once more",
  });
}
