// What the cache is told, and what a build says of itself: lifetimes, modes of context files, secrets that count, early cut-off, the report.
import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

/** Step → how it ended, of the steps of the Dockerfile. */
const build = async (context: string, ...args: readonly string[]) => {
  const { stderr } = await rig.must(["--progress", "rawjson", ...args, context]);
  return Object.fromEntries([...rig.outcomes(stderr)].filter(([name]) => /^\[(?!internal).*\d\]/.test(name)));
};
const last = (outcome: Readonly<Record<string, string>>): string | undefined => Object.values(outcome).at(-1);

interface Report {
  readonly outcome: string;
  readonly error: string | null;
  readonly durationMs: number;
  readonly steps: readonly {
    readonly name: string;
    readonly key: string | null;
    readonly outcome: string;
    readonly reason: string | null;
    readonly started: string | null;
    readonly ended: string | null;
    readonly cpuMs: number | null;
    readonly peakMemoryBytes: number | null;
    readonly transferredBytes: number;
    readonly layerBytes: number | null;
  }[];
  readonly criticalPath: readonly { readonly durationMs: number }[];
}

interface Layer {
  readonly digest: string;
}

test("What nobody has 9: a step's own lifetime and the build's, whichever is shorter", async () => {
  const context = rig.context({ Dockerfile: "FROM busybox\n# tsbuild: ttl=1d\nRUN echo ttl\n" });
  expect(last(await build(context))).toBe("ran");
  expect(last(await build(context, "--cache-ttl", "7d"))).toBe("cached");
  expect(last(await build(context, "--cache-ttl", "0"))).toBe("ran");
  expect((await rig.tsbuild(["--cache-ttl", "soon", context])).code).toBe(2);
});

test("an unknown word in a comment is a warning that says what was meant", async () => {
  const context = rig.context({ Dockerfile: "FROM busybox\n# tsbuild: no-cahce\nRUN echo typo\n" });
  const { stderr } = await rig.must([context]);
  expect(stderr).toContain("did you mean no-cache?");
});

test("pain 29: with --context-mode=git the umask of whoever checked out does not count; without, modes do", async () => {
  const file = join(rig.root, "modes.json");
  const digest = async (context: string, ...flags: readonly string[]): Promise<unknown> => {
    await rig.must([...flags, "--no-cache", "--metadata-file", file, "--build-arg", "SOURCE_DATE_EPOCH=1", context]);
    const { stdout } = await rig.must(["inspect", idIn(file)]);
    const { manifest } = JSON.parse(stdout) as { readonly manifest: { readonly layers: readonly Layer[] } };
    return manifest.layers.at(-1)!.digest;
  };
  const [strict, loose] = [0o022, 0o002].map((umask) => {
    const context = rig.context({ Dockerfile: "FROM busybox\nCOPY d /d\n", "d/sub/run": "x", "d/sub/text": "y" });
    for (const [path, mode] of [
      ["d/sub", 0o777],
      ["d/sub/run", 0o777],
      ["d/sub/text", 0o666],
    ] as const)
      chmodSync(join(context, path), mode & ~umask);
    return context;
  });
  const flags = ["--context-mode=git", "--output", "type=image,rewrite-timestamp=true"];
  expect(await digest(strict!, ...flags)).toBe(await digest(loose!, ...flags));
  await build(strict!);
  expect(last(await build(loose!))).toBe("ran");
  chmodSync(join(loose!, "d/sub"), 0o700);
  expect(last(await build(loose!)), "never a stale hit").toBe("ran");
  expect(last(await build(strict!, "--context-mode=git"))).toBe("cached");
});

test("pain 29: with --chmod the mode of the source is no part of the key", async () => {
  const context = rig.context({ Dockerfile: "FROM busybox\nCOPY --chmod=640 f /f\nRUN cat /f\n", f: "chmod" });
  await build(context);
  chmodSync(join(context, "f"), 0o777);
  expect(Object.values(await build(context))).toEqual(["cached", "cached", "cached"]);
});

test("pain 26: a secret's change counts with cache=content only, and only in this store", async () => {
  const context = rig.context({
    Dockerfile: "FROM busybox\nRUN --mount=type=secret,id=t wc -c < /run/secrets/t > /n\n",
    token: "first-secret-value",
  });
  const secret = `id=t,src=${join(context, "token")}`;
  expect(last(await build(context, "--secret", secret))).toBe("ran");
  writeFileSync(join(context, "token"), "other-secret-value");
  expect(last(await build(context, "--secret", secret))).toBe("cached");
  expect(last(await build(context, "--secret", `${secret},cache=content`))).toBe("ran");
  expect(last(await build(context, "--secret", `${secret},cache=content`))).toBe("cached");
  writeFileSync(join(context, "token"), "third-secret-value");
  const { stderr } = await rig.must(["--progress", "plain", "--secret", `${secret},cache=content`, context]);
  expect(stderr).toContain("not cached: secret t content changed");
  expect(stderr).not.toContain("-secret-value");
  expect(statSync(join(rig.store, "secret-key")).mode & 0o777).toBe(0o600);
  expect((await rig.tsbuild(["--secret", `${secret},cache=maybe`, context])).code).toBe(2);
});

test("What nobody has 10: early cut-off is told, in the log and by why", async () => {
  const dockerfile = (text: string): string => `FROM busybox\nRUN echo same > /f # ${text}\nRUN cat /f\nRUN ls /\n`;
  const context = rig.context({ Dockerfile: dockerfile("one") });
  await build(context);
  writeFileSync(join(context, "Dockerfile"), dockerfile("two"));
  const { stderr } = await rig.must(["--progress", "plain", context]);
  expect(stderr).toMatch(/^#\d+ re-ran, same result: 2 steps below kept$/m);
  const { stdout } = await rig.must(["why", "2/4"]);
  expect(stdout).toContain("+ echo same > /f # two");
  expect(stdout).toContain("re-ran, same result: 2 steps below kept");
  expect((await rig.must(["why", "cat", "/f"])).stdout).toContain("is what it was");
  expect((await rig.tsbuild(["why", "nothing-like-this"])).code).toBe(2);
});

test("pain 37: a report of success and of failure, with a critical path that sums up to the duration", async () => {
  const context = rig.context({ Dockerfile: "FROM busybox\nCOPY f /f\nRUN cat /f > /g\n", f: "report" });
  const file = join(rig.root, "report.json");
  const report = (): Report => JSON.parse(readFileSync(file, "utf8")) as Report;
  await rig.must(["--report", file, context]);
  const whole = report();
  expect(whole).toMatchObject({ outcome: "succeeded", error: null });
  const run = whole.steps.find(({ name }) => name.includes("RUN cat"))!;
  expect(run).toMatchObject({ outcome: "ran", reason: "never built before" });
  expect(run.key).toMatch(/^sha256:/);
  expect([run.started, run.ended].every((time) => !Number.isNaN(Date.parse(time ?? "")))).toBe(true);
  expect([run.layerBytes, run.cpuMs, run.peakMemoryBytes].every((figure) => (figure ?? 0) > 0)).toBe(true);
  const sum = whole.criticalPath.reduce((total, { durationMs }) => total + durationMs, 0);
  expect(Math.abs(sum - whole.durationMs)).toBeLessThanOrEqual(whole.durationMs * 0.05);
  writeFileSync(join(context, "Dockerfile"), "FROM busybox\nCOPY f /f\nRUN exit 3\n");
  expect((await rig.tsbuild(["--report", file, context])).code).toBe(1);
  expect(report().outcome).toBe("failed");
  expect(report().error).toContain("exit code: 3");
  expect(report().steps.find(({ name }) => name.includes("exit 3"))).toMatchObject({
    outcome: "failed",
    cpuMs: expect.any(Number) as number,
  });
});

/** Digest of the image that a metadata file names. */
function idIn(file: string): string {
  return (JSON.parse(readFileSync(file, "utf8")) as Record<string, string>)["containerimage.digest"]!;
}
