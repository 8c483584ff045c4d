// What the planner takes and gives. Data only; the one door to the world is `resolveImage`.
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import type { Span } from "../diagnostics/source.ts";
import type { Instruction } from "../frontend/ast.ts";
import type { ImagePlan } from "../graph/image-plan.ts";
import type { GitOp, HttpOp, LocalOp, Ulimit } from "../graph/op.ts";
import type { Digest } from "../oci/digest.ts";
import type { ImageConfig } from "../oci/image.ts";
import type { Platform } from "../oci/platform.ts";
import type { StageNeeds } from "./needs.ts";

/** An image pinned to a manifest, with the config that its platform has. */
export interface ResolvedImage {
  /** Normalised, without digest: `docker.io/library/debian:12`. */
  readonly reference: string;
  /** Of the manifest. */
  readonly digest: Digest;
  readonly config: ImageConfig;
  /** Absolute path of the OCI layout that has it; undefined = a registry. */
  readonly layout?: string;
}

/** An image in an OCI layout: by digest, else by tag, else the only one. */
export interface LayoutReference {
  /** Absolute path. */
  readonly path: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

/**
 * Pins an image. `reference` is normalised and has a tag or digest; with `layout` the image is there and `reference` only names it.
 * Fails with BuildError; a missing image has `details.status` 404.
 */
export type ResolveImage = (reference: string, platform: Platform, layout?: LayoutReference) => Promise<ResolvedImage>;

/** What `--build-context name=…` means. A name may carry a platform: `name::linux/arm64`. */
export type NamedContext =
  /** A directory of the client: the vertex is a {@link LocalOp} with the context's name. */
  | { readonly kind: "local" }
  /** `scratch` is allowed. */
  | { readonly kind: "image"; readonly reference: string }
  | ({ readonly kind: "oci-layout" } & LayoutReference)
  | { readonly kind: "source"; readonly op: GitOp | HttpOp };

export interface PlanOptions {
  /** Undefined = the last stage. */
  readonly target?: string;
  readonly buildArgs: ReadonlyMap<string, string>;
  /** `--label`: applied last, without history. */
  readonly labels: ReadonlyMap<string, string>;
  /** The target platform. */
  readonly platform: Platform;
  /** Whether the user named the platform: only then is an image of another platform relabelled. */
  readonly isPlatformExplicit: boolean;
  /** The platform of this machine. */
  readonly buildPlatform: Platform;
  /** Several platforms are built: progress names say which. */
  readonly isMultiPlatform: boolean;
  readonly resolveImage: ResolveImage;
  /** The main build context. */
  readonly context: LocalOp | GitOp | HttpOp;
  readonly contexts: ReadonlyMap<string, NamedContext>;
  /** True = every step; else the names of stages, compared without case. */
  readonly noCache: boolean | readonly string[];
  /** Milliseconds after which a result does not count any more; undefined = it does not age. */
  readonly cacheTtlMs?: number;
  /** For RUN steps that do not say otherwise. */
  readonly network: "default" | "none" | "host";
  readonly shmSize?: number;
  readonly ulimits: readonly Ulimit[];
  readonly cgroupParent?: string;
  /** Names of `--add-host`. */
  readonly extraHosts: readonly string[];
  /** What SOURCE_DATE_EPOCH means where it is not a number, in seconds: see plan/epoch-source.ts. Null = it refers to something that has no time, and counts as not set. */
  readonly epoch?: number | null;
  /** Plans every stage, not only what the target needs: for `--check` without a target. */
  readonly isEveryStagePlanned: boolean;
}

/** A stage as `--call=targets` and the outline show it. */
export interface StageSummary {
  readonly index: number;
  /** As declared; undefined = unnamed. */
  readonly name?: string;
  /** From the comment above FROM: the text behind the stage's name. */
  readonly description?: string;
  /** As written. */
  readonly base: string;
  /** The stage that `base` names; undefined = an image, a context or nothing. */
  readonly baseIndex?: number;
  /** As written. */
  readonly platform?: string;
  readonly isTarget: boolean;
  /** By the target, even where more is planned. */
  readonly isNeeded: boolean;
  /** A named context stands in for it. */
  readonly isReplaced: boolean;
  readonly span: Span;
}

/** A source of COPY or ADD in the main local context, for the check of ignored files. */
export interface ContextCopy {
  readonly instruction: "Copy" | "Add";
  /** Expanded and cleaned, relative; "" = the whole context. */
  readonly path: string;
  readonly span: Span;
}

export interface PlanResult {
  /** Undefined where `diagnostics` has an error. */
  readonly plan: ImagePlan | undefined;
  readonly diagnostics: readonly Diagnostic[];
  readonly stages: readonly StageSummary[];
  /** Index of a stage that was walked → what it needs from outside. */
  readonly needs: ReadonlyMap<number, StageNeeds>;
  /** Indices of stages that were walked and begin with a SHELL of their base image. */
  readonly shellBases: ReadonlySet<number>;
  /** Index of a stage that was resolved → the triggers of its base, which run before its own instructions. */
  readonly triggers: ReadonlyMap<number, readonly Instruction[]>;
  readonly contextCopies: readonly ContextCopy[];
  /** Names of the local contexts that the plan reads. */
  readonly localContexts: readonly string[];
}
