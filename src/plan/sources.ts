// Pins the images that a plan needs and makes the vertices of everything that files come from: images, contexts, git, http.
// Resolving does I/O through the injected function and happens once per image; making vertices is pure and happens in file order.
import { suggest } from "../base/suggest.ts";
import { redactUrls } from "../base/url-text.ts";
import { amend, BuildError, locate } from "../diagnostics/build-error.ts";
import { spanText, type Span } from "../diagnostics/source.ts";
import type { GraphBuilder, VertexMeta } from "../graph/graph.ts";
import type { GitOp, HttpOp, ImageOp, LocalOp } from "../graph/op.ts";
import { canonicalJson } from "../base/canonical-json.ts";
import type { Digest } from "../oci/digest.ts";
import type { ImageConfig } from "../oci/image.ts";
import { formatPlatform, normalizePlatform, type Platform } from "../oci/platform.ts";
import { formatReference, parseReference, withDefaultTag } from "../oci/reference.ts";
import { goQuote } from "../base/go-text.ts";
import { sourceHistoryEntry } from "./history.ts";
import { scratchState, type ImageState } from "./image-state.ts";
import type { FoundContext } from "./named-contexts.ts";
import type { LayoutReference, PlanOptions, ResolvedImage } from "./options.ts";
import { didYouMean } from "./reporter.ts";
import { COMMON_IMAGES, type SourceRequest } from "./stages.ts";

interface ImageRequest {
  readonly reference: string;
  readonly platform: Platform;
  readonly layout?: LayoutReference;
}

/** The image behind a request; undefined where there is none to resolve. */
function imageOf(request: SourceRequest): ImageRequest | undefined {
  if (request.kind === "image") return request;
  if (request.kind !== "context") return undefined;
  const { context, name, platform } = request;
  if (context.kind === "image" && context.reference !== "scratch") {
    const parsed = parseReference(context.reference);
    if (parsed) return { reference: formatReference(withDefaultTag(parsed)), platform };
    throw new BuildError("usage", `build context "${name}" is no image reference: "${context.reference}"`);
  }
  if (context.kind !== "oci-layout") return undefined;
  const parsed = parseReference(name.replace(/::.*$/, ""));
  const reference = parsed ? formatReference(withDefaultTag(parsed)) : name;
  const { path, tag, digest } = context;
  const layout = { path, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
  return { reference, platform, layout };
}

/** Images by what they were asked for. */
export class SourceCatalog {
  readonly #options: PlanOptions;
  readonly #names: readonly string[];
  readonly #pending = new Map<string, Promise<ResolvedImage>>();
  readonly #images = new Map<string, ResolvedImage>();

  /** `stageNames` are what a mistyped image may have meant. */
  constructor(options: PlanOptions, stageNames: readonly string[]) {
    this.#options = options;
    this.#names = stageNames;
  }

  /** Pins the image of `request`, once however often it is asked for. Fails with the resolver's BuildError, located at `span`. */
  async resolve(request: SourceRequest, span: Span): Promise<void> {
    try {
      const image = imageOf(request);
      if (!image) return;
      const key = canonicalJson(image);
      let pending = this.#pending.get(key);
      if (!pending) {
        pending = this.#options.resolveImage(image.reference, image.platform, image.layout);
        this.#pending.set(key, pending);
      }
      this.#images.set(key, await pending);
    } catch (error) {
      const text = request.kind === "image" ? request.text : undefined;
      throw locate(withSuggestion(atPlatform(error, request, span), text, this.#names, span), span);
    }
  }

  /** The pinned image; undefined where the request names none. */
  image(request: SourceRequest): ResolvedImage | undefined {
    const image = imageOf(request);
    return image && this.#images.get(canonicalJson(image));
  }
}

/** What could not be had may be a mistyped stage, whatever its registry said: few images have so short a name. */
function withSuggestion(error: unknown, text: string | undefined, stages: readonly string[], span: Span): unknown {
  if (!(error instanceof BuildError) || text === undefined) return error;
  const stage = COMMON_IMAGES.includes(text) ? undefined : suggest(text, stages);
  const summary = `no stage is called ${goQuote(text)}, and no image of that name could be fetched: ${error.summary ?? error.message}`;
  if (stage !== undefined)
    return amend(inBuildKitsWords(error, text), { summary, help: `did you mean the stage ${goQuote(stage)}?` });
  // Only a stage is written like this where files are taken from.
  const from = fromOf(span);
  if (from !== undefined && stages.length > 0 && /^[\w-]+$/.test(text) && !COMMON_IMAGES.includes(text))
    return amend(inBuildKitsWords(error, text), { summary, help: oneOf(stages, from) });
  if (error.code !== "image" && error.details.status !== 404) return error;
  const help = didYouMean(text, COMMON_IMAGES);
  return help === undefined ? error : amend(error, { help });
}

/** `--from=` of COPY, `from=` of a mount; undefined where the span is of something else. */
function fromOf(span: Span): string | undefined {
  if (/^from=/i.test(spanText(span))) return "from=";
  return /--from=["']?$/.test(span.source.text.slice(0, span.start)) ? "--from=" : undefined;
}

/** `from` as {@link fromOf}. */
function oneOf([first = "", ...others]: readonly string[], from: string): string {
  if (others.length > 0) return `name a stage of this Dockerfile: ${[first, ...others.slice(0, 4)].join(", ")}`;
  return `the only stage with a name is ${goQuote(first)}: write ${from === "--from=" ? "COPY " : ""}${from}${first} …`;
}

/** Where the FROM of `span` says itself what the image does not have, that is the mistake. */
function atPlatform(error: unknown, request: SourceRequest, span: Span): unknown {
  if (!(error instanceof BuildError) || request.kind !== "image") return error;
  const { source, start } = span;
  const { platforms: [first, second] = [] } = error.details;
  const flag = /--platform=\S+(?=[ \t]+$)/.exec(source.text.slice(0, start));
  if (!flag || first === undefined) return error;
  const other = second === undefined ? "" : ` (or ${second})`;
  const help = `write FROM --platform=${first} …${other}, or use an image that has ${formatPlatform(request.platform)}`;
  return amend(error, { help, span, focus: { source, start: flag.index, end: flag.index + flag[0].length } });
}

/** What BuildKit puts before the registry's answer. */
function inBuildKitsWords(error: BuildError, text: string): BuildError {
  const parsed = parseReference(text);
  if (!parsed) return error;
  const { code, message, cause, details } = error;
  const name = formatReference(withDefaultTag(parsed));
  return new BuildError(code, `failed to resolve source metadata for ${name}: ${message}`, { cause, details });
}

/** Meta of a vertex that belongs to no stage. */
function sourceMeta(name: string, span?: Span): VertexMeta {
  return { name, stage: "", cache: "use", instruction: "", ...(span === undefined ? {} : { span }) };
}

export function imageOp(image: ResolvedImage, platform: Platform): ImageOp {
  const { reference, digest, layout } = image;
  return { kind: "image", reference, digest, platform, ...(layout === undefined ? {} : { layout }) };
}

/** Name of an image's vertex: `FROM docker.io/library/debian:12@sha256:…`. */
export function imageText(image: ResolvedImage): string {
  return `${image.reference}@${image.digest}`;
}

/** Whether the image has no layers at all: then it is as good as scratch (F04). */
export function isLayerless(config: ImageConfig): boolean {
  return config.rootfs.diff_ids.length === 0 && !(config.history ?? []).some((entry) => entry.empty_layer !== true);
}

/** The main build context's vertex. */
export function addMainContext(builder: GraphBuilder, context: LocalOp | GitOp | HttpOp): Digest {
  return builder.add(context, [], sourceMeta(mainContextName(context)));
}

function mainContextName(context: LocalOp | GitOp | HttpOp): string {
  switch (context.kind) {
    case "local":
      return "[internal] load build context";
    case "git":
      return `[internal] load git source ${redactUrls(context.remote)}`;
    case "http":
      return "[internal] load remote build context";
  }
}

/** The vertex whose files a named context or an image gives to COPY and mounts; undefined = nothing (scratch, or an image without layers). */
export function addSource(
  builder: GraphBuilder,
  catalog: SourceCatalog,
  request: Exclude<SourceRequest, { kind: "stage" }>,
  span: Span,
): Digest | undefined {
  if (request.kind === "scratch") return undefined;
  if (request.kind === "context") return addContext(builder, catalog, request, span);
  const image = catalog.image(request);
  if (!image || isLayerless(image.config)) return undefined;
  return builder.add(imageOp(image, request.platform), [], sourceMeta(`FROM ${imageText(image)}`, span));
}

function addContext(
  builder: GraphBuilder,
  catalog: SourceCatalog,
  request: Extract<SourceRequest, { kind: "context" }>,
  span: Span,
): Digest | undefined {
  const { context, name, platform } = request;
  if (context.kind === "local" || context.kind === "source") {
    const op: LocalOp | GitOp | HttpOp = context.kind === "local" ? { kind: "local", name } : context.op;
    return builder.add(op, [], sourceMeta(contextName(request, op), span));
  }
  const image = catalog.image(request);
  if (!image || isLayerless(image.config)) return undefined;
  return builder.add(imageOp(image, platform), [], sourceMeta(`[context ${name}] ${imageText(image)}`, span));
}

function contextName({ name }: FoundContext, op: LocalOp | GitOp | HttpOp): string {
  if (op.kind === "local") return `[context ${name}] load from client`;
  return `[context ${name}] ${redactUrls(op.kind === "git" ? op.remote : op.url)}`;
}

/** State under a stage FROM an image whose rootfs is `vertex` (undefined = no layers). */
export function imageState(image: ResolvedImage, vertex: Digest | undefined, platform: Platform): ImageState {
  const { config } = image;
  return {
    ...scratchState(platform),
    rootfs: vertex,
    config: config.config ?? {},
    author: config.author,
    base: vertex === undefined ? undefined : { config, vertex },
    baseHistory: config.history ?? [],
    imagePlatform: platformOf(config),
  };
}

export function platformOf(config: ImageConfig): Platform {
  return normalizePlatform(config.os, config.architecture, config.variant, config["os.version"]);
}

/** State under a stage FROM a context of files: they are copied onto scratch, which makes a layer that no instruction describes. */
export function filesState(builder: GraphBuilder, source: Digest, name: string, platform: Platform): ImageState {
  const text = `[context ${name}] copy to a root file system`;
  const rootfs = builder.add(
    {
      kind: "file",
      action: {
        kind: "copy",
        sources: [{ kind: "path", input: 1, pattern: "", isWildcardAllowed: false }],
        dest: "/",
        parents: false,
        exclude: [],
        unpack: "never",
      },
      isLinked: false,
    },
    [undefined, source],
    sourceMeta(text),
  );
  return { ...scratchState(platform), rootfs, history: [sourceHistoryEntry(text, rootfs)] };
}
