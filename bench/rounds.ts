// Runs workloads: each builder in turn in every round, so that a machine that gets slower does so for all of them.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Builder } from "./builders.ts";
import { writeBase } from "./contexts.ts";
import { measure } from "./measure.ts";
import type { Row } from "./report.ts";
import { imageDifferences } from "./same-image.ts";
import { BASE, SMALL, type Size, type Workload } from "./workloads.ts";

export interface RoundOptions {
  readonly builders: readonly Builder[];
  readonly size: Size;
  /** Temporary directory; contexts lie in it. */
  readonly root: string;
  /** `127.0.0.1:PORT`, for the workloads that push. */
  readonly registry: string;
  readonly rounds: { readonly light: number; readonly heavy: number };
  /** The slowest builder takes part in one round, and in none of the heavy ones. */
  readonly isQuick: boolean;
  readonly onNote: (note: string) => void;
}

const SLOWEST = "buildah";

/** Measures the workload; a row for each of its phases. */
export async function runWorkload(workload: Workload, options: RoundOptions): Promise<readonly Row[]> {
  const { size, isQuick, onNote } = options;
  if (workload.needs === "base" && size.base === undefined) {
    onNote(`${workload.name}: left out, no --base was given`);
    return [];
  }
  const able = options.builders.filter(
    (builder) =>
      !(isQuick && workload.isHeavy && builder.name === SLOWEST) && (workload.start !== "empty" || builder.prune),
  );
  for (const { name } of options.builders.filter((builder) => !able.includes(builder)))
    onNote(`${workload.name}: without ${name}${workload.start === "empty" ? ", whose store may not be emptied" : ""}`);
  const lab = new Lab(workload, { ...options, builders: able });
  await lab.compare();
  await lab.run();
  return lab.rows;
}

class Lab {
  readonly #workload: Workload;
  readonly #options: RoundOptions;
  readonly #log: string;
  readonly #folder: string;
  readonly rows: readonly Row[];

  constructor(workload: Workload, options: RoundOptions) {
    this.#workload = workload;
    this.#options = options;
    this.#log = join(options.root, "log");
    this.#folder = mkdtempSync(join(options.root, `${workload.name}-`));
    this.rows = workload.phases.map(({ name, limit }) => ({
      what: name,
      limit: limit && { name: limit.name, ms: [] },
      runs: new Map(),
    }));
  }

  async compare(): Promise<void> {
    const { builders, size } = this.#options;
    for (const builder of builders) await this.#makeBase(builder);
    const folder = join(this.#folder, "same");
    const small = { ...SMALL, base: size.base };
    const found = await imageDifferences(this.#workload, builders, { size: small, folder, log: this.#log });
    if (found.length > 0)
      throw new Error(`${this.#workload.name}: not the same image\n${found.slice(0, 10).join("\n")}`);
  }

  async run(): Promise<void> {
    const { rounds, builders, isQuick } = this.#options;
    const count = this.#workload.isHeavy ? rounds.heavy : rounds.light;
    const shared = this.#workload.start === "warm" ? await this.#warmContext() : undefined;
    for (let round = 0; round < count; round++) {
      const turn = builders.filter(({ name }) => !(isQuick && round > 0 && name === SLOWEST));
      for (const builder of turn) {
        if (!shared) await this.#empty(builder);
        const context = shared ?? this.#newContext();
        await this.#runPhases(builder, context);
        if (!shared) rmSync(context, { recursive: true });
      }
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #runPhases(builder: Builder, context: string): Promise<void> {
    const { name, env, daemon } = builder;
    for (const [index, phase] of this.#workload.phases.entries()) {
      const row = this.rows[index]!;
      phase.before?.(context);
      // Once per round: with the first builder's turn.
      if (builder === this.#options.builders[0]) row.limit?.ms.push(phase.limit!.measure(context));
      const measured = await measure(builder.build(context, this.#tag, phase), { env, daemon, log: this.#log });
      row.runs.set(name, [...(row.runs.get(name) ?? []), measured]);
    }
  }

  get #tag(): string {
    const { needs, name } = this.#workload;
    return needs === "registry" ? `${this.#options.registry}/bench/${name}` : `tsbuild-bench-${name}`;
  }

  /** A context that every builder has built twice: what is hashed too soon after its last change is not remembered the first time. */
  async #warmContext(): Promise<string> {
    const context = this.#newContext();
    for (const builder of this.#options.builders) {
      const { phases } = this.#workload;
      const commands = builder.build(context, this.#tag, { isPushed: phases[0]!.isPushed ?? false });
      // Where the cache is ignored there is nothing to warm but the base image.
      const times = phases.every(({ isCacheIgnored }) => isCacheIgnored) ? (builder.name === SLOWEST ? 0 : 1) : 2;
      for (let time = 0; time < times; time++) await measure(commands, { env: builder.env, log: this.#log });
    }
    return context;
  }

  async #empty(builder: Builder): Promise<void> {
    if (!builder.prune) return;
    builder.prune();
    if (this.#workload.start !== "empty") await this.#makeBase(builder);
  }

  async #makeBase({ build, env }: Builder): Promise<void> {
    const context = join(this.#options.root, "base");
    if (mkdirSync(context, { recursive: true }) !== undefined) writeBase(context);
    await measure(build(context, BASE, {}), { env, log: this.#log });
  }

  #newContext(): string {
    const context = join(mkdtempSync(join(this.#folder, "c-")), "context");
    mkdirSync(context);
    this.#workload.write(context, this.#options.size);
    return context;
  }
}
