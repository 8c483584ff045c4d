// What speed is made of, as counts: processes, files, modules, bytes. A count that grows fails here; no clock is looked at.
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Engine, type BuildEvent, type BuildOptions, type OutputSpec } from "../../../src/index.ts";
import { openRig, type Rig } from "../../support/rig.ts";

const PROJECT = resolve(import.meta.dirname, "../../..");

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

/** What is traced below are the sources, whatever lies in dist/. */
const SOURCES = { env: { TSBUILD_SOURCES: "1" } };

const TEN_STEPS = `FROM busybox AS build
WORKDIR /app
COPY package.json ./
RUN echo install > /installed
COPY src src
RUN cat src/* > out
FROM busybox
WORKDIR /srv
COPY --from=build /app/out out
COPY conf /etc/conf
RUN echo hi > /hi
USER nobody
CMD ["sh"]
`;

interface Traced {
  /** Programs started, in order. */
  readonly programs: readonly string[];
  /** Files opened, of those that exist. */
  readonly opened: readonly string[];
  /** Calls that change a file or directory below the store, other than SQLite's index in shared memory. */
  readonly changes: readonly string[];
  readonly writtenBytes: number;
}

/** Runs a build from the sources under strace. */
function trace(args: readonly string[]): Traced {
  const log = join(rig.root, "trace");
  const calls =
    "execve,open,openat,creat,rename,renameat2,mkdir,unlink,rmdir,link,symlink,truncate,ftruncate,write,pwrite64,writev,fsync,fdatasync";
  const node = join(PROJECT, "node_modules/.bin/node");
  const command = [node, "--disable-warning=ExperimentalWarning", join(PROJECT, "src/bin.ts"), ...args];
  const { status, stderr } = spawnSync(
    "strace",
    ["-f", "-qq", "-y", "-s", "0", "-e", `trace=${calls}`, "-o", log, ...command],
    {
      env: { PATH: process.env["PATH"], HOME: rig.root, TSBUILD_ROOT: rig.store },
      encoding: "utf8",
    },
  );
  expect(status, stderr).toBe(0);
  const done = readFileSync(log, "utf8")
    .split("\n")
    .map((line) => line.replace(/^\d+ +/, ""))
    .filter((line) => /= \d/.test(line));
  const named = (line: string): string => /"([^"]*)"|<([^>]*)>/.exec(line)?.slice(1).find(Boolean) ?? "";
  const inStore = done.filter((line) => named(line).startsWith(rig.store) && !line.includes("tsbuild.db-shm"));
  const isChange = (line: string): boolean =>
    !/^(execve|open|openat)\(/.test(line) || (/^open(at)?\(/.test(line) && /O_TRUNC|O_EXCL/.test(line));
  return {
    programs: done.filter((line) => line.startsWith("execve(")).map(named),
    opened: done.filter((line) => /^open(at)?\(/.test(line)).map((line) => /= \d+<([^>]*)>/.exec(line)?.[1] ?? ""),
    changes: inStore.filter(isChange),
    writtenBytes: inStore
      .filter((line) => /^p?write/.test(line))
      .reduce((sum, line) => sum + Number(/= (\d+)/.exec(line)![1]), 0),
  };
}

test("nothing changed: one process, no heavy module, nothing written but that it was built", async () => {
  const context = rig.context({ Dockerfile: TEN_STEPS, "package.json": "{}", "src/a": "1", "src/b": "2", conf: "c" });
  await rig.must(["-t", "ten", context], SOURCES);
  // The second one may still learn what was too young to be remembered (git's racily-clean rule).
  await new Promise((done) => setTimeout(done, 100));
  await rig.must(["-t", "ten", context], SOURCES);
  const { programs, opened, changes, writtenBytes } = trace(["-t", "ten", context]);
  expect(programs).toHaveLength(1);
  const heavy =
    /node_modules\/(yargs|tar|koffi|p-queue)|@koromix|src\/(sandbox|registry|layer)\/|src\/solve\/(exec\.|file|explain)|src\/engine\/report/;
  expect(opened.filter((path) => heavy.test(path))).toEqual([]);
  // SQLite makes its log at the first read and takes it away at the end.
  const others = changes.filter((line) => !line.includes("tsbuild.db-wal"));
  expect(others.filter((line) => !line.includes(`${rig.store}/builds/`))).toEqual([]);
  // The record of the build: made, written, put in its place. Never synced.
  expect(others.map((line) => line.replace(/\(.*/, ""))).toEqual(["write", "rename"]);
  expect(writtenBytes).toBeLessThan(4_000);
  const own = opened.filter((path) => path.startsWith(rig.store) || path.startsWith(context));
  expect(own.length, own.join("\n")).toBeLessThanOrEqual(24);
});

test("a COPY of 10,000 files into the final stage writes their bytes once, in the packed layer", async () => {
  using lab = openLab();
  const size = lab.files(10_000, 600);
  lab.write("Dockerfile", "FROM scratch\nCOPY files /files\n");
  const before = writtenByUs();
  const counted = await lab.build();
  const written = writtenByUs() - before;
  expect(counted.map(({ name }) => name)).toEqual(["layer.packed"]);
  const packed = counted[0]!.bytes!;
  expect(packed).toBeGreaterThan(size);
  // Beside the layer: its list of entries, the index of the context, the database. Twice the bytes would be 2.
  expect(written / packed).toBeLessThan(1.6);
  expect(lab.directoryFaces()).toBe(0);
});

test("a stage that only feeds another is never packed, and no COPY is made on disk", async () => {
  using lab = openLab();
  lab.files(20, 100);
  lab.write(
    "Dockerfile",
    `FROM scratch AS a
COPY files /files
FROM scratch AS b
COPY --from=a /files/1 /one
COPY --from=a /files /more
FROM scratch
COPY --from=b /more/2 /two
COPY --from=a /files/3 /three
`,
  );
  const counted = await lab.build();
  expect(counted.map(({ name }) => name)).toEqual(["layer.packed", "layer.packed"]);
  expect(lab.directoryFaces()).toBe(0);
  expect(await lab.build(), "a second build").toEqual([]);
});

type Count = BuildEvent & { readonly kind: "counted" };

interface Lab extends Disposable {
  write(path: string, data: string | Uint8Array): void;
  /** Writes `count` files of `size` random bytes; returns the sum. */
  files(count: number, size: number): number;
  build(): Promise<readonly Count[]>;
  directoryFaces(): number;
}

/** An engine in this process, so that its events can be counted. */
function openLab(): Lab {
  const root = mkdtempSync(join(tmpdir(), "tsbuild-counts-"));
  const context = join(root, "context");
  mkdirSync(join(context, "files"), { recursive: true });
  const write = (path: string, data: string | Uint8Array): void => writeFileSync(join(context, path), data);
  return {
    write,
    files: (count, size) => {
      for (let i = 0; i < count; i++) write(`files/${i}`, randomBytes(size));
      return count * size;
    },
    build: async () => {
      const counted: Count[] = [];
      await using engine = await Engine.open({
        root: join(root, "store"),
        cwd: root,
        environment: {},
        isRootless: false,
        version: "0",
        onEvent: (event) => void (event.kind === "counted" && counted.push(event)),
      });
      await engine.build(optionsFor(context));
      return counted;
    },
    directoryFaces: () => {
      const layers = join(root, "store", "layers");
      return readdirSync(layers).filter((id) => statSync(join(layers, id, "diff"), { throwIfNoEntry: false })).length;
    },
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
}

function optionsFor(context: string): BuildOptions {
  const output: OutputSpec = {
    kind: "image",
    push: false,
    names: [],
    image: {
      ociMediaTypes: true,
      compression: "gzip",
      forceCompression: false,
      rewriteTimestamp: false,
      pushByDigest: false,
      nameCanonical: false,
      insecureRegistry: false,
      annotations: {},
      descriptorAnnotations: {},
    },
  };
  return {
    context,
    tags: ["counts"],
    buildArgs: new Map(),
    buildContexts: new Map(),
    labels: new Map(),
    platforms: [],
    cache: "use",
    noCacheFilter: [],
    cacheFrom: [],
    cacheTo: [],
    inlineCache: false,
    addHosts: [],
    network: "default",
    ulimits: [],
    secrets: [],
    ssh: [],
    outputs: [output],
    pull: false,
    allow: [],
  };
}

/** Bytes that this process has handed to write(2) and its kin. */
function writtenByUs(): number {
  return Number(/^wchar: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"))![1]);
}
