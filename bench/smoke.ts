// `npm run bench -- --smoke`: counts of a few builds against those in counts.json, a reviewed file. Fails where one grew; `--record` writes them down anew.
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { startRegistry, type TestRegistry } from "../test/support/registry/server.ts";
import { numbers, writeBase, writeDockerfile } from "./contexts.ts";
import { grown, shrunk, type Counts } from "./counts.ts";
import { trace } from "./trace.ts";

const RECORD = join(import.meta.dirname, "counts.json");
const BUNDLE = resolve(import.meta.dirname, "../dist/bin.js");

interface Scenario {
  readonly name: string;
  readonly write: (context: Context) => void;
  readonly args?: readonly string[];
  /** Builds before the one that is counted; default 0. The second one may still learn what was too young to be remembered. */
  readonly warmUps?: number;
  /** Changes the context after those. */
  readonly change?: (context: Context) => void;
  readonly isPushed?: boolean;
}

interface Context {
  readonly path: string;
  write(path: string, data: string | Uint8Array): void;
}

const SCENARIOS: readonly Scenario[] = [
  { name: "nothing changed, 10 steps", write: writeTenSteps, warmUps: 2 },
  { name: "nothing changed, 10 steps, push", write: writeTenSteps, warmUps: 2, isPushed: true },
  {
    name: "4 RUNs in a row",
    write: ({ path }) => writeDockerfile(path, ["FROM base", ...numbers(4).map((i) => `RUN echo ${i} > /f${i}`)]),
    warmUps: 1,
    args: ["--no-cache"],
  },
  {
    name: "early step changed in text only",
    write: ({ path }) => writeDockerfile(path, ["FROM base", "RUN : one; echo same > /a", "RUN cat /a > /b"]),
    warmUps: 1,
    change: ({ path }) => writeDockerfile(path, ["FROM base", "RUN : two; echo same > /a", "RUN cat /a > /b"]),
  },
  { name: "COPY of 1,000 files into the final stage", write: writeThousand },
  {
    name: "COPY of 1,000 files, one changed",
    write: writeThousand,
    warmUps: 2,
    change: (context) => context.write("files/7", randomBytes(600)),
  },
  {
    name: "files copied through stages",
    write: (context) => {
      for (const i of numbers(20)) context.write(`files/${i}`, randomBytes(100));
      writeDockerfile(context.path, [
        "FROM scratch AS a",
        "COPY files /files",
        "FROM scratch AS b",
        "COPY --from=a /files/1 /one",
        "COPY --from=a /files /more",
        "FROM scratch",
        "COPY --from=b /more/2 /two",
        "COPY --from=a /files/3 /three",
      ]);
    },
  },
  {
    name: "push of 3 layers that the registry lacks",
    write: (context) => {
      for (const i of numbers(3)) context.write(`f${i}`, randomBytes(50_000));
      writeDockerfile(context.path, ["FROM scratch", ...numbers(3).map((i) => `COPY f${i} /`)]);
    },
    isPushed: true,
  },
];

/** The exit code. */
export async function smoke({ isRecorded }: { readonly isRecorded: boolean }): Promise<number> {
  if (!existsSync(BUNDLE)) spawnSync("npm", ["run", "--silent", "build"], { stdio: "inherit" });
  const root = mkdtempSync(join(tmpdir(), "tsbuild-smoke-"));
  try {
    await using registry = await startRegistry();
    const first = await countAll(join(root, "1"), registry);
    if (isRecorded) {
      writeFileSync(RECORD, `${JSON.stringify(first, null, 2)}\n`);
      console.log(`wrote ${RECORD}`);
      return 0;
    }
    const recorded = JSON.parse(readFileSync(RECORD, "utf8")) as typeof first;
    // A file that was too young for its times to be trusted is read again, on a machine that stood still for a moment: what the code does it does twice.
    const isGrown = grown(recorded, first).length > 0;
    const counted = isGrown ? least(first, await countAll(join(root, "2"), registry)) : first;
    for (const line of shrunk(recorded, counted)) console.log(`${line}: write it down with --record`);
    const faults = grown(recorded, counted);
    for (const line of faults) console.error(line);
    console.log(`${Object.keys(counted).length} builds counted, ${faults.length} counts grew`);
    return faults.length === 0 ? 0 : 1;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

async function countAll(root: string, registry: TestRegistry): Promise<Record<string, Counts>> {
  const base = join(root, "base");
  mkdirSync(base, { recursive: true });
  writeBase(base);
  const counted: Record<string, Counts> = {};
  for (const [index, scenario] of SCENARIOS.entries()) {
    // A store for each: what one leaves does not count in another.
    const place = { root, store: join(root, `s${index}`) };
    await trace({ ...place, context: base, args: ["-t", "base"] });
    const context = openContext(join(root, `c${index}`));
    scenario.write(context);
    const tag = scenario.isPushed ? `${registry.host}/smoke/${index}` : "smoke";
    const args = [...(scenario.args ?? []), ...(scenario.isPushed ? ["--push"] : []), "-t", tag];
    const build = () => trace({ ...place, context: context.path, args });
    for (let time = 0; time < (scenario.warmUps ?? 0); time++) await build();
    scenario.change?.(context);
    registry.clearLog();
    counted[scenario.name] = { ...(await build()), requests: registry.log.length };
  }
  return counted;
}

/** Of each count the smaller one. */
function least(a: Readonly<Record<string, Counts>>, b: Readonly<Record<string, Counts>>): Record<string, Counts> {
  const smaller = (name: string, counts: Counts): Counts =>
    Object.fromEntries(
      Object.entries<number>({ ...counts }).map(([key, count]) => [
        key,
        Math.min(count, b[name]?.[key as keyof Counts] ?? count),
      ]),
    ) as unknown as Counts;
  return Object.fromEntries(Object.entries(a).map(([name, counts]) => [name, smaller(name, counts)]));
}

function openContext(path: string): Context {
  const write = (name: string, data: string | Uint8Array): void => {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), data);
  };
  mkdirSync(path);
  return { path, write };
}

function writeTenSteps({ path, write }: Context): void {
  for (const name of ["package.json", "src/a", "src/b", "conf"]) write(name, name);
  writeDockerfile(path, [
    "FROM base AS build",
    "WORKDIR /app",
    "COPY package.json ./",
    "RUN echo install > /installed",
    "COPY src src",
    "RUN cat src/* > out",
    "FROM base",
    "WORKDIR /srv",
    "COPY --from=build /app/out out",
    "COPY conf /etc/conf",
    "RUN echo hi > /hi",
    "USER nobody",
  ]);
}

function writeThousand({ path, write }: Context): void {
  for (const i of numbers(1000)) write(`files/${i}`, randomBytes(600));
  writeDockerfile(path, ["FROM scratch", "COPY files /files"]);
}
