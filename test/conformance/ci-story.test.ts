// What the caches are for: one CI machine builds and exports, the next one has nothing but the registry, changes a line and builds again.
// Each machine has its own store and its own network namespace; every byte to and from the registry is counted. `npm run ci-story` prints them.
import { join } from "node:path";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDockerRegistry, type DockerRegistry } from "../support/docker-registry.ts";
import { openMachine, type Machine } from "../support/machine.ts";
import { openRig, type Rig } from "../support/rig.ts";

const KB = 1000;
/** What a dependency weighs, and does not compress. */
const DEPENDENCY = 400 * KB;

let rig: Rig;
let registry: DockerRegistry;
let machines: Machine[] = [];

beforeAll(async () => {
  rig = await openRig();
  registry = await openDockerRegistry();
  await rig.must(["tag", "busybox", `${registry.host}/base:1`]);
  await rig.must(["push", `${registry.host}/base:1`]);
});
afterAll(async () => {
  for (const machine of machines) await machine[Symbol.asyncDispose]();
  machines = [];
  await registry[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

/** A program with dependencies that are dear to fetch, a compiler, and a small image at the end. */
function project(source: string, dependencies = "left right"): string {
  return rig.context({
    Dockerfile: `FROM ${registry.host}/base:1 AS dependencies
WORKDIR /app
COPY dependencies .
RUN --network=none --mount=type=cache,target=/cache mkdir modules; for name in $(cat dependencies); do if test -f /cache/$name; then echo kept $name; else echo fetched $name; head -c ${DEPENDENCY} /dev/urandom > /cache/$name; fi; cp /cache/$name modules/; done; sleep 1
FROM dependencies AS build
COPY src src
RUN --network=none cat modules/* src/* | md5sum > program; head -c 100000 /dev/urandom >> program
FROM ${registry.host}/base:1
COPY --from=build /app/program /program
CMD ["/program"]
`,
    dependencies,
    "src/main": source,
  });
}

async function machine(name: string): Promise<Machine> {
  const opened = await openMachine(join(rig.root, name), registry.host);
  machines.push(opened);
  return opened;
}

/** What every job runs. */
function job(on: Machine, context: string, tag: string): ReturnType<Machine["tsbuild"]> {
  const cache = `${registry.host}/app:cache`;
  const caches = ["--cache-from", cache, "--cache-to", `type=registry,ref=${cache},mode=max,mounts=true`];
  const image = ["-t", `${registry.host}/app:${tag}`, "--push", "--metadata-file", join(rig.root, `${tag}.json`)];
  return on.tsbuild(["--progress", "plain", ...caches, ...image, context]);
}

function ran(stderr: string): string[] {
  const names = new Map(
    [...stderr.matchAll(/^#(\d+) \[.*\d\/\d\] (\w+ [^ ]+).*$/gm)].map(([, id, name]) => [id, name!]),
  );
  return [...stderr.matchAll(/^#(\d+) DONE/gm)].flatMap(([, id]) => names.get(id) ?? []);
}

function list(what: string, { down, up }: { down: number; up: number }): void {
  console.log(
    `${what.padEnd(64)} ${String(Math.ceil(down / KB)).padStart(6)} kB down ${String(Math.ceil(up / KB)).padStart(6)} kB up`,
  );
}

test("pains 2, 7, 32: the second machine runs what changed and moves what it needs", async () => {
  const first = await machine("a");
  await job(first, project("one"), "1");
  const cold = first.traffic();
  list("machine A, nothing anywhere: builds, exports, pushes", cold);
  // Dependencies, as a layer and as a cache mount, and the program, as two layers: each once, though the image has one of them as well.
  expect(cold.up).toBeLessThan(4 * DEPENDENCY + 600 * KB);

  await job(first, project("one"), "1");
  const again = first.traffic();
  list("machine A again, nothing changed", again);
  expect(again.down + again.up).toBeLessThan(60 * KB);

  const second = await machine("b");
  const unchanged = await job(second, project("one"), "2");
  const lazy = second.traffic();
  list("machine B, empty, nothing changed: pushes what it never had", lazy);
  expect(ran(unchanged.stderr)).toEqual([]);
  expect(lazy.down).toBeLessThan(100 * KB);
  expect(lazy.up).toBeLessThan(60 * KB);
  const digest = (tag: string) =>
    (JSON.parse(readFileSync(join(rig.root, `${tag}.json`), "utf8")) as Record<string, string>)[
      "containerimage.digest"
    ];
  expect(digest("2")).toBe(digest("1"));

  const third = await machine("c");
  const changed = await job(third, project("two"), "3");
  const one = third.traffic();
  list("machine C, empty, one source file changed", one);
  expect(ran(changed.stderr)).toEqual(["COPY src", "RUN --network=none", "COPY --from=build"]);
  // Down: the base image and the dependencies, to compile on. Up: the new source and program, for the cache and for the image.
  expect(one.down).toBeLessThan(2 * DEPENDENCY + baseSize() + 100 * KB);
  expect(one.up).toBeLessThan(400 * KB);

  const fourth = await machine("d");
  const added = await job(fourth, project("two", "left right new"), "4");
  const mount = fourth.traffic();
  list("machine D, empty, one dependency more: the cache mount came along", mount);
  expect([...added.stderr.matchAll(/(kept|fetched) (\w+)$/gm)].map(([text]) => text)).toEqual([
    "kept left",
    "kept right",
    "fetched new",
  ]);
  expect(mount.down).toBeLessThan(2 * DEPENDENCY + baseSize() + 100 * KB);
});

/** Bytes of the base image's layers. */
function baseSize(): number {
  return 1_300 * KB;
}
