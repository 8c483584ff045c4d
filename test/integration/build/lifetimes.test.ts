// Builds that end badly, and builds that meet: nothing stays behind, nothing is done twice, the next build is right.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

const steps = (count: number) =>
  Array.from({ length: count }, (_, i) => `RUN i=0; while [ $i -lt 200 ]; do echo ${i} >> /f${i}; i=$((i+1)); done`);

test("after a build that succeeds and one that fails nothing is left", async () => {
  await rig.must([rig.context({ Dockerfile: "FROM busybox\nRUN (sleep 100 &) ; echo ok\n" })]);
  expect(rig.leftovers()).toEqual([]);
  const failed = await rig.tsbuild([rig.context({ Dockerfile: "FROM busybox\nRUN exit 7\n" })]);
  expect(failed).toMatchObject({ code: 1 });
  expect(failed.stderr).toContain('process "/bin/sh -c exit 7" did not complete successfully: exit code: 7');
  expect(rig.leftovers()).toEqual([]);
});

test("S64: what is mounted for a step is out of the host's sight, and the filter that was compiled for it is kept, with the runtime's version", async () => {
  const mounted: string[] = [];
  const context = rig.context({
    Dockerfile: "FROM busybox\nRUN --mount=type=secret,id=s echo mounted; sleep 0.5; cat /run/secrets/s > /dev/null\n",
  });
  await rig.must(["--no-cache", "--secret", `id=s,src=${join(context, "Dockerfile")}`, context], {
    onStderr: (text) => {
      if (text.includes("mounted")) mounted.push(readFileSync("/proc/self/mountinfo", "utf8"));
    },
  });
  expect(mounted.join("").length).toBeGreaterThan(0);
  expect(
    mounted
      .join("")
      .split("\n")
      .filter((line) => line.includes(rig.store)),
  ).toEqual([]);
  expect(readdirSync(join(rig.store, "sandbox")).sort()).toEqual([
    "runtimes.json",
    expect.stringMatching(/^seccomp-[0-9a-f]{32}\.bpf$/),
  ]);
});

test.each(["SIGINT", "SIGTERM"] as const)("pain 25: %s ends a build within 3 s and leaves nothing", async (signal) => {
  const context = rig.context({
    Dockerfile:
      "FROM busybox AS a\nRUN echo started-a; sleep 100\nFROM busybox AS b\nRUN echo started-b; sleep 100\nFROM a\nCOPY --from=b /etc /etc2\n",
  });
  let stop = (): void => {};
  let seen = "";
  let stoppedAt = 0;
  const { code } = await rig.tsbuild([context], {
    onStart: (kill) => {
      stop = () => {
        stoppedAt = performance.now();
        kill(signal);
      };
    },
    onStderr: (text) => {
      seen += text;
      if (stoppedAt === 0 && /\d started-a/.test(seen) && /\d started-b/.test(seen)) stop();
    },
  });
  expect(code).toBe(signal === "SIGINT" ? 130 : 143);
  expect(performance.now() - stoppedAt).toBeLessThan(3000);
  expect(rig.leftovers()).toEqual([]);
});

test("SIGKILL at 20 moments: the next build is right and leaves nothing", async () => {
  const dockerfile = [
    "FROM busybox AS a",
    ...steps(4),
    "COPY in /in",
    "FROM busybox",
    ...steps(4),
    "COPY --from=a / /all",
    "RUN cat /all/in",
  ].join("\n");
  const reference = rig.context({ Dockerfile: `${dockerfile}\n`, in: "reference" });
  const file = join(rig.root, "list");
  const tree = async (context: string, ...args: string[]) => {
    await rig.must(["-o", `type=tar,dest=${file}`, ...args, context]);
    return readFileSync(file).length;
  };
  const size = await tree(reference);
  const [whole] = await timed(() => rig.must(["--no-cache", reference]));
  const moments = fc.sample(fc.double({ min: 0, max: 1, noNaN: true }), { numRuns: 20, seed: 7 });
  for (const moment of moments) {
    await rig.tsbuild(["--no-cache", "-t", "killed", reference], {
      onStart: (kill) => {
        setTimeout(() => kill("SIGKILL"), moment * whole);
      },
    });
    expect(await tree(reference)).toBe(size);
    expect(rig.leftovers()).toEqual([]);
  }
});

test("T49: two processes that need the same steps run each of them once", async () => {
  const context = rig.context({
    Dockerfile:
      "FROM busybox\nRUN --mount=type=cache,target=/c echo run >> /c/log; sleep 1; wc -l < /c/log > /count\nRUN echo second-$(cat /count)\n",
  });
  const both = await Promise.all([1, 2].map((n) => rig.must(["--progress", "rawjson", "-t", `twice${n}`, context])));
  const ran = both.map(
    ({ stderr }) => [...rig.outcomes(stderr)].filter(([name, how]) => name.includes("RUN") && how === "ran").length,
  );
  expect(ran.toSorted((a, b) => a - b)).toEqual([0, 2]);
  const images = (await rig.must(["images"])).stdout;
  const digest = (name: string) => new RegExp(`${name}:latest +(\\S+)`).exec(images)?.[1];
  expect(digest("twice1")).toBe(digest("twice2"));
});

test("a file that changes while it is being built fails with its name, and the next build works", async () => {
  const context = rig.context({
    Dockerfile: "FROM busybox\nRUN echo go; sleep 2\nCOPY data /data\n",
    data: "x".repeat(10),
  });
  const { code, stderr } = await rig.tsbuild(["--no-cache", context], {
    onStderr: (text) => {
      if (/\d go\n/.test(text)) writeFileSync(join(context, "data"), "y".repeat(10));
    },
  });
  // The context is read before the RUN: what is packed afterwards is not what was hashed.
  expect(code).toBe(1);
  expect(stderr).toMatch(/data.*changed during the build/);
  await rig.must([context]);
  expect(existsSync(join(context, "data"))).toBe(true);
  expect(rig.leftovers()).toEqual([]);
});

async function timed<T>(work: () => Promise<T>): Promise<[ms: number, value: T]> {
  const start = performance.now();
  const value = await work();
  return [performance.now() - start, value];
}
