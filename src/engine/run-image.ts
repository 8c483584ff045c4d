// `tsbuild run`: a container of an image in the same sandbox that RUN has. Its changes go with it.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { randomName } from "../base/clock.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { DEFAULT_PATH } from "../oci/image.ts";
import { normalizePlatform } from "../oci/platform.ts";
import { lowerDirsOf } from "../rootfs/lower-dirs.ts";
import { findImage } from "./images.ts";
import type { EngineParts } from "./parts.ts";
import type { RunOptions } from "./options.ts";
import { Session } from "./session.ts";

export async function runImage(parts: EngineParts, options: RunOptions): Promise<{ readonly exitCode: number }> {
  const signal = options.signal ?? new AbortController().signal;
  const { descriptor, config, name } = findImage(parts, options.image);
  await using session = new Session({
    engine: parts.options,
    store: parts.store,
    client: () => parts.client(),
    isRootless: parts.isRootless,
    pull: "missing",
    kind: "run",
    signal,
  });
  await session.protect();
  const platform = normalizePlatform(config.os, config.architecture, config.variant);
  const rootfs = await session.images.open(
    { kind: "image", reference: name ?? "localhost/image", digest: descriptor.digest, platform },
    session.faces,
  );
  const lowerDirs = await lowerDirsOf(rootfs);
  const own = config.config ?? {};
  const entrypoint = options.entrypoint === undefined ? (own.Entrypoint ?? []) : [options.entrypoint];
  const command = options.args.length > 0 ? options.args : options.entrypoint === undefined ? (own.Cmd ?? []) : [];
  const args = [...entrypoint, ...command];
  if (args.length === 0)
    throw new BuildError("usage", `${options.image} says no command`, { help: "give one: tsbuild run IMAGE COMMAND" });
  const scratchDir = session.makeScratchDir("r");
  const upperDir = join(scratchDir, "u");
  mkdirSync(upperDir, { mode: 0o755 });
  mkdirSync(join(scratchDir, "b"), { mode: 0o700 });
  const env = own.Env ?? [];
  const hasPath = [...env, ...options.env].some((variable) => variable.startsWith("PATH="));
  const sandbox = await session.sandbox();
  const result = await sandbox.run({
    id: `tsbuild-run-${randomName(8)}`,
    scratchDir: join(scratchDir, "b"),
    lowerDirs,
    upperDir,
    args,
    platform,
    env: [...(hasPath ? [] : [`PATH=${DEFAULT_PATH}`]), ...env, ...options.env],
    cwd: options.workdir ?? (own.WorkingDir === undefined || own.WorkingDir === "" ? "/" : own.WorkingDir),
    user: options.user ?? own.User ?? "",
    hostname: descriptor.digest.slice(7, 19),
    network: options.network,
    security: "sandbox",
    mounts: [],
    pipes: [],
    ulimits: [],
    extraHosts: [],
    onOutput: options.onOutput,
    signal,
  });
  signal.throwIfAborted();
  return { exitCode: result.exitCode };
}
