// `npm run compare`: builds every Dockerfile of fixtures/images with docker (BuildKit) and with tsbuild and prints where config, history, layers or
// final trees differ. Exit status: 0 = every difference is explained in explained.ts, 1 = one is not, 2 = nothing could be compared,
// as where there is no docker engine.
//
//   node test/compare/compare.ts [--case NAME]… [--docker "COMMAND"] [--base NAME=LAYOUT[:TAG]]… [--record] [--keep]
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  BASE,
  buildWords,
  copyBaseContext,
  copyContext,
  findCases,
  PROJECT,
  temporaryFolder,
  writeExpected,
  type Case,
} from "./cases.ts";
import { differences, type Difference } from "./differences.ts";
import { explanationOf } from "./explained.ts";
import { diffIdsOf, imageFacts, newLayers, type ImageFacts, type LayerFacts } from "./image-facts.ts";

const { values } = parseArgs({
  options: {
    case: { type: "string", multiple: true, default: [] },
    docker: { type: "string", default: "docker" },
    base: { type: "string", multiple: true, default: [] },
    record: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
  },
});

interface Side {
  readonly facts: ImageFacts | undefined;
  /** Why there is no image. */
  readonly error: string;
}

interface Place {
  readonly folder: string;
  readonly store: string;
  readonly baseLayout: string;
  readonly bases: ReadonlyMap<string, string>;
  readonly baseLayers: readonly LayerFacts[];
}

try {
  process.exitCode = main();
} catch (error) {
  console.error(`compare: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}

function main(): number {
  const docker = values.docker.split(" ");
  const version = run([...docker, "version", "--format", "{{.Server.Version}}"]);
  if (version.code !== 0) {
    const reason = version.stderr.trim().split("\n")[0] ?? "";
    throw new Error(
      `no docker engine answers "${values.docker} version": ${reason}; start one, or name the command with --docker`,
    );
  }
  const cases = findCases(values.case);
  using root = values.keep ? undefined : temporaryFolder();
  const place = prepare(root?.path ?? mkdtempSync(join(tmpdir(), "tsbuild-compare-")));
  console.log(`tsbuild against docker ${version.stdout.trim()}, ${cases.length} Dockerfiles`);
  let [explained, unexplained] = [0, 0];
  for (const each of cases) {
    const found = compareCase(each, docker, place);
    const faults = found.filter((difference) => explanationOf(each.name, difference) === undefined);
    explained += found.length - faults.length;
    unexplained += faults.length;
    report(each, found, faults);
  }
  console.log(`${cases.length} Dockerfiles, ${explained} differences explained, ${unexplained} not`);
  if (values.keep) console.log(`kept ${place.folder}`);
  return unexplained === 0 ? 0 : 1;
}

/** Makes the base image, once, for both builders. */
function prepare(folder: string): Place {
  const [context, store, baseLayout] = [join(folder, "base"), join(folder, "s"), join(folder, "base-layout")];
  copyBaseContext(context);
  const made = run(tsbuildWords(["-t", BASE, ...output(baseLayout), context]), { TSBUILD_ROOT: store });
  if (made.code !== 0) throw new Error(`the base image cannot be built: ${made.stderr}`);
  const bases = new Map(diffIdsOf(baseLayout).map((diffId) => [diffId, BASE]));
  return { folder, store, baseLayout, bases, baseLayers: newLayers(imageFacts(baseLayout, new Map())) };
}

function compareCase(each: Case, docker: readonly string[], place: Place): Difference[] {
  const folder = join(place.folder, each.name);
  const context = join(folder, "context");
  mkdirSync(folder);
  copyContext(each, context);
  const given = values.base.flatMap((text) => {
    const [name, layout] = text.split("=", 2);
    return ["--build-context", `${name}=oci-layout://${layout}`];
  });
  const words = [...given, ...buildWords(each, context, place.baseLayout)];
  const docked = side(join(folder, "docker"), place, (layout) =>
    run(
      [...docker, "build", "--provenance=false", "--sbom=false", "--network", "host", ...output(layout), ...words],
      each.env,
    ),
  );
  const built = side(join(folder, "tsbuild"), place, (layout) =>
    run(tsbuildWords([...output(layout), ...words]), { ...each.env, TSBUILD_ROOT: place.store }),
  );
  if (docked.facts === undefined || built.facts === undefined)
    return [{ where: "build", docker: docked.error || "an image", tsbuild: built.error || "an image" }];
  if (values.record && each.isRecorded) writeExpected(each, docked.facts);
  return differences(docked.facts, built.facts, place.baseLayers);
}

function side(layout: string, place: Place, build: (layout: string) => Result): Side {
  const { code, stderr } = build(layout);
  if (code !== 0) return { facts: undefined, error: stderr.trim().split("\n").slice(-12).join("\n") };
  return { facts: imageFacts(layout, place.bases), error: "" };
}

function report(each: Case, found: readonly Difference[], faults: readonly Difference[]): void {
  const explainedCount = found.length - faults.length;
  console.log(
    `${faults.length === 0 ? "same" : "DIFF"}  ${each.name}${explainedCount > 0 ? ` (${explainedCount} explained)` : ""}`,
  );
  for (const reason of new Set(found.map((difference) => explanationOf(each.name, difference)?.why)))
    if (reason !== undefined) console.log(`        explained: ${reason}`);
  for (const { where, docker, tsbuild } of faults)
    console.log(
      `      ${where}\n        docker:  ${docker ?? "(not there)"}\n        tsbuild: ${tsbuild ?? "(not there)"}`,
    );
}

function output(layout: string): string[] {
  return ["-o", `type=oci,tar=false,dest=${layout}`];
}

function tsbuildWords(words: readonly string[]): string[] {
  return [join(PROJECT, "src/bin/tsbuild"), "--progress", "plain", ...words];
}

interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run([command = "", ...words]: readonly string[], env: Readonly<Record<string, string>> = {}): Result {
  const { status, stdout, stderr, error } = spawnSync(command, words, {
    env: { TSBUILD_SOURCES: "1", ...process.env, ...env },
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  return { code: status, stdout, stderr: error === undefined ? stderr : error.message };
}
