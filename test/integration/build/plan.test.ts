// "What nobody has" 2: what a build would do, without building; and that the build then does it.
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { BuildForecast } from "../../../src/index.ts";
import { downloads, openDockerRegistry } from "../../support/docker-registry.ts";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

const DOCKERFILE = `FROM busybox AS build
ARG V=1
COPY src /src
RUN wc -c < /src/a > /size
RUN cat /size > /copy
FROM busybox
COPY --from=build /copy /copy
RUN --mount=type=bind,source=src,target=/m cat /m/b > /b
`;

async function planned(context: string, ...args: readonly string[]): Promise<BuildForecast> {
  const { stdout } = await rig.must(["plan", "--format", "json", ...args, context]);
  return JSON.parse(stdout) as BuildForecast;
}

const outcomes = ({ steps }: BuildForecast): readonly string[] => steps.map(({ outcome }) => outcome);

test("a plan says what would hit, run or may be kept, and why; it changes nothing", async () => {
  const context = rig.context({ Dockerfile: DOCKERFILE, "src/a": "one", "src/b": "b" });
  expect(outcomes(await planned(context))).toEqual(["run", "run", "run", "maybe", "run"]);
  await rig.must([context]);
  expect(outcomes(await planned(context))).toEqual(["cached", "cached", "cached", "cached", "cached"]);
  writeFileSync(join(context, "src/a"), "two");
  const before = snapshot(rig.store);
  const plan = await planned(context);
  expect(snapshot(rig.store)).toEqual(before);
  // The result of a COPY is known without making it; that of a RUN is not.
  expect(outcomes(plan)).toEqual(["run", "run", "run", "maybe", "maybe"]);
  expect(plan.steps[0]!.cause).toMatchObject({ changes: [{ files: [{ path: "src/a", change: "content changed" }] }] });
  expect(plan.steps[3]!.dependsOn).toContain("RUN cat /size");
  expect(plan.expectedMs.most).toBeGreaterThanOrEqual(plan.expectedMs.least);
  expect(plan.criticalPath.length).toBeGreaterThan(0);
  const { stderr } = await rig.must(["--progress", "rawjson", context]);
  const ended = rig.outcomes(stderr);
  expect(plan.steps.map(({ name }) => ended.get(name))).toEqual(["ran", "ran", "ran", "cached", "ran"]);
});

test("flags count in a plan as in a build, and a broken Dockerfile fails it", async () => {
  const context = rig.context({ Dockerfile: DOCKERFILE, "src/a": "x", "src/b": "y" });
  await rig.must([context]);
  const { stdout } = await rig.must(["plan", "--no-cache-filter", "build", context]);
  expect(stdout).toMatch(/^run {10}\[build 2\/4\] COPY src \/src \(.*s\): asked for by --no-cache-filter build$/m);
  expect(stdout).toMatch(/^expected {5}\d/m);
  expect(outcomes(await planned(context, "--build-arg", "V=2"))).toEqual(["cached", "run", "run", "maybe", "maybe"]);
  writeFileSync(join(context, "Dockerfile"), "FROM busybox\nCOPIE a b\n");
  expect((await rig.tsbuild(["plan", context])).code).toBe(1);
});

test("a plan of an empty machine says what would be pulled, and how much of it", async () => {
  const env = { env: { TSBUILD_ROOT: join(rig.root, "empty") } };
  await using registry = await openDockerRegistry();
  const name = `${registry.host}/base:1`;
  await rig.must(["tag", "busybox", name]);
  await rig.must(["push", name]);
  const context = rig.context({ Dockerfile: `FROM ${name}\nRUN true\n` });
  await registry.requests();
  const { pulls } = JSON.parse((await rig.must(["plan", "--format", "json", context], env)).stdout) as BuildForecast;
  expect(downloads(await registry.requests()).length, "the config alone").toBe(1);
  const headers = { accept: "application/vnd.oci.image.manifest.v1+json" };
  const answer = await fetch(`http://${registry.host}/v2/base/manifests/1`, { headers });
  const { layers } = (await answer.json()) as { readonly layers: readonly { readonly size: number }[] };
  const size = layers.reduce((sum, layer) => sum + layer.size, 0);
  expect(pulls).toEqual([{ image: name, missingLayers: layers.length, layers: layers.length, size }]);
  await rig.must([context], env);
  const after = JSON.parse((await rig.must(["plan", "--format", "json", context], env)).stdout) as BuildForecast;
  expect(after.pulls).toEqual([]);
});

/** Names, sizes and times of everything in the store but the database and what a look-up notes. */
function snapshot(store: string): readonly string[] {
  const paths = readdirSync(store, { recursive: true, encoding: "utf8" }).sort();
  const kept = paths.filter((path) => !/^(tsbuild\.db|contexts|locks|leases)/.test(path));
  return kept.map((path) => {
    const stat = statSync(join(store, path), { throwIfNoEntry: false });
    return `${path} ${stat?.isFile() ? `${stat.size} ${stat.mtimeMs}` : ""}`;
  });
}
