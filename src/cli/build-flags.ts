// The flags of `tsbuild [build]` as data, and a reader for the way they are mostly written. What it is not sure of is for flag-parser.ts to read.
import { PROGRESS_MODES, type ProgressMode } from "./progress/renderer.ts";

type Many =
  | "tag"
  | "build-arg"
  | "build-context"
  | "label"
  | "annotation"
  | "platform"
  | "no-cache-filter"
  | "add-host"
  | "ulimit"
  | "resource"
  | "secret"
  | "ssh"
  | "output"
  | "cache-to"
  | "cache-from"
  | "allow"
  | "attest"
  | "security-opt";
type One =
  | "file"
  | "target"
  | "shm-size"
  | "cgroup-parent"
  | LimitFlag
  | "metadata-file"
  | "iidfile"
  | "report"
  | "context-mode"
  | "pull"
  | "cache-ttl"
  | "ca-cert"
  | "runtime"
  | "jobs"
  | "cache-max-size"
  | "provenance"
  | "sbom"
  | "builder"
  | "isolation";
/** docker's own flags for what `--resource` says in one. */
export type LimitFlag =
  "memory" | "memory-swap" | "cpu-shares" | "cpu-period" | "cpu-quota" | "cpuset-cpus" | "cpuset-mems";
type Defaulted = "network" | "call";
type Toggle = "no-cache" | "push" | "load" | "offline" | "no-process-sandbox" | "check" | "quiet" | IdleToggle;
/** What says nothing to BuildKit either (U30); `--debug` speaks of its own logs. */
type IdleToggle = "compress" | "debug" | "force-rm" | "rm" | "squash";

/** What was written, by flag; `_` is what is no flag. */
export type GivenFlags = Readonly<Record<Many, readonly string[]>> &
  Readonly<Partial<Record<One, string>>> &
  Readonly<Record<Defaulted, string>> &
  Readonly<Record<Toggle, boolean>> & { readonly progress?: ProgressMode; readonly _: readonly (string | number)[] };

/** A flag as yargs takes it. */
export interface Flag {
  readonly type: "string" | "boolean";
  readonly describe: string;
  readonly alias?: string;
  readonly array?: true;
  readonly nargs?: 1;
  readonly requiresArg?: true;
  readonly choices?: readonly string[];
  readonly default?: string | boolean | readonly string[];
  /** Left out of the help. */
  readonly hidden?: true;
}

type More = Pick<Flag, "alias" | "choices" | "default" | "hidden">;
const many = (describe: string, more: More = {}): Flag => ({
  type: "string",
  array: true,
  nargs: 1,
  requiresArg: true,
  default: [],
  describe,
  ...more,
});
const one = (describe: string, more: More = {}): Flag => ({ type: "string", requiresArg: true, describe, ...more });
const toggle = (describe: string, more: More = {}): Flag => ({ type: "boolean", default: false, describe, ...more });
/** `--provenance`, `--provenance=false`: a value only after "=". */
const optional = (describe: string): Flag => ({ type: "string", describe });

/** All flags, in the order in which the help lists them. */
export const FLAGS: Readonly<Record<Many | One | Defaulted | Toggle | "progress", Flag>> = {
  file: one("Dockerfile: a path, a URL or - (default: CONTEXT/Dockerfile)", { alias: "f" }),
  tag: many("Name of the image, REGISTRY/NAME:TAG (repeatable)", { alias: "t" }),
  target: one("Stage to build"),
  "build-arg": many("Value of an ARG, KEY[=VALUE] (repeatable)"),
  "build-context": many("Another context, NAME=PATH|docker-image://REF|oci-layout://DIR|URL (repeatable)"),
  "context-mode": one("Modes of context files: disk (default), or git, whatever the umask was", {
    choices: ["disk", "git"],
  }),
  label: many("Label of the image, KEY=VALUE (repeatable)"),
  annotation: many("Annotation of the manifest, [TYPE:]KEY=VALUE (repeatable)"),
  platform: many("Platform to build for, as linux/amd64"),
  "no-cache": toggle("Run every step; the results are stored"),
  "no-cache-filter": many("Stages to build without cache (repeatable, or a comma list)"),
  "cache-ttl": one("Run steps again whose results are older, as 24h (for one step: # tsbuild: ttl=24h above it)"),
  "add-host": many("Line of /etc/hosts in RUN, HOST:IP (repeatable)"),
  network: one("Network of RUN: default, none or host (which allows network.host)", { default: "default" }),
  "shm-size": one("Size of /dev/shm in RUN, as 64m"),
  ulimit: many("Limit in RUN, NAME=SOFT[:HARD] (repeatable)"),
  "cgroup-parent": one("Parent cgroup of RUN"),
  resource: many(
    "Limits of each RUN: memory=1g, memory-swap=, cpu-shares=, cpu-period=, cpu-quota=, cpuset-cpus=0-1, cpuset-mems= (repeatable)",
  ),
  memory: one("As --resource memory=", { alias: "m", hidden: true }),
  "memory-swap": one("As --resource memory-swap=", { hidden: true }),
  "cpu-shares": one("As --resource cpu-shares=", { alias: "c", hidden: true }),
  "cpu-period": one("As --resource cpu-period=", { hidden: true }),
  "cpu-quota": one("As --resource cpu-quota=", { hidden: true }),
  "cpuset-cpus": one("As --resource cpuset-cpus=", { hidden: true }),
  "cpuset-mems": one("As --resource cpuset-mems=", { hidden: true }),
  secret: many(
    "Secret for RUN --mount=type=secret, id=ID[,src=FILE|,env=VAR][,cache=content][,leak=allow] (repeatable)",
  ),
  ssh: many("Agent or keys for RUN --mount=type=ssh, default|ID[=SOCKET|KEY[,KEY]] (repeatable)"),
  output: many("What to make: DIR, -, or type=oci|docker|local|tar|image|registry,… (repeatable)", { alias: "o" }),
  push: toggle("Push the image to the registries in its names"),
  load: toggle("Load the image into docker or podman"),
  pull: optional("Where tags of base images are looked up: missing (default), always (= --pull), newer, never"),
  offline: toggle("Ask nothing of the network: what is missing is an error"),
  "cache-to": many("Where the cache goes, type=registry|local|s3|gha|inline,…[,mode=max] (repeatable)"),
  "cache-from": many("Cache to read, REF or type=registry|local|s3|gha,… (repeatable)"),
  "metadata-file": one("Write digests and names as JSON"),
  iidfile: one("Write the image id"),
  report: one(
    "Write what the build did as JSON, also when it fails: steps, keys, reasons, times, sizes, critical path",
  ),
  allow: many(
    "Entitlement: network.host, security.insecure, device[=NAME[,alias=NAME]], buildx.local.delete (repeatable)",
  ),
  attest: many("Attestation (not built yet)"),
  provenance: optional("Provenance attestation (only =false is built)"),
  sbom: optional("SBOM attestation (only =false is built)"),
  call: one("build, check, outline, targets, graph or subrequests.describe, [,format=json][,ignorestatus=true]", {
    default: "build",
  }),
  check: toggle("Check the Dockerfile, build nothing (= --call=check)"),
  progress: one("How to show progress (default: auto, or $BUILDKIT_PROGRESS)", { choices: PROGRESS_MODES }),
  quiet: toggle("Print the image id only", { alias: "q" }),
  "ca-cert": one("PEM file that registries and RUN trust in addition"),
  runtime: one("OCI runtime: a name or a path (default: crun, else runc)"),
  "no-process-sandbox": toggle(
    "Without root in a container that hides parts of /proc: RUN sees and may signal all processes of it ($TSBUILD_NO_PROCESS_SANDBOX=1)",
  ),
  "cache-max-size": one(
    "Ceiling of everything that tsbuild keeps, as 20g (default: $TSBUILD_CACHE_MAX_SIZE, else the store's config.json, else none)",
  ),
  jobs: one("RUN steps at once (default: from the CPUs and memory)"),
  builder: one("For docker's scripts: there is one builder", { hidden: true }),
  compress: toggle("For docker's scripts: no effect", { hidden: true }),
  debug: toggle("For docker's scripts: no effect", { alias: "D", hidden: true }),
  "force-rm": toggle("For docker's scripts: no effect", { hidden: true }),
  isolation: one("For docker's scripts: no effect", { hidden: true }),
  rm: toggle("For docker's scripts: no effect", { hidden: true }),
  "security-opt": many("For docker's scripts: no effect", { hidden: true }),
  squash: toggle("For docker's scripts: no effect", { hidden: true }),
};

const NAMED: ReadonlyMap<string, readonly [name: string, option: Flag]> = new Map(
  Object.entries<Flag>(FLAGS).flatMap(([name, option]) => {
    const long = [`--${name}`, [name, option]] as const;
    return option.alias === undefined ? [long] : [long, [`-${option.alias}`, [name, option]] as const];
  }),
);

/**
 * Reads `--name value`, `--name=value`, `-n value`, `--switch` and contexts, as yargs would, without loading it: that alone takes as long as Node's start.
 * Undefined where a word is of any other form (unknown, quoted, empty, several letters in one, `--`, `-`), right or wrong.
 */
export function readPlainFlags(words: readonly string[]): GivenFlags | undefined {
  const given: Record<string, string | boolean | string[]> = { _: [] };
  for (const [name, option] of Object.entries<Flag>(FLAGS))
    if (option.default !== undefined) given[name] = option.array ? [] : (option.default as string | boolean);
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!;
    if (!word.startsWith("-")) {
      if (!isPlain(word)) return undefined;
      (given["_"] as string[]).push(word);
      continue;
    }
    const cut = word.startsWith("--") ? word.indexOf("=") : -1;
    const [name, option] = NAMED.get(cut < 0 ? word : word.slice(0, cut)) ?? [];
    if (name === undefined || option === undefined) return undefined;
    if (option.type === "boolean") {
      // A switch may be followed by its value.
      const next = words[at + 1];
      if (cut >= 0 || next === "true" || next === "false") return undefined;
      given[name] = true;
      continue;
    }
    if (cut < 0 && option.requiresArg !== true) return undefined;
    const value = cut < 0 ? words[++at] : word.slice(cut + 1);
    if (value === undefined || !isPlain(value) || option.choices?.includes(value) === false) return undefined;
    if (option.array) (given[name] as string[]).push(value);
    else given[name] = value;
  }
  return given as unknown as GivenFlags;
}

/** Whether yargs takes the word for a value, and as it is: it removes quotes. */
function isPlain(word: string): boolean {
  return word !== "" && !/^[-"']/.test(word);
}
