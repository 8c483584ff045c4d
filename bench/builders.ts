// The builders that are measured, as command lines: tsbuild from this checkout, and docker (BuildKit inside) and buildah where there are any.
// Each keeps its store to itself, so that emptying it between cold builds costs nobody else's.
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Command } from "./measure.ts";

export interface Builder {
  readonly name: "tsbuild" | "docker" | "buildah";
  readonly env: NodeJS.ProcessEnv;
  /** Undefined = no daemon, or one that was not named: then only its client is looked at. */
  readonly daemon: number | undefined;
  /** Builds `context` under the name `tag`, which goes to its registry where `push` is set. */
  build(context: string, tag: string, options: BuildOptions): readonly Command[];
  /** Writes a built image as an OCI layout to the directory `dest`. */
  layout(context: string, tag: string, dest: string): readonly Command[];
  /** Forgets everything; undefined where that is not allowed. */
  readonly prune: (() => void) | undefined;
}

export interface BuildOptions {
  readonly isPushed?: boolean;
  readonly isCacheIgnored?: boolean;
}

export interface BuilderOptions {
  /** Temporary directory, for tsbuild's store. */
  readonly root: string;
  /** Command lines; undefined = the program of that name, if there is one that works. "none" = without it. */
  readonly docker?: string | undefined;
  readonly buildah?: string | undefined;
  /** More words for `buildah build`. */
  readonly buildahFlags?: string | undefined;
  /** Number, or a file with it. */
  readonly dockerPid?: string | undefined;
  /** Whether docker's and buildah's stores may be emptied. */
  readonly mayPrune: boolean;
}

const LAUNCHER = resolve(import.meta.dirname, "../src/bin/tsbuild");

export function openBuilders(options: BuilderOptions): readonly Builder[] {
  const docker = wordsOf(options.docker, "docker", ["version"]);
  const buildah = wordsOf(options.buildah, "buildah", ["version"]);
  return [
    tsbuild(options.root),
    ...(docker ? [dockerBuilder(docker, options)] : []),
    ...(buildah ? [buildahBuilder(buildah, options)] : []),
  ];
}

/** Fails where a command was given and does not work; one that was only found and does not work is left out. */
function wordsOf(given: string | undefined, name: string, probe: Command): Command | undefined {
  if (given === "none") return undefined;
  const words = (given ?? name).split(" ").filter(Boolean);
  const [program = "", ...args] = words;
  const { status, stderr, error } = spawnSync(program, [...args, ...probe], { encoding: "utf8" });
  if (status === 0) return words;
  if (given === undefined) return undefined;
  throw new Error(`"${given} ${probe.join(" ")}" does not work: ${error?.message ?? stderr.trim()}`);
}

function tsbuild(root: string): Builder {
  const store = join(root, "store");
  const build = (context: string, tag: string, more: Command): Command => {
    return [LAUNCHER, "build", "--progress", "plain", ...more, "-t", tag, context];
  };
  return {
    name: "tsbuild",
    env: { ...process.env, TSBUILD_ROOT: store },
    daemon: undefined,
    build: (context, tag, { isPushed, isCacheIgnored }) => [
      build(context, tag, [...(isPushed ? ["--push"] : []), ...(isCacheIgnored ? ["--no-cache"] : [])]),
    ],
    layout: (context, tag, dest) => [build(context, tag, ["-o", `type=oci,tar=false,dest=${dest}`])],
    prune: () => rmSync(store, { recursive: true, force: true }),
  };
}

function dockerBuilder(words: Command, { dockerPid, mayPrune }: BuilderOptions): Builder {
  const build = (context: string, tag: string, more: Command): Command => {
    // No attestation: the other two make none.
    const same = ["--provenance=false", "--network", "host", "--progress", "plain"];
    return [...words, "build", ...same, ...more, "-t", tag, context];
  };
  return {
    name: "docker",
    env: { ...process.env, DOCKER_BUILDKIT: "1" },
    daemon: dockerPid === undefined ? undefined : Number(/^\d+$/.test(dockerPid) ? dockerPid : readFileSync(dockerPid)),
    build: (context, tag, { isPushed, isCacheIgnored }) => [
      build(context, tag, [...(isPushed ? ["--push"] : []), ...(isCacheIgnored ? ["--no-cache"] : [])]),
    ],
    layout: (context, tag, dest) => [build(context, tag, ["-o", `type=oci,tar=false,dest=${dest}`])],
    prune: mayPrune
      ? () => {
          quietly([...words, "builder", "prune", "-af"]);
          quietly([...words, "system", "prune", "-af"]);
        }
      : undefined,
  };
}

function buildahBuilder(words: Command, { buildahFlags = "", mayPrune }: BuilderOptions): Builder {
  const flags = buildahFlags.split(" ").filter(Boolean);
  const build = (context: string, tag: string, more: Command): Command => {
    return [...words, "build", "--layers", "--network", "host", ...flags, ...more, "-t", tag, context];
  };
  return {
    name: "buildah",
    env: process.env,
    daemon: undefined,
    build: (context, tag, { isPushed, isCacheIgnored }) => [
      build(context, tag, isCacheIgnored ? ["--no-cache"] : []),
      ...(isPushed ? [[...words, "push", "--quiet", "--tls-verify=false", tag]] : []),
    ],
    layout: (_context, tag, dest) => [[...words, "push", "--quiet", tag, `oci:${dest}`]],
    prune: mayPrune ? () => quietly([...words, "rmi", "-af"]) : undefined,
  };
}

function quietly([program = "", ...args]: Command): void {
  spawnSync(program, args, { stdio: "ignore" });
}
