// What was measured, as a table of Markdown and as JSON. Pure.
import { median, type Measured } from "./measure.ts";

export interface Row {
  readonly what: string;
  readonly limit: { readonly name: string; readonly ms: number[] } | undefined;
  /** By builder, in the order of rounds. */
  readonly runs: Map<string, Measured[]>;
}

export interface Report {
  readonly rows: readonly Row[];
  readonly builders: readonly string[];
  /** What the reader must know: machine, sizes, rounds, what was left out. */
  readonly notes: readonly string[];
}

const US = "tsbuild";

/** The median of the ratios of runs in the same round: what slows one of them down mostly slows down the other. */
export function ratio(row: Row, builder: string): number | undefined {
  const [ours = [], theirs = []] = [row.runs.get(US), row.runs.get(builder)];
  const pairs = theirs.flatMap((their, round) => (ours[round] ? [ours[round].ms / their.ms] : []));
  return pairs.length === 0 ? undefined : median(pairs);
}

export function markdown({ rows, builders, notes }: Report): string {
  const others = builders.filter((name) => name !== US);
  const head = [
    "work",
    "limit",
    `${US} ms`,
    ...others.flatMap((name) => [`${name} ms`, `× ${name}`]),
    ...["processor s", "peak MiB", "written MiB"].map((what) => `${what}: ${builders.join(" / ")}`),
  ];
  const body = rows.map((row) => {
    const all = (value: (measured: Measured) => number, digits: number): string =>
      builders.map((name) => of(row, name, value, digits)).join(" / ");
    return [
      row.what,
      row.limit === undefined ? "" : `${median(row.limit.ms).toFixed(0)} (${row.limit.name})`,
      of(row, US, ({ ms }) => ms, 0),
      ...others.flatMap((name) => [of(row, name, ({ ms }) => ms, 0), ratio(row, name)?.toFixed(2) ?? "–"]),
      all(({ cpuMs }) => cpuMs / 1000, 2),
      all(({ peakMiB }) => peakMiB, 0),
      all(({ writtenMiB }) => writtenMiB, 1),
    ];
  });
  const rule = head.map((_, column) => (column < 2 ? "---" : "---:"));
  const table = [head, rule, ...body].map((cells) => `| ${cells.join(" | ")} |`);
  return [...notes.map((note) => `- ${note}`), "", ...table].join("\n");
}

function of(row: Row, builder: string, value: (measured: Measured) => number, digits: number): string {
  const runs = row.runs.get(builder) ?? [];
  return runs.length === 0 ? "–" : median(runs.map(value)).toFixed(digits);
}

export function json({ rows, builders, notes }: Report): string {
  return JSON.stringify({
    builders,
    notes,
    rows: rows.map((row) => ({
      what: row.what,
      limit: row.limit && { ...row.limit, medianMs: median(row.limit.ms) },
      runs: Object.fromEntries(row.runs),
      ratios: Object.fromEntries(builders.filter((name) => name !== US).map((name) => [name, ratio(row, name)])),
    })),
  });
}

/** `text` with what lies between the marks `<!-- NAME -->` and `<!-- /NAME -->` replaced. */
export function replaceMarked(text: string, name: string, content: string): string {
  const [start, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const [from, to] = [text.indexOf(start), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`there are no marks ${start} … ${end}`);
  return `${text.slice(0, from + start.length)}\n\n${content}\n\n${text.slice(to)}`;
}
