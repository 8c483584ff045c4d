// A process of its own that works on a store, for tests of what happens between processes: `node store-worker.ts <root> <task> [args]`.
// It says what it has done line by line; tests wait for lines, not for time.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openStore, type Store } from "../../../src/store/store.ts";
import type { Lease } from "../../../src/store/leases.ts";
import { bytesFor, checkLayer, keyFor, LAYER_FILES } from "./store-content.ts";
import { digestFor, writeFiles } from "./temp-store.ts";

const [root = "", task = "", ...args] = process.argv.slice(2);
const say = (line: string): boolean => process.stdout.write(`${line}\n`);
const store = openStore(root, { onNotice: (message) => say(`notice ${message}`) });

/** Never resolves; the process waits to be killed. */
function forever(): Promise<never> {
  setInterval(() => undefined, 1000);
  return Promise.withResolvers<never>().promise;
}

/** Everything that a step leaves in the store: a directory, an entry list, a blob, a record, an image. */
async function makeStep(store: Store, lease: Lease, n: number): Promise<void> {
  const layer = store.transaction(() => {
    const made = store.layers.obtainByDiffId({ createdBy: `RUN ${n}`, diffId: digestFor(`diff ${n}`) });
    lease.pin("layer", made.id);
    return made;
  });
  const upper = lease.tempDirectory("upper");
  const bytes = bytesFor(n);
  writeFiles(upper, Object.fromEntries(LAYER_FILES.map((name) => [name, bytes.subarray(0, 2000)])));
  await store.layers.adoptDirectory(layer.id, upper);
  store.layers.writeEntries(layer.id, [{ path: `gone-${n}`, type: "whiteout" }]);
  await using ingest = await store.content.ingest({ expected: { size: bytes.length } });
  for (let at = 0; at < bytes.length; at += 10_000) await ingest.write(bytes.subarray(at, at + 10_000));
  const blob = await ingest.commit();
  store.layers.addBlob(layer.id, { compression: "gzip", ...blob });
  const parts = [{ name: "n", value: `${n}` }];
  store.records.put({ key: keyFor(n), layerId: layer.id, kind: "definition", parts, slot: `s${n}`, durationMs: 1 });
  store.images.set(`docker.io/library/app:${n}`, { mediaType: "m", digest: blob.digest, size: blob.size });
}

const tasks: Readonly<Record<string, () => Promise<void>>> = {
  /** Makes steps 0…count-1, or finds them made, and checks each while it is pinned. */
  async build() {
    const [count = "1", offset = "0", isKeepingNames = "names"] = args;
    for (let i = 0; i < Number(count); i++) {
      await using lease = await store.openLease({ kind: "build" });
      const n = (i + Number(offset)) % Number(count);
      const record = store.records.find(keyFor(n));
      const isHit = record !== undefined && lease.pin("layer", record.layerId);
      if (!isHit) await makeStep(store, lease, n);
      const { layerId } = isHit ? record : store.records.find(keyFor(n))!;
      checkLayer(store, layerId, n, { mayBePacked: isHit });
      if (isKeepingNames === "no-names")
        store.images.removeManifest(store.images.get(`docker.io/library/app:${n}`)?.manifest.digest ?? digestFor(""));
    }
    say("done");
  },
  /** Makes steps without end: to be killed anywhere. */
  async churn() {
    await using lease = await store.openLease({ kind: "build" });
    say("ready");
    for (let n = Number(args[0]); ; n++) await makeStep(store, lease, n);
  },
  /** Prunes until the file `stop` is there. */
  async prune() {
    const [stop = ""] = args;
    say("ready");
    while (!existsSync(stop)) {
      await store.prune({ maxSize: 1_000_000 });
      await store.sweep(() => Promise.resolve());
    }
  },
  /** Adds 1 to the number in a file, `count` times, under a lock. */
  async count() {
    const [file = "", count = "1"] = args;
    for (let i = 0; i < Number(count); i++) {
      await using _ = await store.lock("counter", { mode: "exclusive" });
      const value = Number(readFileSync(file, "utf8"));
      await new Promise((resolve) => setImmediate(resolve));
      writeFileSync(file, `${value + 1}`);
    }
    say("done");
  },
  async "hold-lock"() {
    await using _ = await store.lock(args[0]!, { mode: "exclusive", holder: `worker ${process.pid}` });
    say("held");
    await forever();
  },
  /** A build that dies in the middle of everything. */
  async "hold-lease"() {
    await using lease = await store.openLease({ kind: "build" });
    await using ingest = await store.content.ingest();
    await using resumable = await store.content.ingest({ resumeKey: "k" });
    await ingest.write(bytesFor(1));
    await resumable.write(bytesFor(1));
    const { id } = store.layers.create({ createdBy: "RUN" });
    lease.pin("layer", id);
    writeFiles(join(lease.tmp, "upper"), { a: "1" });
    say(`held ${lease.directory} ${id}`);
    await forever();
  },
  async "hold-mount"() {
    await using mount = await store.acquireCacheMount({
      id: "c",
      sharing: args[0] as "shared",
      onWait: () => say("waiting"),
    });
    say(`held ${mount.path}`);
    await forever();
  },
  /** Dies while a cache mount is being filled. */
  async "fill-mount"() {
    await store.acquireCacheMount({
      id: "c",
      sharing: "shared",
      prepare: async (directory) => {
        writeFileSync(join(directory, "half"), "");
        say("filling");
        await forever();
      },
    });
  },
};

await tasks[task]!();
store[Symbol.dispose]();
