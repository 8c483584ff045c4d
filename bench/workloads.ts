// What is measured: contexts, and the builds of each. Every context carries a salt, so that a first build is one for every builder without emptying its cache.
import { randomBytes } from "node:crypto";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Name of the base image; made from the machine's busybox, the same for every builder. */
export const BASE = "tsbuild-bench-base";

export interface Phase {
  readonly name: string;
  readonly flags?: readonly string[];
  /** Changes the context before the build, which is not measured. */
  readonly before?: (context: string) => void;
}

export interface Workload {
  readonly name: string;
  /** Writes a context into an empty directory. */
  readonly write: (context: string, size: Size) => void;
  /** Builds that are not measured come first where `isWarm`. */
  readonly isWarm: boolean;
  /** Done in this order, in the same context; a context is used for one round where it is not warm. */
  readonly phases: readonly Phase[];
}

/** `--smoke` makes everything small: it shows that the runner works, not how fast anything is. */
export type Size = "full" | "smoke";

const NO_CACHE = ["--no-cache"];

export const WORKLOADS: readonly Workload[] = [
  { name: "unchanged", write: writeTenSteps, isWarm: true, phases: [{ name: "nothing changed, 10 steps" }] },
  {
    name: "runs",
    write: (context, size) => {
      const count = size === "full" ? 40 : 4;
      writeDockerfile(context, [`FROM ${BASE}`, ...numbers(count).map((i) => `RUN echo ${i} > /f${i}`)]);
    },
    isWarm: true,
    phases: [{ name: "40 RUNs in a row", flags: NO_CACHE }],
  },
  {
    name: "sleepers",
    write: (context, size) => {
      const seconds = size === "full" ? 2 : 0.2;
      const stages = numbers(4).flatMap((i) => [`FROM ${BASE} AS s${i}`, `RUN sleep ${seconds}; echo ${i} > /out${i}`]);
      writeDockerfile(context, [...stages, `FROM ${BASE}`, ...numbers(4).map((i) => `COPY --from=s${i} /out${i} /`)]);
    },
    isWarm: true,
    phases: [{ name: "4 stages that sleep 2 s", flags: NO_CACHE }],
  },
  {
    name: "stages",
    write: (context, size) => {
      const count = size === "full" ? 16 : 4;
      const stages = numbers(count).flatMap((i) => [
        `FROM ${BASE} AS s${i}`,
        `RUN echo ${i} > /a${i}`,
        `RUN cat /a${i} > /b${i}`,
      ]);
      writeDockerfile(context, [...stages, "FROM scratch", ...numbers(count).map((i) => `COPY --from=s${i} /b${i} /`)]);
    },
    isWarm: true,
    phases: [{ name: "16 stages, 32 RUNs", flags: NO_CACHE }],
  },
  {
    name: "context",
    write: (context, size) => {
      writeFiles(join(context, "files"), size === "full" ? 1000 : 10);
      writeDockerfile(context, [`FROM ${BASE}`, "COPY files /files"]);
    },
    isWarm: false,
    phases: [
      { name: "100,000 files, first" },
      { name: "100,000 files, nothing changed" },
      {
        name: "100,000 files, one changed",
        before: (context) => writeFileSync(join(context, "files/d3/f7"), randomBytes(400)),
      },
    ],
  },
];

/** The base image's context. */
export function writeBase(context: string): void {
  copyFileSync("/bin/busybox", join(context, "busybox"));
  writeDockerfile(context, [
    "FROM scratch",
    "COPY busybox /bin/busybox",
    'RUN ["/bin/busybox", "--install", "-s", "/bin"]',
    "ENV PATH=/bin",
    'CMD ["sh"]',
  ]);
}

function writeTenSteps(context: string): void {
  mkdirSync(join(context, "src"));
  for (const name of ["package.json", "conf", ...numbers(20).map((i) => `src/f${i}`)])
    writeFileSync(join(context, name), `${name}\n`);
  writeDockerfile(context, [
    `FROM ${BASE} AS build`,
    "WORKDIR /app",
    "COPY package.json ./",
    "RUN echo install > /installed",
    "COPY src src",
    "RUN cat src/* > out",
    `FROM ${BASE}`,
    "WORKDIR /srv",
    "RUN echo 1 > /one",
    "COPY --from=build /app/out out",
    "COPY conf /etc/conf",
    "RUN echo 2 > /two",
  ]);
}

/** 100 files in each of `directories`, 400 bytes each, none like another. */
function writeFiles(root: string, directories: number): void {
  for (const d of numbers(directories)) {
    const folder = join(root, `d${d}`);
    mkdirSync(folder, { recursive: true });
    const bytes = randomBytes(40_000);
    for (const f of numbers(100)) writeFileSync(join(folder, `f${f}`), bytes.subarray(f * 400, (f + 1) * 400));
  }
}

function writeDockerfile(context: string, lines: readonly string[]): void {
  writeFileSync(join(context, "Dockerfile"), `${lines.join("\n")}\n`);
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
