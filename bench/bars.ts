// `npm run bench -- --bars FILE…`: the JSON of several runs held against what was promised, a column a run. Pure.
import { median, type Measured } from "./measure.ts";

/** What a run must reach, in words and as a figure of it; undefined = this run did not measure it. */
interface Bar {
  readonly work: string;
  readonly bar: string;
  readonly atMost: number;
  readonly figure: (run: Run) => number | undefined;
  readonly shown: (figure: number) => string;
}

/** A line of JSON that a run has printed (report.ts). */
export interface Run {
  readonly notes: readonly string[];
  readonly rows: readonly {
    readonly what: string;
    readonly limit?: { readonly name: string; readonly medianMs: number };
    readonly runs: Readonly<Record<string, readonly Measured[]>>;
    readonly ratios: Readonly<Record<string, number | undefined>>;
  }[];
}

const US = "tsbuild";

const BARS: readonly Bar[] = [
  millis("nothing changed, 10 steps", 150),
  ratioTo("nothing changed, 10 steps", 1),
  ratioTo("40 RUNs in a row", 0.4),
  ratioTo("16 stages, 32 RUNs", 0.4),
  millis("4 stages that sleep 2 s", 2800),
  millis("early step changed in text only, then 3 s", 300),
  ratioTo("100,000 files, first", 0.25),
  ratioTo("100,000 files, nothing changed", 0.25),
  ratioTo("100,000 files, one changed", 0.25),
  ratioTo("a layer of mixed content, build and push", 0.5),
  {
    work: "any of the workloads",
    bar: "peak ≤ 200 MB",
    atMost: 200e6 / 1024 ** 2,
    figure: ({ rows }) => Math.max(...rows.flatMap(({ runs }) => (runs[US] ?? []).map(({ peakMiB }) => peakMiB))),
    shown: (mib) => `${((mib * 1024 ** 2) / 1e6).toFixed(0)} MB`,
  },
];

export function barsTable(runs: readonly Run[]): string {
  const head = ["work", "bar", ...runs.map((_, index) => `run ${index + 1}`), "reached"];
  const body = BARS.map(({ work, bar, atMost, figure, shown }) => {
    const figures = runs.map((run) => figure(run));
    const known = figures.filter((value) => value !== undefined);
    const isReached = known.every((value) => value <= atMost);
    const verdict = known.length === 0 ? "not measured" : isReached ? "yes" : "no";
    return [work, bar, ...figures.map((value) => (value === undefined ? "–" : shown(value))), verdict];
  });
  const rule = head.map((_, column) => (column < 2 ? "---" : "---:"));
  const table = [head, rule, ...body].map((cells) => `| ${cells.join(" | ")} |`);
  return [...runs.map((run, index) => `- Run ${index + 1}: ${circumstances(run)}`), "", ...table].join("\n");
}

/** When and on what, and how fast the machine was then: on one that others use, or that is throttled, milliseconds mean little. */
function circumstances({ notes, rows }: Run): string {
  const start = rows.find(({ limit }) => limit?.name === "node -e 0")?.limit;
  return [...notes, ...(start ? [`node -e 0 took ${start.medianMs.toFixed(0)} ms`] : [])].join("; ");
}

/** tsbuild's median. */
function millis(work: string, atMost: number): Bar {
  const figure = (run: Run): number | undefined => {
    const measured = run.rows.find(({ what }) => what === work)?.runs[US] ?? [];
    return measured.length === 0 ? undefined : median(measured.map(({ ms }) => ms));
  };
  return { work, bar: `≤ ${atMost} ms`, atMost, figure, shown: (ms) => `${ms.toFixed(0)} ms` };
}

/** Against the fastest of the others in that run: the largest of the ratios. */
function ratioTo(work: string, atMost: number): Bar {
  const figure = (run: Run): number | undefined => {
    const ratios = Object.values(run.rows.find(({ what }) => what === work)?.ratios ?? {});
    const known = ratios.filter((ratio) => ratio !== undefined);
    return known.length === 0 ? undefined : Math.max(...known);
  };
  return { work, bar: `≤ ${atMost.toFixed(2)} × the best other`, atMost, figure, shown: (ratio) => ratio.toFixed(3) };
}
