// What can be asked of a Dockerfile without building it: its warnings, what a target needs, its stages (reference 2.3).
import { BuildError } from "../diagnostics/build-error.ts";
import { catalogEntry } from "../diagnostics/catalog.ts";
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import { positionAt, type SourceFile, type Span } from "../diagnostics/source.ts";
import type { Dockerfile } from "../frontend/ast.ts";
import { endOf, instructionAt } from "../frontend/instruction-at.ts";
import { descriptionIn } from "../plan/descriptions.ts";
import type { PlanResult } from "../plan/options.ts";
import { outlineOf, type Outline } from "../plan/outline.ts";
import { fixableIn, fixDockerfile, type FixReport } from "./check-fix.ts";
import type { BuildOptions } from "./options.ts";
import type { EngineParts } from "./parts.ts";
import {
  checkOverride,
  hasErrors,
  judge,
  openSession,
  planInputs,
  planOptions,
  readInputs,
  readsOnlyDirectories,
  requireSound,
  textError,
  type BuildInputs,
} from "./plan-build.ts";
import type { Session } from "./session.ts";

/** Lines of a text, counted from 1, both included. */
export interface LineRange {
  readonly source: SourceFile;
  readonly first: number;
  readonly last: number;
}

export interface CheckWarning {
  readonly diagnostic: Diagnostic;
  /** The instruction that it is about, as BuildKit reports it. */
  readonly lines: LineRange;
}

export interface CheckReport {
  readonly source: SourceFile;
  /** In the order in which BuildKit finds them. */
  readonly warnings: readonly CheckWarning[];
  /** Warnings of checks that only tsbuild has: they fail nothing. */
  readonly hints: readonly CheckWarning[];
  /** Why a build would fail before it runs anything; `lines` undefined = no place in the Dockerfile. */
  readonly error: { readonly cause: BuildError; readonly lines: LineRange | undefined } | undefined;
}

/** Everything that is to be said about a Dockerfile; without a target, of all its stages. Fails where the inputs cannot be read. */
export function check(parts: EngineParts, options: BuildOptions): Promise<CheckReport> {
  return withInputs(parts, options, async (inputs, session) => {
    const { dockerfile, diagnostics: parseDiagnostics } = inputs.parsed;
    const isEveryStageShown = options.target === undefined;
    let result: Parameters<typeof judge>[1] = {
      diagnostics: [],
      stages: [],
      shellBases: new Set(),
      triggers: new Map(),
      contextCopies: [],
    };
    let failure: BuildError | undefined;
    if (!hasErrors(parseDiagnostics)) {
      try {
        const choices = planOptions(parts, options, inputs, session);
        result = await planInputs(inputs, { ...choices, isEveryStagePlanned: isEveryStageShown }, session);
      } catch (error) {
        if (!(error instanceof BuildError) || error.code === "usage" || error.code === "unsupported") throw error;
        failure = error;
      }
    }
    const judged = judge(inputs, result, options, isEveryStageShown);
    if (hasErrors(judged.diagnostics)) failure = textError(judged.diagnostics);
    else if (judged.failure !== undefined) failure ??= new BuildError("dockerfile", judged.failure);
    const warnings = judged.found
      .filter(({ severity }) => severity === "warning")
      .map((diagnostic) => ({ diagnostic, lines: linesOf(dockerfile, diagnostic.span, diagnostic.code) }));
    return {
      source: dockerfile.source,
      warnings: warnings.filter(({ diagnostic }) => !isHint(diagnostic)),
      hints: warnings.filter(({ diagnostic }) => isHint(diagnostic)),
      error: failure && { cause: failure, lines: errorLines(dockerfile, failure) },
    };
  });
}

function isHint({ code }: Diagnostic): boolean {
  return catalogEntry(code)?.category === "hint";
}

/** Where nothing is, BuildKit names no line, and of comments alone the last one. */
const WITHOUT_LINE: ReadonlySet<string> = new Set([
  "the Dockerfile cannot be empty",
  "dockerfile contains no stages to build",
]);

function errorLines(dockerfile: Dockerfile, error: BuildError): LineRange | undefined {
  const { source } = dockerfile;
  const { message } = error.diagnostics[0] ?? error;
  if (WITHOUT_LINE.has(message)) return undefined;
  if (message === "file with no instructions") {
    const last = positionAt(source, Math.max(0, source.text.length - 1)).line;
    return { source, first: last, last };
  }
  const span = error.diagnostics[0]?.span ?? error.span;
  const lines = span && linesOf(dockerfile, span);
  return lines?.source === dockerfile.source ? lines : undefined;
}

/** The whole instruction around a place; of an empty continuation the instruction's last line; of a trigger the FROM that runs it. */
function linesOf(dockerfile: Dockerfile, span: Span, code?: string): LineRange {
  const { source, start, end } = span.source.trigger?.runBy ?? span;
  const line = (offset: number): number => positionAt(source, offset).line;
  const node = source === dockerfile.source ? instructionAt(dockerfile, start) : undefined;
  if (!node || code === "NoEmptyContinuation")
    return { source, first: line(start), last: line(Math.max(start, end - 1)) };
  return { source, first: line(node.span.start), last: line(Math.max(node.span.start, endOf(node) - 1)) };
}

export interface OutlineReport {
  readonly outline: Outline;
  /** The instruction around a place of the outline. */
  readonly linesOf: (span: Span) => LineRange;
}

/** What the target needs from who builds it (K40). Fails where a build would before it runs anything, but not for warnings. */
export function outline(parts: EngineParts, options: BuildOptions): Promise<OutlineReport> {
  return withInputs(parts, options, async (inputs, session) => {
    requireSound(inputs, options);
    const { dockerfile } = inputs.parsed;
    const choices = planOptions(parts, options, inputs, session);
    const result: PlanResult = await planInputs(inputs, choices, session);
    const found = outlineOf(dockerfile, choices, result);
    if (!found) throw textError(result.diagnostics);
    return { outline: found, linesOf: (span) => linesOf(dockerfile, span) };
  });
}

export interface TargetSummary {
  /** In lower case; undefined = unnamed. */
  readonly name?: string;
  /** What a build without a target builds. */
  readonly isDefault: boolean;
  readonly description?: string;
  /** As written. */
  readonly base: string;
  /** As written. */
  readonly platform?: string;
  readonly lines: LineRange;
}

export interface TargetList {
  readonly targets: readonly TargetSummary[];
  readonly source: SourceFile;
}

/** The stages of a Dockerfile (K41). Asks no registry; fails where the text has errors. */
export function targets(parts: EngineParts, options: BuildOptions): Promise<TargetList> {
  return withInputs(parts, options, (inputs) => {
    requireSound(inputs, options);
    const { dockerfile } = inputs.parsed;
    const list = dockerfile.stages.map(({ from, index }): TargetSummary => {
      const name = from.name?.text.toLowerCase();
      const description = name === undefined ? undefined : descriptionIn(from.comments, name);
      return {
        ...(name === undefined ? {} : { name }),
        isDefault: index === dockerfile.stages.length - 1,
        ...(description === undefined ? {} : { description }),
        base: from.image.text,
        ...(from.platform ? { platform: from.platform.text } : {}),
        lines: linesOf(dockerfile, from.span),
      };
    });
    return Promise.resolve({ targets: list, source: dockerfile.source });
  });
}

/** The Dockerfile's text with the fixes that are certain. */
export function fix(parts: EngineParts, options: BuildOptions): Promise<FixReport> {
  return withInputs(parts, options, async ({ parsed, contexts }) => {
    const { dockerfile } = parsed;
    const override = checkOverride(options.buildArgs, dockerfile);
    const fixed = await fixDockerfile(dockerfile.source, (current) => fixableIn(current, override));
    return { ...fixed, file: contexts.dockerfilePath };
  });
}

async function withInputs<T>(
  parts: EngineParts,
  options: BuildOptions,
  ask: (inputs: BuildInputs, session: Session) => Promise<T>,
): Promise<T> {
  const signal = options.signal ?? new AbortController().signal;
  await using session = openSession(parts, { client: () => parts.client(), pull: options.pull, signal });
  if (!readsOnlyDirectories(options)) await session.protect();
  return ask(await readInputs(parts, options, session, signal), session);
}
