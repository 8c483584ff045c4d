// Where tsbuild's time goes: each workload built warm, once watched from inside the process and once by the profiler, which makes it slower.
// What is waited for (containers, the disk, threads) is told from what the program itself does.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { openBuilders } from "./builders.ts";
import { writeBase } from "./contexts.ts";
import { measure } from "./measure.ts";
import { BASE, type Size, type Workload } from "./workloads.ts";

/** What the process says of itself at its end; milliseconds. */
interface Usage {
  /** From the process's start to its end, as Node counts it. */
  readonly wall: number;
  /** Until the first line of the program. */
  readonly start: number;
  /** The main thread had nothing to do. */
  readonly idle: number;
  /** Processor time of all its threads, and of the processes that it has waited for. */
  readonly own: number;
  readonly children: number;
}

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
  }[];
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

export const PROFILED: readonly string[] = ["unchanged", "runs", "stages", "sleepers", "cutoff"];

const PLACES = 8;
const ROUNDS = 5;

/** What is built again and again in one context, and needs nothing beside tsbuild. */
export function mayProfile({ start, needs }: Workload): boolean {
  return start === "warm" && needs === undefined;
}

/** Markdown: a line for each workload, then the places where its main thread spent most. */
export async function profiles(chosen: readonly Workload[], size: Size, root: string): Promise<string> {
  const lab = await Lab.open(root);
  const rows: string[] = [];
  const places: string[] = [];
  for (const workload of chosen) {
    const { usage, profile } = await lab.profile(workload, size);
    const title = workload.phases[0]!.name;
    rows.push(usageRow(title, usage));
    places.push(`| ${title} | ${topPlaces(profile).join("; ")} |`);
  }
  return [
    "| work | whole ms | Node's start | main thread at work | it waits | processor ms: tsbuild / containers |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
    ...rows,
    "",
    "| work | the main thread's time by function, % of the profile without idling |",
    "| --- | --- |",
    ...places,
  ].join("\n");
}

/** A module that writes the process's usage to `file` when it ends; as text, since loading a file of TypeScript would take longer than what is measured. */
function usageReporter(file: string): string {
  // cutime and cstime are the 14th and 15th field after the name, which may hold anything; in steps of 10 ms.
  return `import { readFileSync, writeFileSync } from "node:fs";
    const start = performance.now();
    process.on("exit", () => {
      const stat = readFileSync("/proc/self/stat", "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const { user, system } = process.cpuUsage();
      const usage = { start, own: (user + system) / 1000, children: (Number(fields[13]) + Number(fields[14])) * 10 };
      const { idle } = performance.eventLoopUtilization();
      writeFileSync(${JSON.stringify(file)}, JSON.stringify({ ...usage, idle, wall: performance.now() }));
    });`;
}

class Lab {
  readonly #root: string;
  readonly #builder = openBuilders({ root: "", docker: "none", buildah: "none", mayPrune: false })[0]!;
  readonly #env: NodeJS.ProcessEnv;

  private constructor(root: string) {
    this.#root = root;
    this.#env = { ...process.env, TSBUILD_ROOT: join(root, "store") };
  }

  static async open(root: string): Promise<Lab> {
    const lab = new Lab(root);
    const base = mkdtempSync(join(root, "base-"));
    writeBase(base);
    await lab.#run(base, BASE, {});
    return lab;
  }

  async profile(workload: Workload, size: Size): Promise<{ usage: Usage; profile: Profile }> {
    const context = mkdtempSync(join(this.#root, `${workload.name}-`));
    workload.write(context, size);
    const [phase] = workload.phases;
    const build = async (options: string): Promise<void> => {
      phase!.before?.(context);
      await this.#run(context, workload.name, phase!, options);
    };
    await build("");
    await build("");
    const file = join(this.#root, "usage.json");
    const usages: Usage[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      await build(`--import=data:text/javascript,${encodeURIComponent(usageReporter(file))}`);
      usages.push(JSON.parse(readFileSync(file, "utf8")) as Usage);
    }
    const folder = mkdtempSync(join(this.#root, "cpuprofile-"));
    await build(`--cpu-prof --cpu-prof-interval=200 --cpu-prof-dir=${folder}`);
    rmSync(context, { recursive: true });
    const middle = usages.toSorted((a, b) => a.wall - b.wall)[Math.floor(ROUNDS / 2)]!;
    return { usage: middle, profile: readProfile(folder) };
  }

  async #run(context: string, tag: string, phase: { readonly isCacheIgnored?: boolean }, options = ""): Promise<void> {
    const env = { ...this.#env, NODE_OPTIONS: options };
    await measure(this.#builder.build(context, tag, phase), { env, log: join(this.#root, "log") });
  }
}

/** The main thread's: CPU.DATE.TIME.PID.THREAD.N.cpuprofile. */
function readProfile(folder: string): Profile {
  const name = readdirSync(folder).find((name) => name.split(".")[4] === "0");
  if (name === undefined) throw new Error(`the profiler has written nothing for the main thread to ${folder}`);
  return JSON.parse(readFileSync(join(folder, name), "utf8")) as Profile;
}

function usageRow(title: string, { wall, start, idle, own, children }: Usage): string {
  const cells = [wall, start, wall - start - idle, idle].map((ms) => ms.toFixed(0));
  return `| ${title} | ${cells.join(" | ")} | ${own.toFixed(0)} / ${children.toFixed(0)} |`;
}

/** `name 12 %`, largest first; Node's own modules are one place, as is what runs outside of any function. */
function topPlaces({ nodes, samples, timeDeltas }: Profile): readonly string[] {
  const byId = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const spent = new Map<string, number>();
  for (const [index, id] of samples.entries()) {
    const place = placeOf(byId.get(id)!);
    spent.set(place, (spent.get(place) ?? 0) + (timeDeltas[index] ?? 0));
  }
  spent.delete("(idle)");
  const total = [...spent.values()].reduce((sum, us) => sum + us, 0);
  const largest = [...spent].toSorted(([, a], [, b]) => b - a).slice(0, PLACES);
  return largest.map(([place, us]) => `${place} ${((us / total) * 100).toFixed(0)} %`);
}

function placeOf({ functionName, url }: Profile["nodes"][number]["callFrame"]): string {
  if (url.startsWith("node:")) return "Node's modules";
  if (functionName.startsWith("(")) return functionName === "(program)" ? "native code" : functionName;
  if (functionName === "" || url === "") return url === "" ? `${functionName} (native)` : `top of ${basename(url)}`;
  return functionName;
}
