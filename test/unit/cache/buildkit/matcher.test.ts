// Steps are found in a cache that BuildKit has exported, by its own keys (reference G20–G22). Judges: the image that the same BuildKit made, layer by layer.
import { describe, expect, test } from "vitest";
import { BuildKitMatcher } from "../../../../src/cache/buildkit/matcher.ts";
import type { Digest } from "../../../../src/oci/digest.ts";
import { contentKey } from "../../../../src/cache/buildkit/content-digest.ts";
import { stepKey } from "../../../../src/cache/buildkit/step-key.ts";
import {
  DOCKERFILE,
  buildOf,
  chainOf,
  planRecorded,
  readFixture,
  recordedCache,
  recordedContext,
  type Step,
} from "./recorded.ts";

const cache = recordedCache();
const LAYERS = readFixture<Record<string, readonly Digest[]>>("layers.json");

/** Step → blob of the layer that was found, or why none can be. */
async function found(
  text: string | undefined,
  target: string | undefined,
  files = recordedContext(),
): Promise<(readonly [string, string])[]> {
  const plan = await planRecorded(text, target === undefined ? {} : { target });
  const matcher = new BuildKitMatcher(cache, buildOf(plan, files), { hasEpoch: false });
  const names = chainOf(plan).map(async (step: Step) => {
    const layers = await matcher.layers(step);
    return [
      step.meta.instruction,
      typeof layers === "string" ? layers : (layers[0]?.layer.blob.digest ?? "none"),
    ] as const;
  });
  return Promise.all(names);
}

/** What follows a word in the recorded Dockerfile's steps of a stage. */
async function endsOf(text: string, target: string, files = recordedContext()): Promise<Record<string, boolean>> {
  const steps = await found(text, target, files);
  return Object.fromEntries(steps.map(([name, layer]) => [name, layer.startsWith("sha256:")]));
}

describe.each(Object.keys(LAYERS))("stage %s", (stage) => {
  test("G20 G21: every step leads to the layer that BuildKit made of it", async () => {
    const steps = await found(undefined, stage === "stage-4" ? undefined : stage);
    const own = LAYERS[stage]!.slice(LAYERS[stage]!.length - steps.length);
    expect(steps).toEqual(steps.map(([name], index) => [name, own[index]]));
  });
});

/** Steps of `before` that are found no more after a change, and not all of them. */
async function lost(change: (text: string) => string, target: string, files = recordedContext()): Promise<string[]> {
  const ends = await endsOf(change(DOCKERFILE), target, files);
  return Object.keys(ends).filter((name) => !ends[name]);
}

test("a changed step is not found, nor what lies on it", async () => {
  const runs = await lost((text) => text.replace("echo z > /z", "echo zz > /z"), "runs");
  expect(runs[0]).toContain("echo zz");
  expect(runs.at(-1)).toBe("RUN <<EOF");
  expect(await lost((text) => text, "runs")).toEqual([]);
});

test.each([
  ["a variable's value", (text: string) => text.replace("A=b", "A=c"), "RUN env | sort > /env"],
  [
    "the order of variables",
    (text: string) => text.replace("ENV A=b FIRST=2", "ENV FIRST=2 A=b"),
    "RUN env | sort > /env",
  ],
  ["the working directory", (text: string) => text.replace("WORKDIR /work", "WORKDIR /work2"), "WORKDIR /work2"],
  [
    "the network",
    (text: string) => text.replace("RUN env", "RUN --network=none env"),
    "RUN --network=none env | sort > /env",
  ],
  ["the base", (text: string) => text.replace("FROM busybox AS runs", "FROM scratch AS runs"), "RUN env | sort > /env"],
])("what depends on %s is not found", async (_what, change, first) => {
  expect((await lost(change, "runs"))[0]).toBe(first);
});

test("a mount is a part of the step, and so are the files behind it", async () => {
  const other = { ...recordedContext(), "top.txt": { mode: 0o644, text: "other\n" } };
  expect((await lost((text) => text, "runs", other))[0]).toContain("target=/t.txt");
  const readonly = await lost(
    (text) => text.replace("source=/bin,target=/other,rw", "source=/bin,target=/other"),
    "runs",
  );
  expect(readonly[0]).toContain("ls /other");
});

describe("files of the context", () => {
  const changed = (path: string, change: object) => {
    const files = recordedContext();
    return lost((text) => text, "copies", { ...files, [path]: { ...files[path], ...change } });
  };
  const ALL = ["COPY . /context/"];

  test("their bytes, modes, links and names are what BuildKit's digest is of", async () => {
    const below = (await changed("dir/a.txt", { text: "A\n" }))[0];
    expect(below).toBe("COPY dir /whole");
    expect((await changed("dir/sub", { mode: 0o755 }))[0]).toBe("COPY dir /whole");
    expect((await changed("dir/link", { link: "b" }))[0]).toBe("COPY dir /whole");
    expect((await changed("dir/new", { mode: 0o644, text: "" }))[0]).toBe("COPY dir /whole");
    expect((await changed("zwei.txt", { text: "u\n" }))[0]).toBe(ALL[0]);
  });
});

test.each([
  ["RUN with a secret", "RUN --mount=type=secret,id=s true"],
  ["RUN with ssh", "RUN --mount=type=ssh true"],
  ["RUN with a cache mount that has an owner, a mode or a source", "RUN --mount=type=cache,target=/c,uid=1 true"],
  ["RUN --security", "RUN --security=insecure true"],
  ["RUN --device", "RUN --device=a.b/c=d true"],
  ["RUN of a heredoc with #!", "RUN <<E\n#!/bin/sh\nE"],
  ["COPY --parents", "COPY --parents dir/a.txt /"],
  ["COPY --exclude", "COPY --exclude=*.md dir /"],
  ["COPY of sources that have one name", "COPY dir/a.txt other/a.txt /"],
  ["ADD of a URL or a repository", "ADD https://example.com/x /"],
  ["COPY --chown by name on scratch or with --link", "COPY --link --chown=nobody top.txt /"],
])("%s is told, and looked for nowhere", async (reason, instruction) => {
  const steps = await found(`FROM busybox\n${instruction}\nRUN true`, undefined);
  expect(steps.map(([, end]) => end)).toEqual([reason, "none"]);
});

test("with SOURCE_DATE_EPOCH the steps that write files are told", async () => {
  const plan = await planRecorded("FROM busybox\nWORKDIR /work\nCOPY top.txt /\nRUN true");
  const matcher = new BuildKitMatcher(cache, buildOf(plan), { hasEpoch: true });
  const ends = await Promise.all(chainOf(plan).map((step) => matcher.layers(step)));
  expect(ends).toEqual(["WORKDIR with SOURCE_DATE_EPOCH", "COPY with SOURCE_DATE_EPOCH", []]);
});

test("with the default network, the keys that BuildKit has taken from a forged cache", async () => {
  const plan = await planRecorded("FROM busybox\nARG X=1\nENV A=b\nRUN echo hi > /hi", { network: "default" });
  const key = stepKey(chainOf(plan)[0]!, { hasEpoch: false });
  expect(key).toMatchObject({ digest: "sha256:8406ee9ad0fc4f403433f55a2c176eff04a6a0476a92339bc31778454c11cda2" });
});

test("a record whose inputs are others is another step", async () => {
  const plan = await planRecorded(undefined, { target: "runs" });
  const records = cache.records.map((record) => ({
    ...record,
    inputs: record.inputs.map(() => [{ selector: "", record: 0 }]),
  }));
  const matcher = new BuildKitMatcher({ ...cache, records }, buildOf(plan), { hasEpoch: false });
  for (const step of chainOf(plan)) expect(await matcher.layers(step)).toEqual([]);
});

test.each(["COPY zwei.txt dir/a.txt /three/", "COPY dir dir/sub /three/", "COPY dir* /three/"])(
  "%s: where BuildKit's digest does not say which file is which, nothing is looked for by it",
  async (instruction) => {
    const plan = await planRecorded(`FROM busybox\n${instruction}`);
    const step = chainOf(plan)[0]!;
    const key = stepKey(step, { hasEpoch: false });
    const [, source] = "reason" in key ? [] : key.inputs;
    const content = source?.content && (await contentKey(await buildOf(plan).tree(step.inputs[1]!), source.content));
    expect(content).toBeUndefined();
  },
);
