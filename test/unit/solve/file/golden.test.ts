// What BuildKit 0.25 (docker 28.5) made of a Dockerfile line, replayed on trees in memory. How the fixtures came to be: fixtures/copy/README.md.
import { expect, test } from "vitest";
import { RootfsView, type LayerSource } from "../../../../src/rootfs/view.ts";
import { mkdirManifest } from "../../../../src/solve/file/mkdir.ts";
import type { LayerEntry } from "../../../../src/tree/entry.ts";
import { copyManifest, formatEntries, MemoryTree, parseEntries, readGoldenCases, type GoldenCase } from "./golden.ts";

const { signal } = new AbortController();

function layerOf(lines: readonly string[]): LayerSource {
  const tree = new MemoryTree(parseEntries(lines));
  return { entries: async () => (await tree.walk("")).slice(1), locate: (entry) => tree.locate(entry) };
}

async function replay(
  { action, below, input = [], archives, isLinked }: GoldenCase,
  segmentFrom?: number,
): Promise<readonly LayerEntry[]> {
  const view = new RootfsView(below ? [layerOf(below)] : []);
  if (action.kind === "mkdir") return [...(await mkdirManifest(action, { below: view })).entries];
  const tree = new MemoryTree(parseEntries(input));
  return copyManifest(action, {
    below: isLinked ? undefined : view,
    inputs: [tree],
    ...(segmentFrom === undefined ? {} : { segmentFrom }),
    openArchive: async (bytes) => {
      const name = bytes.kind === "inline" ? Buffer.from(bytes.data).toString() : "";
      const lines = archives?.[name];
      if (!lines || lines.length === 0) return undefined;
      const entries = parseEntries(lines);
      return { walk: async () => entries, locate: async (entry) => entry.bytes! };
    },
    signal,
  });
}

/** Seconds of the times that BuildKit took from somewhere, rather than from its clock. */
function timesOf(lines: readonly string[]): [string, string][] {
  return lines.flatMap((line) => {
    const match = /^(\S+) .*? @(\d+)(?: |$)/su.exec(line);
    return match ? [[match[1]!, match[2]!]] : [];
  });
}

test.for(
  readGoldenCases().map(
    (golden) => [`${golden.rows.join(" ")} ${golden.name}: ${JSON.stringify(golden.dockerfile)}`, golden] as const,
  ),
)("%s", async ([, golden]) => {
  if (golden.error !== undefined) {
    await expect(replay(golden)).rejects.toThrow(golden.error);
    await expect(replay(golden, 1)).rejects.toThrow(golden.error);
    return;
  }
  const layer = await replay(golden);
  // As a big context is copied.
  expect(await replay(golden, 1)).toEqual(layer);
  const expected = golden.expected!.map((line) => line.replace(/ @\d+/u, ""));
  expect(formatEntries(layer)).toEqual(expected);
  const times = new Map(
    layer.map((entry) => [entry.path, entry.type === "whiteout" ? 0n : entry.mtimeNs / 1_000_000_000n]),
  );
  expect(timesOf(golden.expected!).filter(([path, time]) => times.get(path) !== BigInt(time))).toEqual([]);
});

test("O07: a WORKDIR behind a file fails with the first path that cannot be, as BuildKit names it", async () => {
  const below = new RootfsView([layerOf(['a file 0644 0:0 @0 "x"'])]);
  const failed = mkdirManifest({ kind: "mkdir", path: "a/b/c", mode: 0o755, user: "" }, { below });
  await expect(failed).rejects.toMatchObject({
    message: "lstat /a/b: not a directory",
    summary: "/a is a file in this stage, so /a/b/c cannot be the working directory",
  });
});

test("O07: a WORKDIR that is a file fails with that path, in BuildKit's words and in plain ones", async () => {
  const below = new RootfsView([layerOf(["etc dir 0755 0:0 @0", 'etc/passwd file 0644 0:0 @0 "x"'])]);
  const failed = mkdirManifest({ kind: "mkdir", path: "etc/passwd", mode: 0o755, user: "" }, { below });
  await expect(failed).rejects.toMatchObject({
    code: "source",
    message: "mkdir /etc/passwd: not a directory",
    summary: "/etc/passwd is a file in this stage, so it cannot be the working directory",
    details: { word: "/etc/passwd" },
  });
});
