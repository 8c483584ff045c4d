// Plans Dockerfile texts with images from fixtures/plan/images.json instead of registries.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "../../../src/diagnostics/build-error.ts";
import type { Diagnostic } from "../../../src/diagnostics/diagnostic.ts";
import { spanText } from "../../../src/diagnostics/source.ts";
import { parseDockerfile } from "../../../src/frontend/parser.ts";
import type { ImagePlan } from "../../../src/graph/image-plan.ts";
import type { ExecOp, FileOp, Op } from "../../../src/graph/op.ts";
import type { Vertex } from "../../../src/graph/graph.ts";
import { digestOf, type Digest } from "../../../src/oci/digest.ts";
import type { ContainerConfig, HistoryEntry, ImageConfig } from "../../../src/oci/image.ts";
import type { PlanOptions, PlanResult, ResolvedImage } from "../../../src/plan/options.ts";
import { planImage } from "../../../src/plan/plan.ts";

export const FIXTURES: string = join(import.meta.dirname, "../../../fixtures/plan");

const AMD64 = { os: "linux", architecture: "amd64" };

const known = new Map(
  Object.entries(
    JSON.parse(readFileSync(join(FIXTURES, "images.json"), "utf8")) as Record<
      string,
      { digest: Digest; config: ImageConfig }
    >,
  ).map(([reference, image]): [string, ResolvedImage] => [reference, { reference, ...image }]),
);

/** An image with one layer and this container config. */
export function imageWith(
  reference: string,
  config: ContainerConfig,
  history: readonly HistoryEntry[] = [{}],
): ResolvedImage {
  const layers = history.filter((entry) => entry.empty_layer !== true).map((_, i) => digestOf(`${reference} ${i}`));
  return {
    reference,
    digest: digestOf(reference),
    config: { ...AMD64, config, history, rootfs: { type: "layers", diff_ids: layers } },
  };
}

export interface RigOptions extends Omit<Partial<PlanOptions>, "buildArgs" | "labels" | "resolveImage"> {
  readonly buildArgs?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  /** Beside those of the fixtures. */
  readonly images?: readonly ResolvedImage[];
  readonly onResolve?: (reference: string) => Promise<void> | void;
}

export function planOptions(options: RigOptions = {}): PlanOptions {
  const { buildArgs = {}, labels = {}, images = [], onResolve, ...rest } = options;
  return {
    platform: AMD64,
    isPlatformExplicit: false,
    buildPlatform: AMD64,
    isMultiPlatform: false,
    context: { kind: "local", name: "context" },
    contexts: new Map(),
    noCache: false,
    network: "default",
    ulimits: [],
    extraHosts: [],
    isEveryStagePlanned: false,
    ...rest,
    buildArgs: new Map(Object.entries(buildArgs)),
    labels: new Map(Object.entries(labels)),
    resolveImage: async (reference) => {
      await onResolve?.(reference);
      const image = images.find((one) => one.reference === reference) ?? known.get(reference);
      if (!image) throw new BuildError("image", `${reference}: not found`, { details: { status: 404 } });
      return image;
    },
  };
}

/** Plans `text`; parse errors fail the test. */
export async function plan(text: string, options: RigOptions = {}): Promise<PlanResult> {
  const { dockerfile, diagnostics } = parseDockerfile({ path: "Dockerfile", text });
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  if (errors.length > 0) throw new Error(errors.map(({ message }) => message).join("\n"));
  return planImage(dockerfile, planOptions(options));
}

/** The plan of a text without errors. */
export async function planned(text: string, options: RigOptions = {}): Promise<ImagePlan> {
  const result = await plan(text, options);
  if (!result.plan) throw new Error(result.diagnostics.map(({ message }) => message).join("\n"));
  return result.plan;
}

/** `text of the span: message`, errors only. */
export async function errorsOf(text: string, options: RigOptions = {}): Promise<string[]> {
  return (await plan(text, options)).diagnostics.filter(({ severity }) => severity === "error").map(shown);
}

/** `Rule [text of the span] message` of the build checks. */
export async function warningsOf(text: string, options: RigOptions = {}): Promise<string[]> {
  const { diagnostics } = await plan(text, options);
  return diagnostics.filter(({ severity }) => severity === "warning").map((one) => `${one.code} ${shown(one)}`);
}

function shown({ span, message }: Diagnostic): string {
  return `[${spanText(span)}] ${message}`;
}

export function vertices(result: ImagePlan): readonly Vertex[] {
  return [...result.graph.vertices.values()];
}

/** Ops of one kind, inputs first. */
export function ops<K extends Op["kind"]>(result: ImagePlan, kind: K): Extract<Op, { kind: K }>[] {
  return vertices(result)
    .map(({ op }) => op)
    .filter((op): op is Extract<Op, { kind: K }> => op.kind === kind);
}

export function execs(result: ImagePlan): ExecOp[] {
  return ops(result, "exec");
}

export function files(result: ImagePlan): FileOp[] {
  return ops(result, "file");
}

export function names(result: ImagePlan): string[] {
  return vertices(result).map(({ meta }) => meta.name);
}

export function createdBy(result: ImagePlan): string[] {
  return result.history.map((entry) => entry.createdBy);
}

/** The environment of a RUN as an object. */
export function envOf(op: ExecOp | undefined): Record<string, string> {
  return Object.fromEntries(
    (op?.env ?? []).map((one) => [one.slice(0, one.indexOf("=")), one.slice(one.indexOf("=") + 1)]),
  );
}
