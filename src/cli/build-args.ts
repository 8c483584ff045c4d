// The flags of `tsbuild [build]`, with the names of `docker buildx build`. The words become values here, once, and our own types.
import { resolve } from "node:path";
import { parseGoBool } from "../base/go-text.ts";
import { parseLifetime } from "../base/lifetime.ts";
import {
  BuildError,
  dockerProxies,
  type BuildOptions,
  type OutputSpec,
  type PullPolicy,
  type SecretSource,
  type SshSource,
} from "../index.ts";
import { readPlainFlags, type GivenFlags } from "./build-flags.ts";
import { parseCall, type CallRequest } from "./call/request.ts";
import { csvFields } from "./csv.ts";
import { parseOutputs } from "./output-spec.ts";
import { PROGRESS_MODES, type ProgressMode } from "./progress/renderer.ts";
import { resourcesOf } from "./resources.ts";
import {
  parseAssignments,
  parseLabels,
  parseCeiling,
  parsePairs,
  parseSecret,
  parseSize,
  parseSsh,
  parseUlimit,
  type Environment,
} from "./values.ts";

export interface BuildArguments {
  readonly build: Omit<BuildOptions, "signal" | "stdin" | "writeStdout">;
  readonly call: CallRequest;
  readonly progress: ProgressMode;
  readonly isQuiet: boolean;
  readonly caCert: string | undefined;
  readonly runtime: string | undefined;
  readonly isOffline: boolean;
  readonly hasNoProcessSandbox: boolean;
  /** Bytes. */
  readonly cacheMaxSize: number | undefined;
  /** What was asked for and has no effect. */
  readonly notes: readonly string[];
}

/** Words after `tsbuild [build]` → options. Wrong ones are a BuildError of code "usage"; a text is the help that was asked for. */
export async function parseBuildArguments(
  words: readonly string[],
  cwd: string,
  environment: Environment,
): Promise<BuildArguments | string> {
  const plain = words.map((word) => (word === "--pull" ? "--pull=always" : word));
  const given = readPlainFlags(plain) ?? (await (await import("./flag-parser.ts")).parseFlags(plain));
  if (typeof given === "string") return given;
  const buildArgs = new Map([...(await dockerProxies(environment)), ...buildArgsOf(given, environment)]);
  const caches = await cachesOf(given, buildArgs, cwd, environment);
  return buildArguments(given, { ...caches, buildArgs }, cwd, environment);
}

type CacheOptions = Pick<BuildOptions, "cacheFrom" | "cacheTo" | "inlineCache">;

/** Read only where there are any: most builds have none. */
async function cachesOf(
  given: GivenFlags,
  buildArgs: ReadonlyMap<string, string>,
  cwd: string,
  environment: Environment,
): Promise<CacheOptions> {
  const [from, to] = [given["cache-from"], given["cache-to"]];
  // A25: docker's way to ask for it. What is no boolean is not asked for, as in BuildKit.
  const isAsked = parseGoBool(buildArgs.get("BUILDKIT_INLINE_CACHE") ?? "") === true;
  if (from.length === 0 && to.length === 0) return { cacheFrom: [], cacheTo: [], inlineCache: isAsked };
  const { parseCacheFrom, parseCacheTo } = await import("./cache-spec.ts");
  const world = { cwd, environment };
  const targets = to.flatMap((text) => parseCacheTo(text, world));
  return {
    cacheFrom: from.flatMap((text) => parseCacheFrom(text, world)),
    cacheTo: targets.filter((target) => target !== "inline"),
    inlineCache: isAsked || targets.includes("inline"),
  };
}

function buildArguments(
  given: GivenFlags,
  known: CacheOptions & Pick<BuildOptions, "buildArgs">,
  cwd: string,
  environment: Environment,
): BuildArguments {
  refuseOnline(given);
  refuseLater(given);
  refuseConflicts(given);
  const contexts = given._.map(String);
  if (contexts.length !== 1) throw notOneContext(contexts);
  const outputs = parseOutputs({
    output: given.output,
    push: given.push,
    load: given.load,
    annotation: given.annotation,
    tags: given.tag,
    cwd,
  });
  if (given.iidfile !== undefined && outputs.some(({ kind }) => kind === "local" || kind === "tar"))
    throw new BuildError("usage", "local and tar exporters are incompatible with image ID file", {
      help: "leave --iidfile out: files alone have no image id",
    });
  const maxSize = given["cache-max-size"];
  const network = networkOf(given.network);
  return {
    build: {
      context: contexts[0]!,
      tags: given.tag,
      buildContexts: parsePairs("--build-context", given["build-context"]),
      labels: parseLabels(given.label),
      platforms: given.platform.flatMap((text) => text.split(",")),
      cache: given["no-cache"] ? "ignore" : "use",
      noCacheFilter: given["no-cache-filter"].flatMap((text) => text.split(",")),
      addHosts: given["add-host"].flatMap((text) => csvFields(text)),
      network,
      ulimits: given.ulimit.map(parseUlimit),
      secrets: lastById(given.secret.map((text) => parseSecret(text, cwd, environment))),
      ssh: eachOnce(given.ssh.map((text) => parseSsh(text, cwd))),
      outputs,
      ...known,
      pull: pullPolicy(given.pull),
      // As in buildx, who asks for the machine's network by hand has allowed it.
      allow: [...given.allow.flatMap(entitlements), ...(network === "host" ? ["network.host"] : [])],
      ...optionalFields(given, cwd),
    },
    call: parseCall(given.call, given.check),
    progress: given.quiet ? "quiet" : (given.progress ?? progressOf(environment["BUILDKIT_PROGRESS"])),
    isQuiet: given.quiet,
    caCert: given["ca-cert"] === undefined ? undefined : resolve(cwd, given["ca-cert"]),
    cacheMaxSize: maxSize === undefined ? undefined : parseCeiling("--cache-max-size", maxSize),
    runtime: given.runtime,
    isOffline: given.offline,
    hasNoProcessSandbox: given["no-process-sandbox"],
    notes: notesOn(given, outputs),
  };
}

/** Of flags that docker still takes (U30), and of names that it replaces, those that somebody may count on. */
function notesOn(given: GivenFlags, outputs: readonly OutputSpec[]): readonly string[] {
  const isRenamed = given.tag.length > 0 && outputs.some((output) => "names" in output && output.names.length > 0);
  return [
    ...(isRenamed ? ["name= in --output has no effect beside -t, which names the image"] : []),
    ...(given.squash ? ["--squash has no effect: squash by a last stage that copies what it needs"] : []),
    ...(given["security-opt"].length > 0 ? ["--security-opt has no effect: write RUN --security=insecure"] : []),
    ...(/^(?:default)?$/.test(given.builder ?? "")
      ? []
      : [`--builder ${given.builder} has no effect: tsbuild builds on this machine`]),
  ];
}

/** SOURCE_DATE_EPOCH of the environment is one where none was given. */
function buildArgsOf(given: GivenFlags, environment: Environment): Map<string, string> {
  const buildArgs = parseAssignments(given["build-arg"], environment);
  const epoch = environment["SOURCE_DATE_EPOCH"];
  if (epoch !== undefined && epoch !== "" && !buildArgs.has("SOURCE_DATE_EPOCH"))
    buildArgs.set("SOURCE_DATE_EPOCH", epoch);
  return buildArgs;
}

/** What is only there where its flag was given. */
function optionalFields(given: GivenFlags, cwd: string): Partial<BuildOptions> {
  const resources = resourcesOf(given);
  return {
    ...(resources ? { resources } : {}),
    ...(given.file === undefined ? {} : { dockerfile: given.file }),
    ...(given.target === undefined ? {} : { target: given.target }),
    ...shmSizeOf(given["shm-size"]),
    ...(given["cgroup-parent"] === undefined ? {} : { cgroupParent: given["cgroup-parent"] }),
    ...(given["metadata-file"] === undefined ? {} : { metadataFile: resolve(cwd, given["metadata-file"]) }),
    ...(given.iidfile === undefined ? {} : { iidFile: resolve(cwd, given.iidfile) }),
    ...(given.report === undefined ? {} : { reportFile: resolve(cwd, given.report) }),
    ...(given["cache-ttl"] === undefined ? {} : { cacheTtlMs: lifetime("--cache-ttl", given["cache-ttl"]) }),
    ...(given["context-mode"] === "git" ? { contextMode: "git" } : {}),
    ...(given.jobs === undefined ? {} : { jobs: positiveInteger("--jobs", given.jobs) }),
  };
}

/** Of secrets with one id the last counts, as in docker. */
function lastById(secrets: readonly SecretSource[]): SecretSource[] {
  return [...new Map(secrets.map((secret) => [secret.id, secret])).values()];
}

function eachOnce(agents: readonly SshSource[]): readonly SshSource[] {
  const again = agents.find(({ id }, at) => agents.findIndex((agent) => agent.id === id) < at);
  if (!again) return agents;
  throw new BuildError("usage", `duplicate agent ID ${JSON.stringify(again.id)}`, {
    help: "name all keys of one agent in one --ssh, or give them ids of their own",
  });
}

/** 0 is the standard size, as in docker. */
function shmSizeOf(text: string | undefined): { readonly shmSize?: number } {
  const shmSize = text === undefined ? 0 : parseSize("--shm-size", text);
  return shmSize === 0 ? {} : { shmSize };
}

/** Flags of features to come refuse; the values that switch them off are fine. */
function refuseLater(given: GivenFlags): void {
  const refuse = (name: string, help: string): never => {
    throw new BuildError("unsupported", `${name} is not built yet`, { help });
  };
  const isOff = (text: string | undefined): boolean =>
    text === undefined || (text !== "" && /^(0|f|false)$/i.test(text));
  if (!isOff(given.provenance)) refuse("--provenance", "leave it out, or write --provenance=false");
  if (!isOff(given.sbom)) refuse("--sbom", "leave it out, or write --sbom=false");
  if (!given.attest.every(isDisabled)) refuse("--attest", "leave it out");
}

/** Whether `--attest type=TYPE,disabled=BOOL` switches off what it names. */
function isDisabled(attestation: string): boolean {
  const value = csvFields(attestation).find((field) => field.startsWith("disabled="));
  return value !== undefined && parseGoBool(value.slice("disabled=".length)) === true;
}

function notOneContext(contexts: readonly string[]): BuildError {
  const found =
    contexts.length === 0
      ? "no context given"
      : `${contexts.length} contexts given (${contexts.map((each) => JSON.stringify(each)).join(", ")})`;
  return new BuildError("usage", `${found}; tsbuild needs exactly one`, {
    help: "usage: tsbuild [build] [flags] CONTEXT, for example: tsbuild -t app .",
  });
}

function progressOf(text: string | undefined): ProgressMode {
  return PROGRESS_MODES.find((mode) => mode === text) ?? "auto";
}

function networkOf(text: string): "default" | "none" | "host" {
  if (text === "default" || text === "none" || text === "host") return text;
  throw new BuildError("usage", `invalid network mode ${JSON.stringify(text)}`, { help: "one of default, none, host" });
}

const ENTITLEMENTS = ["network.host", "security.insecure", "device", "buildx.local.delete"];

/** A comma list, or one device with another name in the Dockerfile: `device=NAME,alias=OTHER`. */
function entitlements(text: string): readonly string[] {
  return /^device=[^,]+,alias=[^,]+$/.test(text) ? [text] : csvFields(text).map(entitlement);
}

function entitlement(text: string): string {
  if (ENTITLEMENTS.includes(text) || /^device=./.test(text)) return text;
  throw new BuildError("usage", `unknown entitlement ${text}`, { help: `one of ${ENTITLEMENTS.join(", ")}` });
}

function lifetime(name: string, text: string): number {
  const ms = parseLifetime(text);
  if (ms === undefined)
    throw new BuildError("usage", `invalid value ${JSON.stringify(text)} for ${name}`, {
      help: "write a lifetime such as 24h, 90m or 7d",
    });
  return ms;
}

/** `--pull` alone is `--pull=always`; docker's true and false are always and missing. */
function pullPolicy(text: string | undefined): PullPolicy {
  if (text === undefined || /^(0|f|false|missing)$/i.test(text)) return "missing";
  if (text === "" || /^(1|t|true|always)$/i.test(text)) return "always";
  if (text === "newer" || text === "never") return text;
  throw new BuildError("usage", `invalid value ${JSON.stringify(text)} for --pull`, {
    help: "one of missing, always, newer, never",
  });
}

function refuseConflicts(given: GivenFlags): void {
  if (given["no-cache"] && given["no-cache-filter"].length > 0)
    throw new BuildError("usage", "--no-cache and --no-cache-filter cannot currently be used together", {
      help: "leave one of them out: --no-cache is for all stages",
    });
}

/** What only a network can give is no part of an offline build. */
function refuseOnline(given: GivenFlags): void {
  const isRegistry = (text: string): boolean => !/(^|,)type=(?!registry)/.test(text);
  const asked = [
    ...(given.push ? ["--push"] : []),
    ...(given.output.some((text) => /(^|,)(type=registry|push=true)(,|$)/.test(text))
      ? ["an output that is pushed"]
      : []),
    ...(given["cache-from"].some(isRegistry) ? ["--cache-from of a registry"] : []),
    ...(given["cache-to"].some((text) => isRegistry(text) && !text.includes("type=inline"))
      ? ["--cache-to of a registry"]
      : []),
  ];
  if (given.offline && asked.length > 0)
    throw new BuildError("usage", `--offline excludes ${asked.join(" and ")}`, { help: "leave one of them out" });
}

function positiveInteger(name: string, text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1)
    throw new BuildError("usage", `invalid value ${JSON.stringify(text)} for ${name}: expected a number from 1`);
  return value;
}
