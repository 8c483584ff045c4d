// Many processes, a collector and damage at the same time (pain 13): every build succeeds, and makes what a serial build in a clean store makes.
// TSBUILD_TEST_STRESS=full is the size that is promised (8 processes × 20 builds, 50 damaged files, between rounds of builds); CI runs a small one.
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openRig, type Rig } from "../../support/rig.ts";

const SIZE =
  process.env["TSBUILD_TEST_STRESS"] === "full"
    ? { processes: 8, builds: 20, damages: 50 }
    : { processes: 3, builds: 2, damages: 10 };
/** Different Dockerfiles, so that processes meet in some steps and not in others. */
const KINDS = 5;

const EPOCH = { env: { SOURCE_DATE_EPOCH: "1700000000" } };

interface Project {
  readonly context: string;
  /** Everything in the image that the Dockerfile makes, in one output. */
  readonly show: readonly string[];
}

/** The same Dockerfile for the same number in every rig. */
function project(rig: Rig, n: number): Project {
  const context = rig.context({
    Dockerfile: `FROM busybox AS one
RUN echo shared > /shared; seq 1 20000 > /numbers
COPY data /data
RUN cat /data /shared > /both
FROM busybox AS two
RUN --mount=type=cache,target=/cache date > /cache/used; seq ${n} ${n + 5000} > /own
FROM busybox
COPY --from=one /both /numbers /
COPY --from=two /own /own
RUN sha256sum /both /numbers /own > /sums
`,
    data: `data ${n}`,
  });
  return { context, show: ["cat", "/sums"] };
}

function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => (state = (state * 48271) % 2147483647) % below;
}

/** Truncates or flips a byte of one file of the cache: a blob, a layer's file, an entry list, an index. Leaves what is not a cache: mounts, locks, leases, logs. */
function damageOne(store: string, random: (below: number) => number): boolean {
  const folder = join(store, ["content/blobs", "layers", "layers", "contexts"][random(4)]!);
  // The collector is at work: what is listed may be gone a moment later.
  try {
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const file = files[random(Math.max(1, files.length))];
    if (!file) return false;
    const path = join(file.parentPath, file.name);
    const { size } = statSync(path);
    if (size === 0) return false;
    if (random(2) === 0) truncateSync(path, random(size));
    else flip(path, random(size));
    return true;
  } catch {
    // The collector was faster.
    return false;
  }
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = bytes[at]! ^ 0xff;
  writeFileSync(path, bytes);
}

test("pain 13: a file that was changed in a layer's directory, or every blob, is a miss: the build makes it again and is right", async () => {
  await using rig = await openRig();
  const base = join(rig.root, "base");
  await rig.must(["-o", `type=oci,tar=false,dest=${base}`, rig.context({ Dockerfile: "FROM busybox\n" })]);
  const context = rig.context({ Dockerfile: "" });
  const build = async (last: string): Promise<string> => {
    writeFileSync(join(context, "Dockerfile"), `FROM busybox\nRUN seq 1 1000 > /numbers\nRUN ${last} > /sum\n`);
    const out = join(rig.root, "out");
    await rig.must([
      "--build-context",
      `busybox=oci-layout://${base}`,
      "-t",
      "app",
      "-o",
      "type=image",
      "-o",
      out,
      context,
    ]);
    return readFileSync(join(out, "sum"), "utf8");
  };
  expect(await build("md5sum < /numbers")).toBe("53d025127ae99ab79e8502aae2d9bea6  -\n");
  for (const folder of ["layers", "content/blobs"]) {
    for (const entry of readdirSync(join(rig.store, folder), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile() && (folder !== "layers" || entry.name === "numbers")) flip(path, 0);
    }
    expect(await build(`echo ${folder} > /dev/null; md5sum < /numbers`)).toBe("53d025127ae99ab79e8502aae2d9bea6  -\n");
  }
});

test(
  "pain 13, issue 5: builds in many processes, beside a collector, on a store that is being damaged, are what serial builds are",
  { timeout: 1_800_000 },
  async () => {
    await using clean = await openRig();
    const expected = new Map<number, string>();
    for (let n = 0; n < KINDS; n++) {
      const { context, show } = project(clean, n);
      await clean.must(["-t", `app${n}`, context], EPOCH);
      expected.set(n, (await clean.must(["run", `app${n}`, ...show])).stdout);
    }
    await using rig = await openRig();
    const base = join(rig.root, "base");
    await rig.must(["-o", `type=oci,tar=false,dest=${base}`, rig.context({ Dockerfile: "FROM busybox\n" })]);
    const done = new AbortController();
    const collecting = (async () => {
      for (let round = 0; !done.signal.aborted; round++)
        await rig.must(["cache", "prune", "-f", ...(round % 3 === 0 ? ["--all"] : ["--max-used-space", "6m"])]);
    })();
    const random = seeded(Number(process.env["TSBUILD_TEST_STRESS_SEED"] ?? 1));
    const build = async (worker: number, round: number): Promise<void> => {
      const n = (worker + round) % KINDS;
      const { context, show } = project(rig, n);
      const out = join(rig.root, `out-${worker}-${round}`);
      await rig.must(["--build-context", `busybox=oci-layout://${base}`, "-o", out, context], EPOCH);
      expect(readFileSync(join(out, show[1]!), "utf8"), `worker ${worker}, round ${round}`).toBe(expected.get(n));
    };
    try {
      for (let round = 0; round < SIZE.builds; round++) {
        await Promise.all(Array.from({ length: SIZE.processes }, (_, worker) => build(worker, round)));
        // Between builds: what is damaged while a step reads it, or before anybody has looked at it, shows in nothing.
        for (let left = SIZE.damages / SIZE.builds, tries = 50; left > 0 && tries > 0; tries--)
          if (damageOne(rig.store, random)) left--;
      }
    } finally {
      done.abort();
      await collecting;
    }
    // What the last builds set aside goes with the next start.
    await rig.must(["cache", "prune", "-f"]);
    expect(rig.leftovers()).toEqual([]);
  },
);
