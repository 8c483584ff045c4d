// Both builders as functions from a case to what came of it: an image's facts or an error, and what became of each step.
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { basename, join } from "node:path";
import { BASE, PROJECT } from "../compare/cases.ts";
import { imageFacts, manifestDigestOf, type ImageFacts } from "../compare/image-facts.ts";
import { writeContext, type FuzzCase } from "./fuzz-case.ts";
import type { Place } from "./place.ts";
import { ORIGIN } from "./remote.ts";

export interface Outcome {
  /** undefined = the build failed, or made what is no image. */
  readonly facts: ImageFacts | undefined;
  readonly digest: string;
  /** What the builder said, where there is no image. */
  readonly error: string;
  /** Progress names of RUN, COPY, ADD and WORKDIR → how they ended. */
  readonly steps: ReadonlyMap<string, "ran" | "cached" | "failed">;
}

export type Builder = (each: FuzzCase, folder: string) => Promise<Outcome>;

/** Variables of both builders. */
const ENVIRONMENT = {
  FUZZ_SECRET: "the secret's text",
  DOCKER_CONFIG: "/nonexistent",
};

const SECRET = "--secret=id=fuzz,env=FUZZ_SECRET";

export function dockerBuilder(command: readonly string[], place: Place): Builder {
  // Cache mounts outlive a run, and a step may have changed what they are like: those of an earlier one are others.
  const caches = `--build-arg=BUILDKIT_CACHE_MOUNT_NS=${basename(place.folder)}`;
  const words = [
    ...command,
    "buildx",
    "build",
    "--provenance=false",
    "--sbom=false",
    "--network",
    "host",
    SECRET,
    caches,
  ];
  return (each, folder) => build(words, each, folder, place, "docker");
}

export function tsbuildBuilder(place: Place): Builder {
  // Steps of the fuzzer write down what they see, the secret too.
  const words = [join(PROJECT, "src/bin/tsbuild"), "build", `${SECRET},leak=allow`];
  return (each, folder) => build(words, each, folder, place, "tsbuild");
}

let buildCount = 0;

async function build(
  command: readonly string[],
  each: FuzzCase,
  folder: string,
  place: Place,
  name: string,
): Promise<Outcome> {
  // A name of its own: BuildKit takes a context of the same name for the one before it and then misses changed modes of directories.
  const [context, layout] = [
    join(folder, `${basename(folder)}-${name}-${++buildCount}`),
    join(folder, `${name}-image`),
  ];
  for (const path of [context, layout]) rmSync(path, { recursive: true, force: true });
  // What a named context is called, too, BuildKit takes for what it was before.
  const [first, second] = [context, `${context}-2`];
  const inPlace = { ...each, parts: each.parts.map((part) => part.replaceAll(ORIGIN, place.origin)) };
  for (const path of [first, second]) writeContext(inPlace, path);
  const { code, stderr } = await run(
    [
      ...command,
      "--progress=rawjson",
      `--build-context=${BASE}=oci-layout://${place.baseLayout}:latest`,
      `--output=type=oci,tar=false,dest=${layout}`,
      `--ssh=default=${place.agent}`,
      ...each.args.map((word) => word.replace("{second}", second).replace("{base}", place.baseLayout)),
      first,
    ],
    // The place's server has no image: a name that no stage has is an error at once.
    { TSBUILD_ROOT: place.store, TSBUILD_REGISTRY_MIRRORS: `docker.io=${place.origin}` },
  );
  const steps = stepsOf(stderr);
  const said = stderr
    .replaceAll(place.origin, ORIGIN)
    .split("\n")
    .filter((line) => !line.startsWith("{"))
    .join("\n")
    .trim();
  if (code !== 0) return { facts: undefined, digest: "", error: said || `ended with ${code}`, steps };
  try {
    const facts = JSON.stringify(imageFacts(layout, place.bases)).replaceAll(place.origin, ORIGIN);
    return { facts: JSON.parse(facts) as ImageFacts, digest: manifestDigestOf(layout), error: "", steps };
  } catch (error) {
    return { facts: undefined, digest: "", error: `a broken image: ${String(error)}`, steps };
  }
}

interface Ended {
  readonly code: number | null;
  readonly stderr: string;
}

export function run(
  [command = "", ...words]: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Ended> {
  const { promise, resolve, reject } = Promise.withResolvers<Ended>();
  const child = spawn(command, words, {
    env: { TSBUILD_SOURCES: "1", ...process.env, ...ENVIRONMENT, ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const stderr: Buffer[] = [];
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  child.on("error", reject);
  child.on("close", (code) => resolve({ code, stderr: Buffer.concat(stderr).toString() }));
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

function stepsOf(stderr: string): ReadonlyMap<string, "ran" | "cached" | "failed"> {
  const steps = new Map<string, "ran" | "cached" | "failed">();
  for (const line of stderr.split("\n")) {
    if (!line.startsWith("{")) continue;
    for (const { name, completed, cached, error } of (JSON.parse(line) as RawStatus).vertexes ?? []) {
      if (completed === undefined || !/^\[[^\]]*\d+\/\d+\] (ONBUILD )?(RUN|COPY|ADD|WORKDIR)\b/.test(name)) continue;
      steps.set(name, error !== undefined && error !== "" ? "failed" : cached === true ? "cached" : "ran");
    }
  }
  return steps;
}
