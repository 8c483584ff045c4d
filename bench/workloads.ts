// What is measured: contexts, and the builds of each in order. Random files make a first build one for every builder, also where stores may not be emptied.
import { randomBytes } from "node:crypto";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BuildOptions } from "./builders.ts";
import { numbers, writeDockerfile, writeFiles, writeMixed, writePackages } from "./contexts.ts";
import { limits, type Limit } from "./limits.ts";

/** Name of the base image. */
export const BASE = "tsbuild-bench-base";

export interface Phase extends BuildOptions {
  readonly name: string;
  /** Changes the context before the build, which is not measured. */
  readonly before?: (context: string) => void;
  /** What nobody can be faster than. */
  readonly limit?: Limit;
}

export interface Workload {
  readonly name: string;
  /** Writes a context into an empty directory. */
  readonly write: (context: string, size: Size) => void;
  /**
   * `warm`: one context for all rounds, built twice before anything is measured. `cold`: a context of its own for each round and builder.
   * `empty`: as cold, and with an empty store, so only where that is allowed.
   */
  readonly start: "warm" | "cold" | "empty";
  readonly phases: readonly Phase[];
  readonly needs?: "registry" | "base";
  /** Takes minutes with the slowest of the builders: fewer rounds, and `--quick` leaves buildah out. */
  readonly isHeavy?: boolean;
}

export interface Size {
  /** Files of the big context. */
  readonly files: number;
  readonly runs: number;
  readonly stages: number;
  readonly graph: number;
  readonly seconds: number;
  readonly packages: number;
  /** Bytes of the layer of mixed content, and of the context that is mostly not used. */
  readonly layer: number;
  readonly context: number;
  /** Image reference of a Debian base. */
  readonly base: string | undefined;
}

const MIB = 1024 * 1024;

export const FULL: Size = {
  files: 100_000,
  runs: 40,
  stages: 16,
  graph: 100,
  seconds: 2,
  packages: 10_000,
  layer: 300 * MIB,
  context: 5 * 1024 * MIB,
  base: undefined,
};

/** Small enough to build once more only to compare what came out. */
export const SMALL: Size = {
  files: 300,
  runs: 3,
  stages: 3,
  graph: 10,
  seconds: 0,
  packages: 100,
  layer: 4 * MIB,
  context: 8 * MIB,
  base: undefined,
};

export function workloads(size: Size): readonly Workload[] {
  return [...small(size), ...big(size), ...pushes()];
}

function small(size: Size): readonly Workload[] {
  return [
    {
      name: "unchanged",
      write: writeTenSteps,
      start: "warm",
      phases: [{ name: "nothing changed, 10 steps", limit: limits.node }],
    },
    {
      name: "runs",
      write: (context, { runs }) =>
        writeDockerfile(context, [`FROM ${BASE}`, ...numbers(runs).map((i) => `RUN echo ${i} > /f${i}`)]),
      start: "warm",
      phases: [{ name: `${size.runs} RUNs in a row`, isCacheIgnored: true, limit: limits.containers(size.runs) }],
    },
    {
      name: "stages",
      write: writeStages,
      start: "warm",
      phases: [
        {
          name: `${size.stages} stages, ${size.stages * 2} RUNs`,
          isCacheIgnored: true,
          limit: limits.containers(size.stages * 2),
        },
      ],
    },
    {
      name: "sleepers",
      write: writeSleepers,
      start: "warm",
      phases: [{ name: "4 stages that sleep 2 s", isCacheIgnored: true }],
    },
    {
      name: "cutoff",
      write: (context) => writeCutOff(context),
      start: "warm",
      phases: [{ name: "early step changed in text only, then 3 s", before: writeCutOff, limit: limits.containers(1) }],
    },
    {
      name: "graph",
      isHeavy: true,
      write: writeGraph,
      start: "cold",
      phases: [{ name: `${size.graph} stages, first` }, { name: `${size.graph} stages, nothing changed` }],
    },
  ];
}

function big(size: Size): readonly Workload[] {
  const count = size.files.toLocaleString("en");
  const gigabytes = `${(size.context / 1024 / MIB).toFixed(1)} GiB`;
  return [
    {
      name: "context",
      write: (context, { files }) => {
        writeFiles(join(context, "files"), files);
        writeDockerfile(context, [`FROM ${BASE}`, "COPY files /files"]);
      },
      start: "cold",
      isHeavy: true,
      phases: [
        { name: `${count} files, first`, limit: limits.hashTree },
        { name: `${count} files, nothing changed`, limit: limits.statTree },
        {
          name: `${count} files, one changed`,
          before: (context) => writeFileSync(join(context, "files/d2/f7"), randomBytes(400)),
        },
        {
          name: `${count} files, a directory renamed`,
          before: (context) => renameSync(join(context, "files/d1"), join(context, "files/renamed")),
        },
      ],
    },
    {
      name: "ignored",
      write: (context, { files }) => {
        writeFiles(join(context, "files"), files / 10);
        writeFiles(join(context, "node_modules"), (files * 9) / 10);
        writeFileSync(join(context, ".dockerignore"), "node_modules\n");
        writeDockerfile(context, [`FROM ${BASE}`, "COPY . /files"]);
      },
      start: "cold",
      phases: [{ name: `${count} files, 90 % ignored, first` }, { name: `${count} files, 90 % ignored, unchanged` }],
    },
    {
      name: "modules",
      write: (context, { packages }) => {
        writePackages(context, packages);
        writeDockerfile(context, [
          `FROM ${BASE}`,
          "COPY node_modules.tar.gz /tmp/",
          "RUN mkdir /app && tar -C /app -xzf /tmp/node_modules.tar.gz",
          "RUN find /app | wc -l > /count",
        ]);
      },
      start: "cold",
      phases: [{ name: `${size.packages.toLocaleString("en")} files of node_modules made by RUN` }],
    },
    {
      name: "huge",
      write: (context, { context: bytes }) => {
        writeMixed(join(context, "data"), bytes);
        writeFileSync(join(context, "data/changed"), "1\n");
        writeDockerfile(context, [
          `FROM ${BASE} AS all`,
          "COPY data /data",
          "RUN cat /data/changed > /out",
          "FROM scratch",
          "COPY --from=all /out /out",
        ]);
      },
      start: "cold",
      isHeavy: true,
      phases: [
        { name: `${gigabytes} of context, first` },
        {
          name: `${gigabytes} of context, one file changed`,
          before: (context) => writeFileSync(join(context, "data/changed"), randomBytes(20)),
        },
      ],
    },
    {
      name: "debian",
      write: (context, { base }) => writeDockerfile(context, [`FROM ${base ?? BASE}`, "RUN ls / > /list"]),
      start: "empty",
      needs: "base",
      phases: [{ name: "pull and unpack a Debian base, first RUN" }],
    },
  ];
}

function pushes(): readonly Workload[] {
  return [
    {
      name: "push-known",
      write: writeTenSteps,
      start: "warm",
      needs: "registry",
      phases: [{ name: "push where the registry has all", isPushed: true, limit: limits.node }],
    },
    {
      name: "layer",
      write: (context, { layer }) => {
        writeMixed(join(context, "data"), layer);
        writeDockerfile(context, [`FROM ${BASE}`, "COPY data /data"]);
      },
      start: "cold",
      needs: "registry",
      phases: [{ name: "a layer of mixed content, build and push", isPushed: true, limit: limits.compressTree }],
    },
    {
      name: "push-new",
      write: (context, { layer }) => {
        for (const i of numbers(4)) writeMixed(join(context, `data${i}`), layer / 20);
        writeDockerfile(context, [`FROM ${BASE}`, ...numbers(4).map((i) => `COPY data${i} /data${i}`)]);
      },
      start: "cold",
      needs: "registry",
      phases: [
        { name: "4 layers, build", limit: limits.compressTree },
        { name: "4 layers, push where the registry has nothing", isPushed: true, limit: limits.writeTree },
      ],
    },
  ];
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

function writeStages(context: string, { stages }: Size): void {
  const each = numbers(stages).flatMap((i) => [
    `FROM ${BASE} AS s${i}`,
    `RUN echo ${i} > /a${i}`,
    `RUN cat /a${i} > /b${i}`,
  ]);
  writeDockerfile(context, [...each, "FROM scratch", ...numbers(stages).map((i) => `COPY --from=s${i} /b${i} /`)]);
}

function writeSleepers(context: string, { seconds }: Size): void {
  const each = numbers(4).flatMap((i) => [`FROM ${BASE} AS s${i}`, `RUN sleep ${seconds}; echo ${i} > /out${i}`]);
  writeDockerfile(context, [...each, `FROM ${BASE}`, ...numbers(4).map((i) => `COPY --from=s${i} /out${i} /`)]);
}

/** Another text each time, the same file. */
function writeCutOff(context: string): void {
  writeDockerfile(context, [
    `FROM ${BASE}`,
    `RUN : ${randomBytes(8).toString("hex")}; echo same > /generated`,
    "RUN sleep 3; cat /generated > /built",
  ]);
}

function writeGraph(context: string, { graph }: Size): void {
  for (const i of numbers(graph)) writeFileSync(join(context, `f${i}`), randomBytes(1000));
  const each = numbers(graph).flatMap((i) => [
    `FROM ${i % 3 === 0 ? BASE : `s${i - 1}`} AS s${i}`,
    `COPY f${i} /f${i}`,
  ]);
  writeDockerfile(context, [...each, "FROM scratch", ...numbers(graph).map((i) => `COPY --from=s${i} /f${i} /`)]);
}
