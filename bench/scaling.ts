// How tsbuild's time grows: per file of a context (10^3 to --max-files), per step (10 to 1,000) and per layer below a step (1 to 120). Each size is measured
// in a store of its own: the first build, then one in which nothing changed. A line that bends upwards is a mistake of ours.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { openBuilders } from "./builders.ts";
import { numbers, writeBase, writeDockerfile, writeFiles } from "./contexts.ts";
import { measure, median, type Measured } from "./measure.ts";
import { replaceMarked } from "./report.ts";
import { svgPlot } from "./svg-plot.ts";
import { BASE } from "./workloads.ts";

export interface ScalingOptions {
  readonly maxFiles: number;
  /** Plots and table go to docs/. */
  readonly isWritten: boolean;
}

interface Dimension {
  /** `file`, `step`, `layer`. */
  readonly unit: string;
  readonly title: string;
  readonly sizes: readonly number[];
  readonly write: (context: string, size: number) => void;
  /** What of the first build is measured: all of it, or only the last step on what lies below. */
  readonly isLastStepOnly?: boolean;
}

interface Point {
  readonly size: number;
  readonly first: Measured;
  readonly unchanged: Measured;
}

const DOCS = resolve(import.meta.dirname, "../docs");
const UNCHANGED_ROUNDS = 3;

const RUNS_PER_STAGE = 50;

export async function scaling({ maxFiles, isWritten }: ScalingOptions): Promise<void> {
  const lines = [
    "| | size | first ms | per unit µs | nothing changed ms | per unit µs | peak MiB |",
    "|---|---:|---:|---:|---:|---:|---:|",
  ];
  for (const dimension of dimensions(maxFiles)) {
    const points: Point[] = [];
    for (const size of dimension.sizes) {
      const point = await measureSize(dimension, size);
      points.push(point);
      lines.push(row(dimension, point));
      console.error(lines.at(-1));
    }
    const perUnit = (value: (point: Point) => Measured): (readonly [number, number])[] =>
      points.map((point) => [point.size, value(point).ms / point.size]);
    const plot = svgPlot({
      title: dimension.title,
      x: `${dimension.unit}s`,
      y: `ms per ${dimension.unit}`,
      series: [
        { name: dimension.isLastStepOnly ? "one more RUN" : "first build", points: perUnit(({ first }) => first) },
        { name: "nothing changed", points: perUnit(({ unchanged }) => unchanged) },
      ],
    });
    if (isWritten) writeFileSync(join(DOCS, `scaling-${dimension.unit}s.svg`), plot);
  }
  console.log(lines.join("\n"));
  if (!isWritten) return;
  const images = dimensions(maxFiles).map(({ unit }) => `![time per ${unit}](scaling-${unit}s.svg)`);
  const document = join(DOCS, "performance.md");
  const content = [...lines, "", ...images].join("\n");
  writeFileSync(document, replaceMarked(readFileSync(document, "utf8"), "scaling", content));
}

function dimensions(maxFiles: number): readonly Dimension[] {
  return [
    {
      unit: "file",
      title: "COPY of many files",
      sizes: [1_000, 10_000, 100_000, 1_000_000].filter((size) => size <= maxFiles),
      write: (context, size) => {
        writeFiles(join(context, "files"), size);
        writeDockerfile(context, [`FROM ${BASE}`, "COPY files /files"]);
      },
    },
    {
      unit: "step",
      title: `many RUNs, ${RUNS_PER_STAGE} in a stage`,
      sizes: [10, 100, 300, 1_000],
      write: writeSteps,
    },
    {
      unit: "layer",
      title: "one RUN on many layers",
      sizes: [1, 10, 40, 120],
      write: (context, size) =>
        writeDockerfile(context, [`FROM ${BASE}`, ...numbers(size).map((i) => `RUN echo ${i} > /f${i}`)]),
      isLastStepOnly: true,
    },
  ];
}

function writeSteps(context: string, size: number): void {
  const stages = numbers(Math.ceil(size / RUNS_PER_STAGE));
  const each = stages.flatMap((stage) => [
    `FROM ${BASE} AS s${stage}`,
    ...numbers(Math.min(RUNS_PER_STAGE, size - stage * RUNS_PER_STAGE)).map((i) => `RUN echo ${stage}.${i} > /f`),
  ]);
  writeDockerfile(context, [...each, "FROM scratch", ...stages.map((stage) => `COPY --from=s${stage} /f /f${stage}`)]);
}

async function measureSize({ write, isLastStepOnly }: Dimension, size: number): Promise<Point> {
  const root = mkdtempSync(join(tmpdir(), "tsbuild-scaling-"));
  try {
    const [builder] = openBuilders({ root, docker: "none", buildah: "none", mayPrune: false });
    const { build, env } = builder!;
    const folder = (name: string): string => {
      const path = join(root, name);
      mkdirSync(path);
      return path;
    };
    const run = (context: string, tag: string): Promise<Measured> =>
      measure(build(context, tag, {}), { env, log: join(root, "log") });
    const [base, context] = [folder("base"), folder("context")];
    writeBase(base);
    await run(base, BASE);
    write(context, size);
    let first = await run(context, "scaling");
    if (isLastStepOnly) {
      const dockerfile = join(context, "Dockerfile");
      writeFileSync(dockerfile, `${readFileSync(dockerfile, "utf8")}RUN echo more > /more\n`);
      first = await run(context, "scaling");
    }
    const unchanged: Measured[] = [];
    // The first one may still learn what was too young to be remembered.
    await run(context, "scaling");
    for (let round = 0; round < UNCHANGED_ROUNDS; round++) unchanged.push(await run(context, "scaling"));
    return { size, first, unchanged: { ...unchanged[0]!, ms: median(unchanged.map(({ ms }) => ms)) } };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

function row({ title, unit }: Dimension, { size, first, unchanged }: Point): string {
  const each = ({ ms }: Measured): string => ((ms * 1000) / size).toFixed(0);
  const peak = Math.max(first.peakMiB, unchanged.peakMiB).toFixed(0);
  const cells = [first.ms.toFixed(0), each(first), unchanged.ms.toFixed(0), each(unchanged), peak];
  return `| ${title} | ${size.toLocaleString("en")} ${unit}s | ${cells.join(" | ")} |`;
}
