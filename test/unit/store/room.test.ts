import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Standstill } from "../../../src/base/standstill.ts";
import type { Lease } from "../../../src/store/leases.ts";
import { openStore, type Store } from "../../../src/store/store.ts";
import type { Room } from "../../../src/store/room.ts";
import { digestFor, tempStore, writeFiles, type TempStore } from "../../support/store/temp-store.ts";

const MIB = 1024 * 1024;

interface Build extends AsyncDisposable {
  readonly store: Store;
  readonly lease: Lease;
  readonly room: Room;
  readonly notices: readonly string[];
}

/** A build under a ceiling, as another process would have it. */
async function openBuild(temp: TempStore, maxSize: number, signal?: AbortSignal): Promise<Build> {
  const notices: string[] = [];
  const store = openStore(temp.root, { maxSize, onNotice: (message) => notices.push(message) });
  const lease = await store.openLease({ kind: "build" });
  const room = (await store.openRoom(lease.id, { signal: signal ?? new AbortController().signal }))!;
  return {
    store,
    lease,
    room,
    notices,
    async [Symbol.asyncDispose]() {
      await lease[Symbol.asyncDispose]();
      await room[Symbol.asyncDispose]();
      store[Symbol.dispose]();
    },
  };
}

/** A layer of `size` bytes with a record, made as a build makes it; `isClaimed` false: as what nobody knows of before it is there. */
async function makeLayer({ store, lease, room }: Build, name: string, size: number, isClaimed = true): Promise<string> {
  await using _claim = isClaimed ? await room.claim(name, size) : undefined;
  const { id } = store.transaction(() => {
    const layer = store.layers.create({ createdBy: name });
    lease.pin("layer", layer.id);
    return layer;
  });
  const made = writeFiles(lease.tempDirectory("u"), { file: Buffer.alloc(size, name) });
  await store.layers.adoptDirectory(id, made);
  store.records.put({ key: digestFor(name), layerId: id, kind: "step", parts: [], slot: name, durationMs: 1 });
  return id;
}

test("pain 3: room is made before it is used, from what nothing uses, and the reason is remembered", async () => {
  using temp = tempStore();
  for (let i = 0; i < 7; i++) {
    await using build = await openBuild(temp, 10 * MIB);
    await makeLayer(build, `layer ${i}`, 3 * MIB);
    expect((await temp.store.diskUsage()).total).toBeLessThan(10 * MIB);
  }
  expect(temp.store.records.find(digestFor("layer 6"))).toBeDefined();
  expect(temp.store.records.evictionOf(digestFor("layer 0"))?.reason).toBe("ceiling");
});

test("pain 3: what cannot fit is refused with the sizes and the remedy; what a live build uses stays", async () => {
  using temp = tempStore();
  await using build = await openBuild(temp, 10 * MIB);
  const kept = await makeLayer(build, "kept", 6 * MIB);
  const failure = await build.room.claim("RUN make", 6 * MIB).catch((error: unknown) => error);
  expect(failure).toMatchObject({
    code: "store",
    message: expect.stringMatching(
      /^RUN make needs 6.29MB more, but 6.\d+MB of the 10.5MB that --cache-max-size allows/,
    ) as string,
    help: expect.stringMatching(/^allow at least 13.\dMB, /) as string,
  });
  expect(build.store.layers.directory(kept)).toBeDefined();
});

test("pain 3: work that has written nothing is refused, too, where what nobody claimed leaves no room to go on", async () => {
  using temp = tempStore();
  await using build = await openBuild(temp, 10 * MIB);
  await makeLayer(build, "kept", 9 * MIB);
  const claim = await build.room.claim("RUN make", 0);
  await makeLayer(build, "unclaimed", MIB, false);
  await expect(claim.atLeast(0, { ahead: 2 * MIB, reserve: MIB })).rejects.toMatchObject({
    message: expect.stringMatching(/^RUN make needs 1.05MB more, but 10.\dMB of the 10.5MB /) as string,
    help: expect.stringMatching(/^allow at least 12.\dMB, /) as string,
  });
});

test("pain 3: the work that writes past the ceiling is stopped, and what it wrote counts while it runs", async () => {
  using temp = tempStore();
  await using build = await openBuild(temp, 10 * MIB);
  const scratch = build.lease.tempDirectory("u");
  const signal = new AbortController().signal;
  const claim = await build.room.claim("RUN dd", 0);
  // Somebody else on the disk frees more than that meanwhile.
  using elsewhere = tempStore();
  const other = join(elsewhere.root, "other");
  writeFileSync(other, Buffer.alloc(24 * MIB, 2));
  const work = build.room.watch(claim, { what: "RUN dd", scratch: [scratch], kept: [], signal }, async (stop) => {
    writeFileSync(join(scratch, "big"), Buffer.alloc(12 * MIB, 1));
    rmSync(other);
    const { promise, reject } = Promise.withResolvers<never>();
    stop.addEventListener("abort", () => {
      reject(new Error("stopped"));
    });
    return promise;
  });
  await expect(work).rejects.toMatchObject({
    code: "store",
    message: expect.stringContaining("RUN dd needs") as string,
  });
});

test("pain 3: growth of a cache mount is claimed", async () => {
  using temp = tempStore();
  const old = await openBuild(temp, 12 * MIB);
  await makeLayer(old, "old", 6 * MIB);
  await old[Symbol.asyncDispose]();
  await using build = await openBuild(temp, 12 * MIB);
  const mount = join(temp.root, "mounts", "m");
  mkdirSync(mount);
  const signal = new AbortController().signal;
  const claim = await build.room.claim("RUN npm ci", 0);
  await build.room.watch(claim, { what: "RUN dd", scratch: [], kept: [mount], signal }, async (_, settle) => {
    writeFileSync(join(mount, "f"), Buffer.alloc(7 * MIB, 1));
    await settle();
  });
  expect(temp.store.records.evictionOf(digestFor("old"))?.reason).toBe("ceiling");
});

test("pain 3: a build waits for room that another one holds, and says so", async () => {
  using temp = tempStore();
  const first = await openBuild(temp, 10 * MIB);
  await makeLayer(first, "first", 6 * MIB);
  await using second = await openBuild(temp, 10 * MIB);
  const made = makeLayer(second, "second", 6 * MIB);
  while (second.notices.length === 0) await new Promise((resolve) => setImmediate(resolve));
  expect(second.notices).toEqual(["second: waiting for room below 10.5MB that another build may free"]);
  await first[Symbol.asyncDispose]();
  await made;
  expect(temp.store.records.find(digestFor("first"))).toBeUndefined();
});

test("pain 3, pain 11: builds that wait for each other do not wait for ever: the younger one gives up", async () => {
  using temp = tempStore();
  await using first = await openBuild(temp, 10 * MIB);
  await makeLayer(first, "first", 4 * MIB);
  const second = await openBuild(temp, 10 * MIB);
  await makeLayer(second, "second", 4 * MIB);
  const more = makeLayer(first, "more of the first", 4 * MIB);
  await expect(makeLayer(second, "more of the second", 4 * MIB)).rejects.toMatchObject({ code: "store" });
  await second[Symbol.asyncDispose]();
  await more;
});

test("what a dead build had claimed is free again", async () => {
  using temp = tempStore();
  await using first = await openBuild(temp, 10 * MIB);
  await first.room.claim("dead", 6 * MIB);
  // As if it had been killed: its lock is free, its account open.
  await first.lease[Symbol.asyncDispose]();
  await using second = await openBuild(temp, 10 * MIB);
  await makeLayer(second, "second", 6 * MIB);
});

test("the ceiling of config.json holds where no other is given; what it does not understand is an error", async () => {
  using temp = tempStore();
  const lease = await temp.store.openLease({ kind: "build" });
  const open = () => temp.store.openRoom(lease.id, { signal: new AbortController().signal });
  expect(await open()).toBeUndefined();
  const write = (text: string): void => {
    writeFileSync(join(temp.root, "config.json"), text);
  };
  write('{"cacheMaxSize": "1m"}');
  const room = (await open())!;
  await expect(room.claim("RUN", 2 * MIB)).rejects.toThrow(/of the 1.05MB that/);
  await room[Symbol.asyncDispose]();
  for (const text of ["[]", "{", '{"cacheMaxSize": "lots"}', '{"cacheMaxSize": 0}', '{"cacheMaxsize": "1g"}']) {
    write(text);
    await expect(open(), text).rejects.toMatchObject({ code: "store", help: expect.stringContaining("20g") as string });
  }
  await lease[Symbol.asyncDispose]();
});

/** Rejects when the work is to stop. */
function stopped(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  signal.addEventListener("abort", () => {
    reject(new Error("stopped"));
  });
  return promise;
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

test("pain 3: work stands still until there is room ahead of it again, while another build may free some", async () => {
  using temp = tempStore();
  const first = await openBuild(temp, 10 * MIB);
  await first.room.claim("first", 7.5 * MIB);
  await using second = await openBuild(temp, 10 * MIB);
  const scratch = second.lease.tempDirectory("u");
  let holds = 0;
  const hold = (): Standstill => {
    holds++;
    return { end: () => {}, [Symbol.dispose]: () => void holds-- };
  };
  const { signal } = new AbortController();
  const claim = await second.room.claim("RUN dd", 0);
  const goOn = Promise.withResolvers<void>();
  const work = second.room.watch(claim, { what: "RUN dd", scratch: [scratch], kept: [], hold, signal }, async () => {
    writeFileSync(join(scratch, "a"), Buffer.alloc(2 * MIB, 1));
    await goOn.promise;
  });
  await until(() => second.notices.length > 0);
  expect(second.notices).toEqual(["RUN dd: waiting for room below 10.5MB that another build may free"]);
  expect(holds).toBe(1);
  await first[Symbol.asyncDispose]();
  await until(() => holds === 0);
  goOn.resolve();
  await work;
});

test("pain 3: where builds wait for each other, the younger one's step gives back what it has written, and runs again", async () => {
  using temp = tempStore();
  const first = await openBuild(temp, 10 * MIB);
  const held = await first.room.claim("first", 5 * MIB);
  await using second = await openBuild(temp, 10 * MIB);
  const scratch = second.lease.tempDirectory("u");
  const reset = (): Promise<void> => {
    rmSync(scratch, { recursive: true });
    mkdirSync(scratch);
    return Promise.resolve();
  };
  const { signal } = new AbortController();
  const claim = await second.room.claim("RUN dd", 0);
  const firstWaits = Promise.withResolvers<void>();
  let runs = 0;
  const watched = { what: "RUN dd", scratch: [scratch], kept: [], reset, signal };
  const work = second.room.watch(claim, watched, async (stop) => {
    runs++;
    writeFileSync(join(scratch, "a"), Buffer.alloc(3 * MIB, 1), { flag: "wx" });
    if (runs > 1) return "done";
    await firstWaits.promise;
    writeFileSync(join(scratch, "b"), Buffer.alloc(2 * MIB, 1));
    return stopped(stop);
  });
  await until(() => claim.bytes > 3 * MIB);
  const more = held.atLeast(8 * MIB);
  await until(() => first.notices.length > 0);
  firstWaits.resolve();
  await more;
  expect(runs).toBe(1);
  await held[Symbol.asyncDispose]();
  await first[Symbol.asyncDispose]();
  expect(await work).toBe("done");
  expect(runs).toBe(2);
  expect(second.notices).toContainEqual(expect.stringMatching(/^RUN dd: stopped, .* it runs again/));
});
