// One build of the bundle in dist/ under strace, as counts. What the kernel was asked for does not depend on how busy the machine is.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Counts } from "./counts.ts";

const PROJECT = resolve(import.meta.dirname, "..");

const CALLS =
  "execve,open,openat,creat,rename,renameat2,mkdir,unlink,unlinkat,rmdir,link,symlink,truncate,ftruncate,write,pwrite64,writev,pwritev,fsync,fdatasync";

export interface TraceOptions {
  readonly context: string;
  readonly store: string;
  /** Temporary directory; home of the build. */
  readonly root: string;
  readonly args: readonly string[];
}

type TracedCounts = Omit<Counts, "requests">;

export async function trace({ context, store, root, args }: TraceOptions): Promise<TracedCounts> {
  const log = join(root, "trace");
  const node = join(PROJECT, "node_modules/.bin/node");
  const build = [node, "--disable-warning=ExperimentalWarning", join(PROJECT, "dist/bin.js"), ...args, context];
  const words = ["-f", "-qq", "-y", "-s", "0", "--seccomp-bpf", "-e", `trace=${CALLS}`, "-o", log];
  const child = spawn("strace", [...words, ...build], {
    env: { PATH: process.env["PATH"], HOME: root, TSBUILD_ROOT: store, BUILDKIT_PROGRESS: "rawjson" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`the traced build ended with ${code}\n${stderr.slice(-4000)}`);
  return { ...countCalls(readFileSync(log, "utf8"), store, context), steps: stepsRun(stderr), faces: faces(store) };
}

/** Calls of the log that succeeded. One that another process's interrupted is in it as two halves, which are put together here. */
function succeeded(log: string): readonly string[] {
  const begun = new Map<string, string>();
  const calls: string[] = [];
  for (const line of log.split("\n")) {
    const [, pid = "", text = ""] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(text);
    if (text.endsWith("<unfinished ...>")) begun.set(pid, text.slice(0, -"<unfinished ...>".length));
    else calls.push(resumed ? `${begun.get(pid) ?? ""}${resumed[1]}` : text);
  }
  return calls.filter((call) => /= \d/.test(call));
}

function countCalls(log: string, store: string, context: string): Omit<TracedCounts, "steps" | "faces"> {
  const done = succeeded(log);
  const named = (line: string): string => /"([^"]*)"|<([^>]*)>/.exec(line)?.slice(1).find(Boolean) ?? "";
  const opened = done.filter((line) => /^open(at)?\(/.test(line)).map((line) => /= \d+<([^>]*)>/.exec(line)?.[1] ?? "");
  // SQLite makes its log and index at the first read and takes them away at the end.
  const inStore = done.filter((line) => line.includes(store) && !/tsbuild\.db-(shm|wal)/.test(line));
  return {
    processes: done.filter((line) => line.startsWith("execve(")).length,
    modules: opened.filter((path) => path.startsWith(PROJECT) && /\.(js|node|json|wasm)$/.test(path)).length,
    files: opened.filter((path) => path.startsWith(store) || path.startsWith(context)).length,
    changes: inStore.filter((line) => /^(creat|rename|mkdir|unlink|rmdir|link|symlink|truncate|ftruncate)/.test(line))
      .length,
    syncs: done.filter((line) => /^f(data)?sync/.test(line)).length,
    writtenBytes: done
      .filter((line) => /^p?write/.test(line) && named(line).startsWith(store) && !named(line).endsWith("-shm"))
      .reduce((sum, line) => sum + Number(/= (\d+)/.exec(line)![1]), 0),
  };
}

interface Status {
  readonly vertexes?: readonly { readonly name: string; readonly completed?: string; readonly cached?: boolean }[];
}

/** RUN, COPY, ADD and WORKDIR steps that were done, not found in the cache. */
function stepsRun(progress: string): number {
  const done = new Set<string>();
  for (const line of progress.split("\n").filter((line) => line.startsWith("{"))) {
    for (const { name, completed, cached } of (JSON.parse(line) as Status).vertexes ?? [])
      if (completed !== undefined && !cached && /\] (RUN|COPY|ADD|WORKDIR)/.test(name)) done.add(name);
  }
  return done.size;
}

/** Layers that lie unpacked on the disk. */
function faces(store: string): number {
  const layers = join(store, "layers");
  return readdirSync(layers).filter((id) => existsSync(join(layers, id, "diff"))).length;
}
