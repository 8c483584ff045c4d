// `node bench/run.ts [--smoke] [--runs N] [--docker "CMD"] [WORKLOAD…]`: builds with tsbuild and, where a docker command is given, with docker, in turns,
// so that a machine that gets slower does so for both. Prints medians as a table, then everything as one line of JSON. Needs root and busybox.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { measure, median, type Measured } from "./measure.ts";
import { BASE, WORKLOADS, writeBase, type Size, type Workload } from "./workloads.ts";

interface Builder {
  readonly name: string;
  readonly build: (context: string, tag: string, flags: readonly string[]) => readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

interface Row {
  readonly what: string;
  readonly builder: string;
  readonly runs: readonly Measured[];
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { smoke: { type: "boolean" }, runs: { type: "string" }, docker: { type: "string" } },
});
const size: Size = values.smoke ? "smoke" : "full";
const runs = Number(values.runs ?? (size === "smoke" ? 1 : 10));
const chosen = WORKLOADS.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
if (chosen.length === 0 || !(runs >= 1)) {
  console.error(
    `usage: node bench/run.ts [--smoke] [--runs N] [--docker CMD] [${WORKLOADS.map(({ name }) => name).join("|")}]…`,
  );
  process.exit(2);
}

const root = mkdtempSync(join(tmpdir(), "tsbuild-bench-"));
try {
  const rows = await runAll(builders());
  print(rows);
} finally {
  rmSync(root, { recursive: true, force: true });
}

function builders(): readonly Builder[] {
  const launcher = resolve(import.meta.dirname, "../src/bin/tsbuild");
  const ours: Builder = {
    name: "tsbuild",
    build: (context, tag, flags) => [launcher, "build", "--progress", "plain", ...flags, "-t", tag, context],
    env: { ...process.env, TSBUILD_ROOT: join(root, "store") },
  };
  if (values.docker === undefined) return [ours];
  const words = values.docker.split(" ");
  const build: Builder["build"] = (context, tag, flags) => [
    ...words,
    "build",
    "--progress",
    "plain",
    "--network",
    "host",
    ...flags,
    "-t",
    tag,
    context,
  ];
  return [ours, { name: "docker", build, env: { ...process.env, DOCKER_BUILDKIT: "1" } }];
}

async function runAll(all: readonly Builder[]): Promise<readonly Row[]> {
  const rows = new Map<string, { what: string; builder: string; runs: Measured[] }>();
  const add = (what: string, builder: string, measured: Measured): void => {
    const row = rows.get(`${what} ${builder}`) ?? { what, builder, runs: [] };
    rows.set(`${what} ${builder}`, row);
    row.runs.push(measured);
  };
  const log = join(root, "log");
  const base = freshContext(writeBase);
  for (const builder of all) await measure(builder.build(base, BASE, []), builder.env, log);
  for (const workload of chosen) {
    const rounds = workload.isWarm ? runs : Math.min(runs, 3);
    const shared = workload.isWarm ? await warmContext(workload, all, log) : undefined;
    for (let round = 0; round < rounds; round++) {
      add("node -e 0", "limit", await measure([process.execPath, "-e", "0"], process.env, log));
      for (const builder of all) {
        const context = shared ?? freshContext((folder) => workload.write(folder, size));
        for (const { name, flags = [], before } of workload.phases) {
          before?.(context);
          const command = builder.build(context, `tsbuild-bench-${workload.name}`, flags);
          add(name, builder.name, await measure(command, builder.env, log));
        }
        if (!shared) rmSync(context, { recursive: true, force: true });
      }
    }
  }
  return [...rows.values()];
}

/** A context that every builder has built twice: what is hashed too soon after its last change is not remembered the first time. */
async function warmContext(workload: Workload, all: readonly Builder[], log: string): Promise<string> {
  const context = freshContext((folder) => workload.write(folder, size));
  for (const builder of [...all, ...all])
    await measure(builder.build(context, `tsbuild-bench-${workload.name}`, []), builder.env, log);
  return context;
}

function freshContext(write: (folder: string) => void): string {
  const folder = mkdtempSync(join(root, "c-"));
  const context = join(folder, "context");
  mkdirSync(context);
  write(context);
  return context;
}

function print(rows: readonly Row[]): void {
  const ms = (row: Row | undefined): number | undefined => row && median(row.runs.map((run) => run.ms));
  const shown = (value: number | undefined, digits = 0): string => (value === undefined ? "–" : value.toFixed(digits));
  const lines = [["what", "tsbuild ms", "docker ms", "ratio", "peak MiB"]];
  for (const what of new Set(rows.map((row) => row.what))) {
    const of = (builder: string): Row | undefined => rows.find((row) => row.what === what && row.builder === builder);
    const [ours, docker] = [of("tsbuild") ?? of("limit"), of("docker")];
    const [our, their] = [ms(ours), ms(docker)];
    const peak = Math.max(...(ours?.runs ?? []).map(({ peakMiB }) => peakMiB));
    lines.push([what, shown(our), shown(their), shown(our && their && our / their, 2), String(peak)]);
  }
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!);
  for (const line of lines) console.log(line.map(pad).join("  "));
  console.log(JSON.stringify({ size, rows: rows.map((row) => ({ ...row, medianMs: ms(row) })) }));
}
