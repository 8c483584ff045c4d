// Finds out why a step has to run: what was asked for, what became of the record, or which part of its key is not what it was in the last build that had the step.
// Loaded with the first step that misses. It changes nothing but the lists of files that the next explanation needs.
import type { Graph, Vertex } from "../../graph/graph.ts";
import type { Digest } from "../../oci/digest.ts";
import type { KeyPart } from "../../progress/events.ts";
import type { FileChange, KeyChange, MissCause } from "../../progress/miss.ts";
import type { LayerEntry } from "../../tree/entry.ts";
import type { Sequence } from "../../tree/sequence.ts";
import { storedParts } from "../cache-key.ts";
import { diffEntries } from "../file/describe.ts";
import { isRootfs, selectionsOf, type Results } from "../key-inputs.ts";
import { isStep, type Lookup, type Lookups, type StepVertex } from "../lookups.ts";
import type { CacheIndex, PastBuilds, PastStep } from "../services.ts";
import { pairSteps, type Earlier } from "./earlier-steps.ts";
import { selectedFiles } from "./selected-files.ts";
import { changedParts, type PartChange } from "./changed-parts.ts";

export interface ExplainerOptions {
  readonly graph: Graph;
  readonly past: PastBuilds;
  readonly cache: Pick<CacheIndex, "fateOf" | "elsewhere">;
  readonly lookups: Lookups;
  readonly results: Results;
  /** Whether the result of a vertex can be looked at; default: of every one. */
  readonly isKnown?: (id: Digest) => boolean;
}

/** Builds that are looked through for a step. */
const MAX_BUILDS = 30;
/** Files that an explanation names. */
const MAX_FILES = 20;

export class Explainer {
  readonly #options: ExplainerOptions;
  readonly #vertices: readonly Vertex[];
  readonly #past: Iterator<readonly PastStep[]>;
  readonly #builds: Earlier[] = [];

  constructor(options: ExplainerOptions) {
    this.#options = options;
    this.#past = options.past.steps()[Symbol.iterator]();
    this.#vertices = [...options.graph.vertices.values()].filter(
      (vertex) => isStep(vertex) || vertex.op.kind === "image",
    );
  }

  /** `made`: the entries of its layer, where they are known already. */
  async explain(vertex: StepVertex, lookup: Lookup, made?: Sequence<LayerEntry>): Promise<MissCause> {
    const { meta } = vertex;
    const { cache } = this.#options;
    const renewed = await this.keepFiles(vertex, lookup);
    if (meta.cache === "ignore") return { kind: "asked", by: meta.ignoredBy ?? "--no-cache" };
    if (lookup.expiredMs !== undefined && meta.ttl)
      return { kind: "expired", by: meta.ttl.by, ttlMs: meta.ttl.ms, ageMs: lookup.expiredMs };
    const fate = lookup.isTrusted ? cache.fateOf(lookup.key) : undefined;
    if (fate?.kind === "evicted" || fate?.kind === "lost") return fate;
    const before = this.earlier(vertex.id);
    if (!before) {
      const changes = this.#builds.length === 0 ? await this.#changesElsewhere(vertex, lookup) : [];
      if (changes.length > 0) return { kind: "changed", changes };
      return { kind: "never-built", isNewInstruction: this.#builds.length > 0 };
    }
    if (before.key === lookup.key && before.outcome === "failed") return { kind: "failed-before" };
    const found = await this.#changes(vertex, lookup, before, renewed.length > 0);
    const changes = [...renewed, ...found.map((change) => this.#withFiles(change, before, made))];
    return changes.length > 0 ? { kind: "changed", changes } : { kind: "lost" };
  }

  /** How the step differs from the one of the machine that filled a cache: it has told names, and no values. */
  async #changesElsewhere(vertex: StepVertex, { parts }: Lookup): Promise<readonly KeyChange[]> {
    const names = (await this.#options.cache.elsewhere?.changedParts(vertex, parts)) ?? [];
    // What is below differs because of a step that has its own reason.
    const telling = names.length > 1 ? names.filter((name) => name !== "base") : names;
    return telling.map((name): KeyChange => {
      if (name === "base") return { kind: "value", what: "what is below" };
      if (!name.startsWith("files")) return { kind: "value", what: name.replace(/^env /, "variable ") };
      return { kind: "files", of: parts.find((part) => part.name === name)?.note ?? "its source", files: [], more: 0 };
    });
  }

  /** Remembers the files that the step sees, for the explanation of the next miss. Returns how those differ that a step which ran again has made anew under the same key. */
  async keepFiles(vertex: StepVertex, lookup: Lookup): Promise<readonly KeyChange[]> {
    const { past, results } = this.#options;
    const changes: KeyChange[] = [];
    for (const selection of selectionsOf(vertex)) {
      const part = lookup.parts.find(({ name }) => name === selection.name);
      if (!part || (lookup.isTrusted && past.hasFiles(part.value))) continue;
      if (!this.#isKnown(selection.input)) continue;
      const known = lookup.isTrusted ? undefined : past.files(part.value);
      const entries = await selectedFiles(vertex, selection, results);
      if (!entries) continue;
      past.keepFiles(part.value, entries);
      const differences = known ? diffEntries(known, entries) : [];
      if (differences.length > 0) changes.push(filesChange(part.note ?? "its source", differences, true));
    }
    return changes;
  }

  async #changes(vertex: StepVertex, lookup: Lookup, before: PastStep, isExplained: boolean): Promise<KeyChange[]> {
    const changes: KeyChange[] = [];
    for (const part of changedParts(before.parts, storedParts(lookup.parts))) {
      if (part.name === "base") changes.push(...(await this.#baseChange(vertex, part)));
      else if (part.name.startsWith("files")) changes.push(this.#filesChange(vertex, part));
      else changes.push(part.change);
    }
    // With the same key it is below a step that ran whatever was stored.
    if (changes.length === 0 && !isExplained && !lookup.isTrusted)
      changes.push(...(await this.#baseChange(vertex, undefined)));
    return changes;
  }

  /** What of the root file system below is not what it was: the image, or the lowest step that made something else. */
  async #baseChange(vertex: StepVertex, part: PartChange | undefined): Promise<KeyChange[]> {
    const inputs = part ? vertex.inputs.slice(0, 1) : vertex.inputs;
    const below = inputs.flatMap((id) => (id === undefined ? [] : this.#chain(id)));
    for (const vertexBelow of below) {
      const { id, op, meta } = vertexBelow;
      const before = this.earlier(id);
      if (op.kind === "image") {
        const after = `${op.reference}@${op.digest}`;
        const was = before?.parts[0]?.note;
        if (was !== after) return [{ kind: "image", before: was ?? part?.before?.note ?? "another one", after }];
      } else if (!before) return [{ kind: "step", step: meta.name, how: "new" }];
      else if (isStep(vertexBelow) && !(await this.#isSame(vertexBelow, before)))
        return [{ kind: "step", step: meta.name, how: "result" }];
    }
    if (!part) return [];
    const [was, is] = [part.before?.note ?? "nothing", part.after?.note ?? "nothing"];
    // All that is below is as it was, so something that was below is no more.
    return was === is ? [{ kind: "step", step: is, how: "result" }] : [removedOrReplaced(was, is)];
  }

  /** Vertices that made the layers up to `id`, lowest first. */
  #chain(id: Digest): readonly Vertex[] {
    const chain: Vertex[] = [];
    for (let next: Digest | undefined = id; next !== undefined;) {
      const vertex = this.#options.graph.vertices.get(next);
      if (!vertex || (vertex.op.kind !== "image" && !isStep(vertex))) break;
      chain.unshift(vertex);
      next = vertex.inputs[0];
    }
    return chain;
  }

  /** Where files are too many to be listed by their source, the layers say what differs. */
  #withFiles(change: KeyChange, before: PastStep, made: Sequence<LayerEntry> | undefined): KeyChange {
    if (change.kind !== "files" || change.files.length > 0 || before.layer === undefined || !made) return change;
    const old = this.#options.past.layerFiles(before.layer);
    return old ? filesChange(change.of, diffEntries(old, made), true) : change;
  }

  /** Whether the step leads to the files that it had led to. Where nobody knows what those were, its key has to say. */
  async #isSame(vertex: StepVertex, before: PastStep): Promise<boolean> {
    if (!this.#isKnown(vertex.id)) return false;
    const layer = (await this.#options.results.rootfs(vertex.id)).at(-1);
    if (layer && layer.id === before.layer) return true;
    const was = before.layer === undefined ? undefined : this.#options.past.contentId(before.layer);
    if (was === undefined) return before.key === (await this.#options.lookups.of(vertex)).key;
    return was === (await layer?.contentId());
  }

  #filesChange(vertex: StepVertex, { name, before, after }: PartChange): KeyChange {
    const { past, results } = this.#options;
    const input = selectionsOf(vertex).find((selection) => selection.name === name)?.input;
    const isRooted = input !== undefined && isRootfs(results.vertex(input));
    const of = after?.note ?? before?.note ?? "its source";
    const files = (part: KeyPart | undefined): Sequence<LayerEntry> | undefined =>
      part === undefined ? [] : past.files(part.value);
    const [old, now] = [files(before), files(after)];
    return filesChange(of, old && now ? diffEntries(old, now) : [], isRooted);
  }

  #isKnown(id: Digest): boolean {
    return this.#options.isKnown?.(id) ?? true;
  }

  /** The step in the last build that had it. */
  earlier(id: Digest): PastStep | undefined {
    for (let at = 0; at < MAX_BUILDS; at++) {
      const step = this.#build(at)?.get(id);
      if (step || at >= this.#builds.length) return step;
    }
    return undefined;
  }

  /** The last build but `at`; read when it is first asked for. */
  #build(at: number): Earlier | undefined {
    const known = this.#builds[at];
    if (known) return known;
    const next = this.#past.next();
    if (next.done === true) return undefined;
    const pairs = pairSteps(this.#vertices, next.value);
    this.#builds.push(pairs);
    return pairs;
  }
}

/** `isRooted`: the files are those of a root file system. */
function filesChange(of: string, changes: readonly FileChange[], isRooted: boolean): KeyChange {
  const files = changes.slice(0, MAX_FILES).map(({ path, change }) => ({ path: isRooted ? `/${path}` : path, change }));
  return { kind: "files", of, files, more: Math.max(0, changes.length - MAX_FILES) };
}

function removedOrReplaced(was: string, is: string): KeyChange {
  const isImage = (text: string): boolean => text.includes("@sha256:") || text === "scratch";
  return isImage(was) && isImage(is)
    ? { kind: "image", before: was, after: is }
    : { kind: "step", step: was, how: "removed" };
}
