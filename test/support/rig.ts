// The command line in a store of its own: contexts from plain objects, the machine's busybox as base image, and a check that nothing stays behind.
import { spawn } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

const PROJECT = resolve(import.meta.dirname, "../..");
const LAUNCHER = join(PROJECT, "src/bin/tsbuild");

export interface CommandResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
  /** Called once the process runs. */
  readonly onStart?: (kill: (signal: NodeJS.Signals) => void) => void;
  readonly onStderr?: (text: string) => void;
  readonly onStdout?: (text: string) => void;
}

/** A file's text, or `{ link }`, `{ mode, text }`. */
export type FileSpec = string | { readonly link: string } | { readonly text: string; readonly mode: number };

export interface Rig extends AsyncDisposable {
  /** Temporary directory that goes with the rig. */
  readonly root: string;
  readonly store: string;
  /** Makes a context directory; paths may have folders. */
  context(files: Readonly<Record<string, FileSpec>>, name?: string): string;
  tsbuild(args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  /** As {@link tsbuild}, failing the test unless it exits with 0. */
  must(args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  /** Names of steps → how they ended, from `--progress rawjson`. */
  outcomes(stderr: string): ReadonlyMap<string, "ran" | "cached" | "failed">;
  /** Mounts, containers' processes and lease directories that are still there. */
  leftovers(): readonly string[];
}

/** Opens a rig whose store has the image `busybox`. Needs root and busybox-static. `onStore` is told where the store will be, before anything is there. */
export async function openRig(onStore: (path: string) => void = () => {}): Promise<Rig> {
  const root = mkdtempSync(join(tmpdir(), "tsbuild-rig-"));
  const store = join(root, "s");
  onStore(store);
  const rig: Rig = {
    root,
    store,
    context: (files, name) => makeContext(root, files, name),
    tsbuild: (args, options = {}) => run(args, { ...options, env: { TSBUILD_ROOT: store, ...options.env } }, root),
    must: async (args, options) => {
      const result = await rig.tsbuild(args, options);
      if (result.code !== 0)
        throw new Error(`tsbuild ${args.join(" ")} exited with ${result.code ?? result.signal}\n${result.stderr}`);
      return result;
    },
    outcomes,
    leftovers: () => leftovers(store),
    [Symbol.asyncDispose]: () => {
      rmSync(root, { recursive: true, force: true });
      return Promise.resolve();
    },
  };
  const base = rig.context({
    Dockerfile:
      'FROM scratch\nCOPY busybox /bin/busybox\nCOPY etc /etc/\nRUN ["/bin/busybox", "--install", "-s", "/bin"]\nRUN mkdir -m 1777 /tmp\nENV PATH=/bin\nCMD ["sh"]\n',
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnobody:x:65534:\n",
  });
  copyFileSync("/bin/busybox", join(base, "busybox"));
  await rig.must(["-q", "-t", "busybox", base]);
  return rig;
}

function makeContext(root: string, files: Readonly<Record<string, FileSpec>>, name?: string): string {
  const folder = name === undefined ? mkdtempSync(join(root, "c-")) : join(root, name);
  for (const [path, spec] of Object.entries(files)) {
    const full = join(folder, path);
    mkdirSync(dirname(full), { recursive: true });
    if (typeof spec === "string") writeFileSync(full, spec);
    else if ("link" in spec) symlinkSync(spec.link, full);
    else {
      writeFileSync(full, spec.text);
      chmodSync(full, spec.mode);
    }
  }
  return folder;
}

function run(args: readonly string[], options: CommandOptions, cwd: string): Promise<CommandResult> {
  const { promise, resolve: settle, reject } = Promise.withResolvers<CommandResult>();
  const child = spawn(LAUNCHER, args, {
    cwd: options.cwd ?? cwd,
    // TSBUILD_SOURCES=1 tests the sources where there is a bundle, too.
    env: { PATH: process.env["PATH"], TSBUILD_SOURCES: process.env["TSBUILD_SOURCES"], HOME: cwd, ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on("data", (chunk: Buffer) => {
    stdout.push(chunk);
    options.onStdout?.(chunk.toString());
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr.push(chunk);
    options.onStderr?.(chunk.toString());
  });
  child.on("error", reject);
  child.on("close", (code, signal) => {
    settle({ code, signal, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() });
  });
  child.stdin.on("error", () => {});
  child.stdin.end(options.input ?? "");
  options.onStart?.((signal) => child.kill(signal));
  return promise;
}

interface RawStatus {
  readonly vertexes?: readonly {
    readonly name: string;
    readonly completed?: string;
    readonly cached?: boolean;
    readonly error?: string;
  }[];
}

function outcomes(stderr: string): ReadonlyMap<string, "ran" | "cached" | "failed"> {
  const found = new Map<string, "ran" | "cached" | "failed">();
  for (const line of stderr.split("\n")) {
    if (!line.startsWith("{")) continue;
    for (const vertex of (JSON.parse(line) as RawStatus).vertexes ?? []) {
      if (vertex.completed === undefined) continue;
      found.set(vertex.name, vertex.error === undefined ? (vertex.cached ? "cached" : "ran") : "failed");
    }
  }
  return found;
}

function leftovers(store: string): string[] {
  const left: string[] = [];
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n"))
    if (line.includes(store)) left.push(`mount ${line}`);
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const command = readIfThere(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
    const environment = readIfThere(`/proc/${pid}/environ`);
    if (Number(pid) !== process.pid && (command.includes(store) || environment.includes(`TSBUILD_ROOT=${store}`)))
      left.push(`process ${pid} ${command}`);
  }
  for (const folder of ["leases", "tmp"]) {
    const path = join(store, folder);
    if (existsSync(path)) left.push(...readdirSync(path).map((name) => `${folder}/${name}`));
  }
  return left;
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
