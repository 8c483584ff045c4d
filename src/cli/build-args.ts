// The flags of `tsbuild [build]`, with the names of `docker buildx build`. yargs reads the words; everything after that is our own types.
import { resolve } from "node:path";
import yargs from "yargs";
import { BuildError, suggest, type BuildOptions } from "../index.ts";
import { csvFields } from "./csv.ts";
import { parseOutputs } from "./output-spec.ts";
import { PROGRESS_MODES, type ProgressMode } from "./progress/renderer.ts";
import {
  parseAssignments,
  parseLabels,
  parsePairs,
  parseSecret,
  parseSize,
  parseSsh,
  parseUlimit,
  type Environment,
} from "./values.ts";

const many = { type: "string", array: true, nargs: 1, requiresArg: true, default: [] as string[] } as const;
const one = { type: "string", requiresArg: true } as const;
const flag = { type: "boolean", default: false } as const;
/** `--provenance`, `--provenance=false`: a value only after "=". */
const optional = { type: "string" } as const;

const OPTIONS = {
  file: { ...one, alias: "f", describe: "Dockerfile: a path, a URL or - (default: CONTEXT/Dockerfile)" },
  tag: { ...many, alias: "t", describe: "Name of the image, REGISTRY/NAME:TAG (repeatable)" },
  target: { ...one, describe: "Stage to build" },
  "build-arg": { ...many, describe: "Value of an ARG, KEY[=VALUE] (repeatable)" },
  "build-context": {
    ...many,
    describe: "Another context, NAME=PATH|docker-image://REF|oci-layout://DIR|URL (repeatable)",
  },
  label: { ...many, describe: "Label of the image, KEY=VALUE (repeatable)" },
  annotation: { ...many, describe: "Annotation of the manifest, [TYPE:]KEY=VALUE (repeatable)" },
  platform: { ...many, describe: "Platform to build for, as linux/amd64" },
  "no-cache": { ...flag, describe: "Run every step; the results are stored" },
  "no-cache-filter": { ...many, describe: "Stages to build without cache (repeatable, or a comma list)" },
  "add-host": { ...many, describe: "Line of /etc/hosts in RUN, HOST:IP (repeatable)" },
  network: { ...one, default: "default", describe: "Network of RUN: default, none or host" },
  "shm-size": { ...one, describe: "Size of /dev/shm in RUN, as 64m" },
  ulimit: { ...many, describe: "Limit in RUN, NAME=SOFT[:HARD] (repeatable)" },
  "cgroup-parent": { ...one, describe: "Parent cgroup of RUN" },
  secret: { ...many, describe: "Secret for RUN --mount=type=secret, id=ID[,src=FILE|,env=VAR] (repeatable)" },
  ssh: { ...many, describe: "Agent or keys for RUN --mount=type=ssh, default|ID[=SOCKET|KEY[,KEY]] (repeatable)" },
  output: {
    ...many,
    alias: "o",
    describe: "What to make: DIR, -, or type=oci|docker|local|tar|image|registry,… (repeatable)",
  },
  push: { ...flag, describe: "Push the image to the registries in its names" },
  load: { ...flag, describe: "Load the image into docker or podman" },
  pull: { ...flag, describe: "Ask the registry what tags of base images mean now" },
  "cache-to": { ...many, describe: "Export the cache (not built yet)" },
  "cache-from": { ...many, describe: "Import a cache (not built yet)" },
  "metadata-file": { ...one, describe: "Write digests and names as JSON" },
  iidfile: { ...one, describe: "Write the image id" },
  allow: { ...many, describe: "Entitlement: network.host, security.insecure (repeatable)" },
  attest: { ...many, describe: "Attestation (not built yet)" },
  provenance: { ...optional, describe: "Provenance attestation (only =false is built)" },
  sbom: { ...optional, describe: "SBOM attestation (only =false is built)" },
  call: { ...one, default: "build", describe: "build or check" },
  check: { ...flag, describe: "Check the Dockerfile, build nothing (= --call=check)" },
  progress: {
    ...one,
    choices: PROGRESS_MODES,
    describe: "How to show progress (default: auto, or $BUILDKIT_PROGRESS)",
  },
  quiet: { ...flag, alias: "q", describe: "Print the image id only" },
  "ca-cert": { ...one, describe: "PEM file that registries and RUN trust in addition" },
  runtime: { ...one, describe: "OCI runtime: a name or a path (default: crun, else runc)" },
  jobs: { ...one, describe: "RUN steps at once (default: from the CPUs and memory)" },
} as const;

export interface BuildArguments {
  readonly build: Omit<BuildOptions, "signal" | "stdin" | "writeStdout">;
  readonly call: "build" | "check";
  readonly progress: ProgressMode;
  readonly isQuiet: boolean;
  readonly caCert: string | undefined;
  readonly runtime: string | undefined;
}

/** Words after `tsbuild [build]` → options. Wrong ones are a BuildError of code "usage"; undefined = help was printed. */
export async function parseBuildArguments(
  words: readonly string[],
  cwd: string,
  environment: Environment,
): Promise<BuildArguments | undefined> {
  let isHelp = false;
  const parser = yargs([...words])
    .scriptName("tsbuild")
    .usage(
      "tsbuild [build] [flags] CONTEXT\n\nBuilds the image that a Dockerfile describes. CONTEXT is a directory, a git or http URL, or - for standard input.",
    )
    .options(OPTIONS)
    .parserConfiguration({
      "camel-case-expansion": false,
      "boolean-negation": false,
      "parse-positional-numbers": false,
      "strip-aliased": true,
    })
    .version(false)
    .strictOptions()
    .exitProcess(false)
    .wrap(100)
    .fail((message, error) => {
      throw usageError(message, error);
    });
  if (words.some((word) => word === "--help" || word === "-h")) {
    console.log(await parser.getHelp());
    isHelp = true;
  }
  if (isHelp) return undefined;
  const given = await parser.help(false).parseAsync();
  return buildArguments(lastOfRepeated(given), cwd, environment);
}

type Given = Awaited<ReturnType<ReturnType<typeof declared>["parseAsync"]>>;
/** Only for its type. */
function declared() {
  return yargs([]).options(OPTIONS);
}

/** Of an option that takes one value and was given twice, the last value counts. */
function lastOfRepeated(given: Given): Given {
  const single = Object.entries(given).map(([key, value]: [string, unknown]) => {
    const isMany = key === "_" || (Object.hasOwn(OPTIONS, key) && "array" in OPTIONS[key as keyof typeof OPTIONS]);
    return [key, Array.isArray(value) && !isMany ? (value.at(-1) as unknown) : value];
  });
  return Object.fromEntries(single) as Given;
}

function buildArguments(given: Given, cwd: string, environment: Environment): BuildArguments {
  refuseLater(given);
  const contexts = given._.map(String);
  if (contexts.length !== 1) {
    const found =
      contexts.length === 0 ? "no context given" : `${contexts.length} contexts given: ${contexts.join(" ")}`;
    throw new BuildError("usage", `${found}; tsbuild needs exactly one`, {
      help: "usage: tsbuild [build] [flags] CONTEXT, for example: tsbuild -t app .",
    });
  }
  const tags = given.tag;
  const outputs = parseOutputs({
    output: given.output,
    push: given.push,
    load: given.load,
    annotation: given.annotation,
    tags,
    cwd,
  });
  const progress = given.progress ?? progressOf(environment["BUILDKIT_PROGRESS"]);
  const buildArgs = parseAssignments(given["build-arg"], environment);
  const epoch = environment["SOURCE_DATE_EPOCH"];
  if (epoch !== undefined && epoch !== "" && !buildArgs.has("SOURCE_DATE_EPOCH"))
    buildArgs.set("SOURCE_DATE_EPOCH", epoch);
  const optionalFields = {
    ...(given.file === undefined ? {} : { dockerfile: given.file }),
    ...(given.target === undefined ? {} : { target: given.target }),
    ...(given["shm-size"] === undefined ? {} : { shmSize: parseSize("--shm-size", given["shm-size"]) }),
    ...(given["cgroup-parent"] === undefined ? {} : { cgroupParent: given["cgroup-parent"] }),
    ...(given["metadata-file"] === undefined ? {} : { metadataFile: resolve(cwd, given["metadata-file"]) }),
    ...(given.iidfile === undefined ? {} : { iidFile: resolve(cwd, given.iidfile) }),
    ...(given.jobs === undefined ? {} : { jobs: positiveInteger("--jobs", given.jobs) }),
  };
  return {
    build: {
      context: contexts[0]!,
      tags,
      buildArgs,
      buildContexts: parsePairs("--build-context", given["build-context"]),
      labels: parseLabels(given.label),
      platforms: given.platform.flatMap((text) => text.split(",")),
      cache: given["no-cache"] ? "ignore" : "use",
      noCacheFilter: given["no-cache-filter"].flatMap((text) => text.split(",")),
      addHosts: given["add-host"],
      network: networkOf(given.network),
      ulimits: given.ulimit.map(parseUlimit),
      secrets: given.secret.map((text) => parseSecret(text, cwd, environment)),
      ssh: given.ssh.map((text) => parseSsh(text, cwd)),
      outputs,
      pull: given.pull,
      allow: given.allow.flatMap((text) => csvFields(text)).map(entitlement),
      ...optionalFields,
    },
    call: callOf(given),
    progress: given.quiet ? "quiet" : progress,
    isQuiet: given.quiet,
    caCert: given["ca-cert"] === undefined ? undefined : resolve(cwd, given["ca-cert"]),
    runtime: given.runtime,
  };
}

/** Flags of features to come refuse; the values that switch them off are fine. */
function refuseLater(given: Given): void {
  const refuse = (name: string, help: string): never => {
    throw new BuildError("unsupported", `${name} is not built yet`, { help });
  };
  if (given["cache-to"].length > 0) refuse("--cache-to", "leave it out: the local cache is always kept");
  if (given["cache-from"].length > 0) refuse("--cache-from", "leave it out: the local cache is always used");
  const isOff = (text: string | undefined): boolean =>
    text === undefined || (text !== "" && /^(0|f|false)$/i.test(text));
  if (!isOff(given.provenance)) refuse("--provenance", "leave it out, or write --provenance=false");
  if (!isOff(given.sbom)) refuse("--sbom", "leave it out, or write --sbom=false");
  if (given.attest.some((text) => !csvFields(text).includes("disabled=true"))) refuse("--attest", "leave it out");
}

function callOf(given: Given): "build" | "check" {
  const [name = "build", ...options] = csvFields(given.check ? "check" : given.call);
  if (options.length > 0)
    throw new BuildError("unsupported", `--call options (${options.join(",")}) are not built yet`);
  if (name === "build") return "build";
  if (name === "check" || name === "lint") return "check";
  if (name === "outline" || name === "targets" || name === "subrequests.describe") {
    throw new BuildError("unsupported", `--call=${name} is not built yet`, { help: "build and check are" });
  }
  throw new BuildError("usage", `unsupported request ${name}`, { help: "one of build, check" });
}

function progressOf(text: string | undefined): ProgressMode {
  return PROGRESS_MODES.find((mode) => mode === text) ?? "auto";
}

function networkOf(text: string): "default" | "none" | "host" {
  if (text === "default" || text === "none" || text === "host") return text;
  throw new BuildError("usage", `invalid network mode ${JSON.stringify(text)}`, { help: "one of default, none, host" });
}

function entitlement(text: string): string {
  if (text === "network.host" || text === "security.insecure") return text;
  if (text === "device" || text.startsWith("device="))
    throw new BuildError("unsupported", "--allow device is not built yet");
  throw new BuildError("usage", `unknown entitlement ${text}`, { help: "one of network.host, security.insecure" });
}

function positiveInteger(name: string, text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1)
    throw new BuildError("usage", `invalid value ${JSON.stringify(text)} for ${name}: expected a number from 1`);
  return value;
}

/** yargs' text with the flag that was probably meant. */
function usageError(message: string | undefined, error: Error | undefined): BuildError {
  if (error instanceof BuildError) return error;
  const unknown = /^Unknown arguments?: (.+)$/.exec(message ?? "")?.[1]?.split(", ")[0];
  if (unknown === undefined)
    return new BuildError("usage", lowerFirst(message ?? error?.message ?? "unusable arguments"));
  const name = unknown.replace(/=.*$/, "");
  const near = suggest(name, Object.keys(OPTIONS));
  const dashes = name.length === 1 ? "-" : "--";
  return new BuildError("usage", `unknown flag: ${dashes}${name}`, {
    help: near === undefined ? "tsbuild --help lists the flags" : `did you mean --${near}?`,
  });
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1).replace(/\n/g, " ");
}
