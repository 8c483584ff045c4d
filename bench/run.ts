// `npm run bench -- [flags] [WORKLOAD…]`: builds with tsbuild, docker and buildah in turns and prints a table and one line of JSON.
// --smoke looks at counts instead of clocks and is a part of `npm test`; --scaling plots time per file, step and layer. docs/performance.md describes all of it.
import { mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { openDockerRegistry } from "../test/support/docker-registry.ts";
import type { Run } from "./bars.ts";
import { openBuilders, type Builder } from "./builders.ts";
import { json, markdown, replaceMarked, type Report, type Row } from "./report.ts";
import { runWorkload } from "./rounds.ts";
import { FULL, workloads, type Size } from "./workloads.ts";

const USAGE = `usage: npm run bench -- [flags] [WORKLOAD…]
  --docker CMD          docker's command line (default: docker on PATH; "none": without it)
  --docker-pid PID      its daemon's process, or a file with the number: peak memory, bytes and processor time count it then
  --buildah CMD         buildah's command line; --buildah-flags WORDS: more words for its build
  --prune               empty docker's and buildah's stores between cold builds; without it cold means: files not seen before
  --base IMAGE          a Debian base image for "pull, unpack, first RUN"
  --runs N              rounds (default 10, heavy ones 3); --quick: 3 and 1
  --context-size MIB    of the context of which one file changes (default 5120; 1024 with --quick; less where the disk is small)
  --files N             of the big context (default 100000)
  --write               write the table into docs/performance.md; --json FILE: the JSON line
  --bars [--write]      no run: the table of what had to be reached, of the JSON files that are named instead of workloads, a column each
  --smoke [--record]    counts against bench/counts.json; --record writes it
  --scaling [--write]   time per file, step and layer of tsbuild; --max-files N (default 100000)
  --profile [--write]   where tsbuild's time goes in the warm workloads (default: those that the bars name)`;

const { values: flags, positionals } = parse();
const DOCUMENT = resolve(import.meta.dirname, "../docs/performance.md");
const MIB = 1024 * 1024;

if (flags.smoke) {
  const { smoke } = await import("./smoke.ts");
  process.exitCode = await smoke({ isRecorded: flags.record });
} else if (flags.bars) {
  const { barsTable } = await import("./bars.ts");
  const table = barsTable(positionals.map((file) => JSON.parse(readFileSync(file, "utf8")) as Run));
  console.log(table);
  if (flags.write) writeFileSync(DOCUMENT, replaceMarked(readFileSync(DOCUMENT, "utf8"), "bars", table));
} else if (flags.scaling) {
  const { scaling } = await import("./scaling.ts");
  await scaling({ maxFiles: Number(flags["max-files"]), isWritten: flags.write });
} else {
  await inTemporaryDirectory(flags.profile ? profile : bench);
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        docker: { type: "string" },
        "docker-pid": { type: "string" },
        buildah: { type: "string" },
        "buildah-flags": { type: "string" },
        prune: { type: "boolean", default: false },
        base: { type: "string" },
        runs: { type: "string" },
        quick: { type: "boolean", default: false },
        "context-size": { type: "string" },
        files: { type: "string" },
        write: { type: "boolean", default: false },
        json: { type: "string" },
        bars: { type: "boolean", default: false },
        smoke: { type: "boolean", default: false },
        record: { type: "boolean", default: false },
        scaling: { type: "boolean", default: false },
        profile: { type: "boolean", default: false },
        "max-files": { type: "string", default: "100000" },
      },
    });
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    process.exit(2);
  }
}

/** The directory goes with the run, also where that is interrupted. */
async function inTemporaryDirectory(work: (root: string) => Promise<void>): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "tsbuild-bench-"));
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      rmSync(root, { recursive: true, force: true });
      process.exit(signal === "SIGINT" ? 130 : 143);
    });
  }
  try {
    await work(root);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

async function profile(root: string): Promise<void> {
  const { mayProfile, profiles, PROFILED } = await import("./profile.ts");
  const size = sizes(root);
  const able = workloads(size).filter(mayProfile);
  const unknown = positionals.filter((name) => !able.some((workload) => workload.name === name));
  if (unknown.length > 0) {
    console.error(`--profile takes ${able.map(({ name }) => name).join(", ")}, not ${unknown.join(", ")}\n${USAGE}`);
    process.exitCode = 2;
    return;
  }
  const names = positionals.length > 0 ? positionals : PROFILED;
  const chosen = able.filter(({ name }) => names.includes(name));
  const table = await profiles(chosen, size, root);
  console.log(table);
  if (flags.write) writeFileSync(DOCUMENT, replaceMarked(readFileSync(DOCUMENT, "utf8"), "profiles", table));
}

async function bench(root: string): Promise<void> {
  const size = sizes(root);
  const all = workloads(size);
  const chosen = all.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  const unknown = positionals.filter((name) => !all.some((workload) => workload.name === name));
  if (unknown.length > 0) {
    console.error(`no workload ${unknown.join(", ")}; there are ${all.map(({ name }) => name).join(", ")}\n${USAGE}`);
    process.exitCode = 2;
    return;
  }
  const builders = openBuilders({
    root,
    docker: flags.docker ?? process.env["BENCH_DOCKER"],
    dockerPid: flags["docker-pid"] ?? process.env["BENCH_DOCKER_PID"],
    buildah: flags.buildah ?? process.env["BENCH_BUILDAH"],
    buildahFlags: flags["buildah-flags"] ?? process.env["BENCH_BUILDAH_FLAGS"],
    mayPrune: flags.prune,
  });
  await using registry = await openDockerRegistry();
  const light = Number(flags.runs ?? (flags.quick ? 3 : 10));
  const rounds = { light, heavy: flags.quick ? 1 : Math.min(light, 3) };
  const notes = describe(builders, size, rounds);
  const rows: Row[] = [];
  for (const workload of chosen) {
    console.error(`${workload.name} …`);
    const options = { builders, size, root, registry: registry.host, rounds, isQuick: flags.quick };
    const onNote = (note: string): void => void notes.push(note);
    try {
      rows.push(...(await runWorkload(workload, { ...options, onNote })));
    } catch (error) {
      // The others are still worth their time; the process fails at the end.
      const message = error instanceof Error ? error.message : String(error);
      console.error(message);
      notes.push(`${workload.name}: FAILED: ${message.split("\n")[0] ?? ""}`);
      process.exitCode = 1;
    }
  }
  publish({ rows, builders: builders.map(({ name }) => name), notes });
}

function sizes(root: string): Size {
  const wanted = Number(flags["context-size"] ?? (flags.quick ? 1024 : 5120)) * MIB;
  const { bavail, bsize } = statfsSync(root);
  // The context, a copy of it in each builder's store, and one to spare.
  const fits = Math.floor((bavail * bsize) / 6);
  const files = Number(flags.files ?? FULL.files);
  return { ...FULL, files, context: Math.min(wanted, fits), base: flags.base ?? process.env["BENCH_BASE"] };
}

function describe(
  builders: readonly Builder[],
  size: Size,
  rounds: { readonly light: number; readonly heavy: number },
): string[] {
  const { model = "unknown processor" } = cpus()[0] ?? {};
  const files = `${size.files.toLocaleString("en")} files, ${(size.context / MIB).toFixed(0)} MiB of context`;
  return [
    `${new Date().toISOString().slice(0, 16)}Z, ${cpus().length} × ${model}, Linux ${release()}, Node ${process.version}`,
    `medians of ${rounds.light} rounds (heavy ones: ${rounds.heavy})${flags.quick ? ", --quick: buildah in one round of the light ones" : ""}; ${files}`,
    ...builders
      .filter(({ name, daemon }) => name === "docker" && daemon === undefined)
      .map(() => "of docker only its client's processor time, memory and bytes: no --docker-pid was given"),
  ];
}

function publish(report: Report): void {
  const table = markdown(report);
  const line = json(report);
  console.log(table);
  console.log(line);
  if (flags.json !== undefined) writeFileSync(flags.json, `${line}\n`);
  if (flags.write) writeFileSync(DOCUMENT, replaceMarked(readFileSync(DOCUMENT, "utf8"), "table", table));
}
