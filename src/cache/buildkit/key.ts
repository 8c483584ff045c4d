// The names of BuildKit's keys: what a step is called without its inputs, and what of each input belongs to it.
import { encodeGoJson } from "../../base/go-json.ts";
import { digestOf, type Digest } from "../../oci/digest.ts";
import type { Platform } from "../../oci/platform.ts";

/** Paths or patterns of an input, whose files may stand for it whatever made them. */
export interface ContentSelector {
  /** Absolute in the input. */
  readonly path: string;
  readonly isPattern: boolean;
}

export interface KeyInput {
  /** A vertex of the graph, or a step that BuildKit takes apart from this one. */
  readonly of: Digest | StepKey;
  /** See BuildKitLink. */
  readonly selector: string;
  /** Absent where only a record of the input itself will do. */
  readonly content?: readonly ContentSelector[];
}

export interface StepKey {
  /** As records have it. */
  readonly digest: Digest;
  readonly inputs: readonly KeyInput[];
}

/** Why a step has no key: `RUN with a secret`. */
export interface Unmatchable {
  readonly reason: string;
}

/** Names output `output` of an op, or (-1) the content of files. */
export function recordDigest(digest: Digest, output: 0 | -1): Digest {
  return digestOf(`${digest}@${output}`);
}

/** Keys of an image: by its manifest, and by the chain ID of its layers. Either may be the one that records name. */
export function imageKeys(manifest: Digest, platform: Platform, diffIds: readonly Digest[]): readonly Digest[] {
  const { os, architecture, variant } = platform;
  const named = {
    Digest: manifest,
    OS: os,
    Arch: architecture,
    ...(variant === undefined ? {} : { Variant: variant }),
  };
  const keys = [digestOf(encodeGoJson(named))];
  if (diffIds.length > 0) keys.push(diffIds.reduce((below, layer) => digestOf(`${below} ${layer}`)));
  return keys.map((key) => recordDigest(digestOf(`buildkit.source.v0:${key}`), 0));
}

/** The digest of what is selected of an input. */
export function selectorOf(paths: readonly Uint8Array[]): string {
  return digestOf(Buffer.concat(paths.flatMap((path, index) => (index === 0 ? [path] : [Buffer.of(0), path]))));
}
