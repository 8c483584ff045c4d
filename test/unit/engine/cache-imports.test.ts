// Caches of other machines never hold a build up and never fail it (reference G09; "What nobody has" 15).
import { expect, test } from "vitest";
import type { CacheDocument } from "../../../src/cache/document.ts";
import type { CacheStorage } from "../../../src/cache/storage.ts";
import { CacheImports } from "../../../src/engine/cache-imports.ts";
import { digestOf } from "../../../src/oci/digest.ts";

const KEY = digestOf("key");
const BLOB = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: digestOf("blob"), size: 4 };
const LAYER = {
  blob: BLOB,
  diffId: digestOf("diff"),
  contentId: digestOf("content"),
  createdAt: "2026-01-01T00:00:00Z",
};
const DOCUMENT: CacheDocument = {
  entries: [
    {
      steps: [{ keys: [KEY], op: digestOf("op"), layer: LAYER, durationMs: 5 }],
      mounts: [],
      createdMs: 0,
      lastUsedMs: 0,
    },
  ],
};

function storage(place: string, change: Partial<CacheStorage> = {}): CacheStorage {
  return {
    label: place,
    place,
    isRegistry: false,
    read: () => Promise.resolve({ document: DOCUMENT, version: "1" }),
    has: () => Promise.resolve(true),
    open: () => {
      throw new Error("not asked for");
    },
    put: () => Promise.resolve(false),
    write: () => Promise.resolve(),
    [Symbol.dispose]: () => {},
    ...change,
  };
}

function importsOf(storages: readonly CacheStorage[]): { imports: CacheImports; notices: string[] } {
  const notices: string[] = [];
  const imports = new CacheImports({
    storages,
    onEvent: (event) => {
      if (event.kind === "notice") notices.push(event.message);
    },
    patienceMs: 10,
    signal: new AbortController().signal,
  });
  return { imports, notices };
}

/** Answers only by giving up. */
function never<T>(signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<T>();
  signal.addEventListener("abort", () => reject(signal.reason as Error));
  return promise;
}

test("a cache that does not answer is one line, and the next one is asked", async () => {
  const { imports, notices } = importsOf([storage("silent", { read: (signal) => never(signal) }), storage("second")]);
  expect((await imports.find(KEY))?.blob.repository).toBe("second");
  expect(notices).toEqual(["cache from silent: it did not answer within 0.01 s"]);
});

test("a blob that is not said to be there is a miss and one line, however often it is asked for", async () => {
  const { imports, notices } = importsOf([storage("slow", { has: (_blob, signal) => never(signal) })]);
  expect(await imports.find(KEY)).toBeUndefined();
  expect(await imports.find(KEY)).toBeUndefined();
  expect(notices.length).toBe(1);
});

test("what was lost is not found again, and counts once", async () => {
  const { imports, notices } = importsOf([storage("first")]);
  const found = await imports.find(KEY);
  imports.lose(found!.blob, new Error("it is damaged"));
  imports.lose(found!.blob, new Error("it is damaged"));
  expect(await imports.find(KEY)).toBeUndefined();
  expect([imports.takeLosses(), imports.takeLosses()]).toEqual([1, 0]);
  expect(notices.length).toBe(1);
});
