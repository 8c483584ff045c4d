// Content digests (image-spec descriptor.md, "Digests"). sha256 only is made; sha512 is accepted where somebody else made it.
import { createHash, type Hash } from "node:crypto";
import type { Brand } from "../base/brand.ts";
import { canonicalJson } from "../base/canonical-json.ts";

/** `<algorithm>:<hex>` of some bytes. */
export type Digest = Brand<string, "Digest">;

const LENGTHS: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 };

/** The digest that `text` spells, or undefined. */
export function parseDigest(text: string): Digest | undefined {
  const match = /^([a-z0-9]+):([0-9a-f]+)$/.exec(text);
  return match && LENGTHS[match[1]!] === match[2]!.length ? (text as Digest) : undefined;
}

/** sha256 of bytes or UTF-8 text. */
export function digestOf(data: string | Uint8Array): Digest {
  return `sha256:${createHash("sha256").update(data).digest("hex")}` as Digest;
}

/** sha256 of the canonical JSON of plain data. */
export function digestOfJson(value: unknown): Digest {
  return digestOf(canonicalJson(value));
}

/** Ends a sha256 hash. */
export function finishDigest(hash: Hash): Digest {
  return `sha256:${hash.digest("hex")}` as Digest;
}

export function digestAlgorithm(digest: Digest): string {
  return digest.slice(0, digest.indexOf(":"));
}

export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(":") + 1);
}
