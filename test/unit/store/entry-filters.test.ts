import { expect, test } from "vitest";
import type { CacheEntry } from "../../../src/store/cache-entries.ts";
import { parseDuration, parseEntryFilters } from "../../../src/store/entry-filters.ts";

const entry = (own: Partial<CacheEntry> = {}): CacheEntry => ({
  kind: "layer",
  id: "abc123",
  description: "RUN make all",
  size: 1,
  createdMs: 0,
  lastUsedMs: Date.now() - 3_600_000,
  uses: 0,
  type: "regular",
  parents: ["below1", "below2"],
  durationMs: 0,
  isMutable: false,
  isInUse: false,
  isShared: false,
  ...own,
});

test("Z07: each filter of BuildKit says what it says there", () => {
  const mount = entry({ kind: "mount", id: "m1", description: "/root/.npm", type: "exec.cachemount", isMutable: true });
  const shared = entry({
    id: "def",
    isShared: true,
    isInUse: true,
    description: "RUN touch",
    lastUsedMs: Date.now(),
    parents: [],
  });
  const all = [entry(), mount, shared];
  const ids = (...filters: readonly string[]): readonly string[] =>
    all.filter(parseEntryFilters(filters)).map(({ id }) => id);
  expect(ids()).toEqual(["abc123", "m1", "def"]);
  expect(ids("until=30m")).toEqual(["abc123", "m1"]);
  expect(ids("id=abc")).toEqual(["abc123"]);
  expect(ids("id=/root/.npm")).toEqual(["m1"]);
  expect(ids("id~=^d")).toEqual(["def"]);
  expect(ids("parents~=below")).toEqual(["abc123", "m1"]);
  expect(ids("description~=make|touch")).toEqual(["abc123", "def"]);
  expect(ids("description!=RUN touch")).toEqual(["abc123", "m1"]);
  expect(ids("inuse")).toEqual(["def"]);
  expect(ids("!inuse")).toEqual(["abc123", "m1"]);
  expect(ids("inuse=false")).toEqual(["abc123", "m1"]);
  expect(ids("mutable")).toEqual(["m1"]);
  expect(ids("immutable")).toEqual(["abc123", "def"]);
  expect(ids("shared")).toEqual(["def"]);
  expect(ids("private")).toEqual(["abc123", "m1"]);
  expect(ids("type=exec.cachemount")).toEqual(["m1"]);
  expect(ids("type==regular", "private")).toEqual(["abc123"]);
  expect(ids("type=frontend")).toEqual([]);
});

test("Z07: a filter that is not understood is an error with what was meant, never ignored", () => {
  const fail = (text: string) => {
    try {
      parseEntryFilters([text]);
    } catch (error) {
      return error;
    }
    return undefined;
  };
  expect(fail("unitl=24h")).toMatchObject({ code: "usage", help: 'did you mean "until"?' });
  expect(fail("type=exec.cachemounts")).toMatchObject({ help: 'did you mean "exec.cachemount"?' });
  for (const text of ["", "until=soon", "until", "inuse=maybe", "id", "description~=(", "label=x", "type"])
    expect(fail(text), text).toMatchObject({ code: "usage" });
});

test("durations as Go writes them, and seconds", () => {
  expect(["48h", "1h30m", "90", "1.5s", "2d", "10ms"].map(parseDuration)).toEqual([
    172_800_000, 5_400_000, 90_000, 1500, 172_800_000, 10,
  ]);
  expect(["", "h", "1x", "-1h", "1h 2m"].map(parseDuration)).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});
