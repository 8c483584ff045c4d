// Copies between trees of memory, and what they make as text.
import type { CopyAction } from "../../../../src/graph/op.ts";
import { RootfsView, type LayerSource } from "../../../../src/rootfs/view.ts";
import type { CopyOptions } from "../../../../src/solve/file/copy.ts";
import type { LayerEntry } from "../../../../src/tree/entry.ts";
import { copyManifest, formatEntries, MemoryTree, parseEntries } from "./golden.ts";

const { signal } = new AbortController();

export type CopyText = Partial<Omit<CopyAction, "sources">> & { readonly from: readonly string[] };

export function copyAction({ from, ...rest }: CopyText): CopyAction {
  const sources = from.map((pattern) => ({ kind: "path", input: 0, pattern, isWildcardAllowed: true }) as const);
  return { kind: "copy", sources, dest: "/n/", parents: false, exclude: [], unpack: "never", ...rest };
}

export function layerOf(entries: readonly LayerEntry[]): LayerSource {
  return { entries: async () => entries, locate: async (entry) => entry.bytes! };
}

export function options(input: readonly string[], below: readonly string[] = []): CopyOptions {
  const view = new RootfsView(below.length === 0 ? [] : [layerOf(parseEntries(below))]);
  return { below: view, inputs: [new MemoryTree(parseEntries(input))], labels: ["context"], signal };
}

export async function copy(text: CopyText, input: readonly string[], below?: readonly string[]): Promise<string[]> {
  return formatEntries(await copyManifest(copyAction(text), options(input, below)));
}

export const SOURCE: readonly string[] = [
  "a dir 0710 1:1",
  "a/b dir 0720 1:2",
  "a/b/c dir 0730 1:3",
  'a/b/c/f file 0640 1:4 "f"',
  "a/b/c/e dir 0755 0:0",
  'a/b/c/e/f file 0644 0:0 "deep"',
  'a/b/g file 0644 0:0 "g"',
  "a/b2 dir 0722 1:5",
  "a/b2/c dir 0732 1:6",
  'a/b2/c/f file 0600 0:0 "f2"',
  "a/l symlink 0777 0:0 -> b",
  'top file 0644 0:0 "top"',
];
