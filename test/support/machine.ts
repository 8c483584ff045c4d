// Another machine: a store of its own and a network namespace of its own, from which it reaches one registry and nothing else. Counts the bytes on that way.
import { spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join, resolve } from "node:path";
import type { CommandResult } from "./rig.ts";

const PROJECT = resolve(import.meta.dirname, "../..");

export interface Traffic {
  /** Bytes from the registry. */
  readonly down: number;
  /** Bytes to the registry. */
  readonly up: number;
}

export interface Machine extends AsyncDisposable {
  /** Fails the test unless it exits with 0. */
  tsbuild(args: readonly string[]): Promise<CommandResult>;
  /** What went over the line since the last call. */
  traffic(): Traffic;
}

/** `registry` is `127.0.0.1:PORT`. Needs root and busybox-static. */
export async function openMachine(folder: string, registry: string): Promise<Machine> {
  mkdirSync(folder, { recursive: true });
  const port = Number(registry.split(":")[1]);
  const path = join(folder, "line");
  let [down, up] = [0, 0];
  const open = new Set<Socket>();
  const server = createServer((inside) => {
    const outside = connect(port, "127.0.0.1");
    open.add(inside).add(outside);
    inside.on("data", (chunk) => (up += chunk.length)).pipe(outside);
    outside.on("data", (chunk) => (down += chunk.length)).pipe(inside);
    for (const socket of [inside, outside])
      socket
        .on("error", () => {})
        .on("close", () => {
          inside.destroy();
          outside.destroy();
        });
  });
  const listening = Promise.withResolvers<void>();
  server.listen(path, () => listening.resolve());
  await listening.promise;
  const shell = ["-n", "sh", "-c", '/bin/busybox ip link set lo up && exec "$@"', "sh"];
  const bridge = [process.execPath, join(PROJECT, "test/support/in-namespace.ts"), path, String(port)];
  const inside = [...shell, ...bridge, join(PROJECT, "src/bin/tsbuild")];
  return {
    tsbuild: (args) => run([...inside, ...args], folder),
    traffic: () => {
      const taken = { down, up };
      [down, up] = [0, 0];
      return taken;
    },
    [Symbol.asyncDispose]: async () => {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      for (const socket of open) socket.destroy();
      await closed.promise;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function run(args: readonly string[], folder: string): Promise<CommandResult> {
  const env = {
    PATH: process.env["PATH"],
    TSBUILD_SOURCES: process.env["TSBUILD_SOURCES"],
    TSBUILD_ROOT: join(folder, "store"),
    HOME: folder,
  };
  const child = spawn("unshare", args, { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const { promise, resolve: settle, reject } = Promise.withResolvers<CommandResult>();
  child.on("error", reject);
  child.on("close", (code, signal) => settle({ code, signal, stdout, stderr }));
  const result = await promise;
  if (result.code !== 0) throw new Error(`tsbuild ${args.slice(9).join(" ")} exited with ${result.code}\n${stderr}`);
  return result;
}
