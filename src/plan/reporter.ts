// Collects what is wrong with the user's text. Every error and warning of the planner goes through here.
import { suggest } from "../base/suggest.ts";
import { createDiagnostic, type CheckCode } from "../diagnostics/catalog.ts";
import type { Diagnostic, Related } from "../diagnostics/diagnostic.ts";
import { findIn, type Span } from "../diagnostics/source.ts";
import type { Word } from "../frontend/ast.ts";
import { END_OF_TEXT } from "../frontend/expand.ts";
import { goQuote } from "../base/go-text.ts";

/** Errors that need values or other stages to be seen. */
export type PlanCode =
  | "BlankBaseName"
  | "CircularDependency"
  | "EmptyPlatform"
  | "ExpansionFailed"
  | "InvalidBaseName"
  | "InvalidChecksum"
  | "InvalidChmod"
  | "InvalidGitSource"
  | "InvalidHeredocName"
  | "InvalidMount"
  | "InvalidNetworkMode"
  | "InvalidPlatform"
  | "InvalidPort"
  | "InvalidSecurityMode"
  | "InvalidSignal"
  | "InvalidStageName"
  | "InvalidSourceDateEpoch"
  | "InvalidStageIndex"
  | "InvalidVolume"
  | "RemoteSourceInCopy"
  | "StageDefinedLater"
  | "TargetNotFound"
  | "InvalidDevice"
  | "VariableInFrom";

/** One remedy for an error. */
export interface Remedy {
  readonly help?: string | undefined;
  readonly related?: readonly Related[];
  /** The cause in plain words, where the message does not say it so. */
  readonly summary?: string | undefined;
  /** Where a person has to look, if that is not what BuildKit points at. */
  readonly focus?: Span | undefined;
}

export interface Reporter {
  error(code: PlanCode, span: Span, message: string, remedy?: Remedy): void;
  /** A build check, by BuildKit's name. */
  warn(check: CheckCode, span: Span, message: string): void;
  /** What the parser found in a trigger, or left to the planner to tell. */
  add(diagnostics: readonly Diagnostic[]): void;
  readonly hasErrors: boolean;
  readonly diagnostics: readonly Diagnostic[];
}

export function createReporter(): Reporter {
  const diagnostics: Diagnostic[] = [];
  return {
    diagnostics,
    get hasErrors() {
      return diagnostics.some(({ severity }) => severity === "error");
    },
    error(code, span, message, { help, related, summary, focus } = {}) {
      const remedy = { ...(help === undefined ? {} : { help }), ...(related === undefined ? {} : { related }) };
      const plain = summary === undefined ? {} : { summary };
      const place = focus === undefined ? { span } : { span, focus };
      diagnostics.push({ code, severity: "error", message, ...plain, ...place, ...remedy });
    },
    warn(check, span, message) {
      diagnostics.push(createDiagnostic(check, span, message));
    },
    add(found) {
      diagnostics.push(...found);
    },
  };
}

/** `did you mean "x"?`, or undefined where nothing known is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string | undefined {
  const nearest = suggest(word, candidates);
  return nearest === undefined ? undefined : `did you mean ${goQuote(nearest)}?`;
}

/** What is wrong with a text that cannot be expanded, and what to do; no help where it says so itself (`${NAME:?why}`). */
export function expansionRemedy({ text, span }: Pick<Word, "text" | "span">, error: string): Remedy {
  const reason = error.split(`${goQuote(text)}: `, 2)[1] ?? error;
  const required = /^(\w+): (.+)$/s.exec(reason);
  if (required && text.includes(`\${${required[1]}`)) {
    const state = text.includes(`\${${required[1]}:?`) ? "is unset or empty" : "is not set";
    return { summary: `${required[1]} ${state}: ${required[2]}` };
  }
  const quote = /matching (double|single)-quote/.exec(reason)?.[1];
  if (quote !== undefined) {
    const help = `close the ${quote} quote, or write a backslash before it if it is meant as text`;
    return { summary: `the ${quote} quote is never closed`, help };
  }
  if (!reason.includes("missing '}'") && !reason.includes(END_OF_TEXT)) return { summary: reason };
  const rest = text.slice(openBrace(text));
  const open = /^\$\{\w*/.exec(rest)?.[0] ?? "${";
  const isWhole = text.endsWith(open) && !text.includes("\n");
  const found = findIn(span, rest);
  return {
    summary: `${goQuote(open)} has no closing "}"`,
    help: isWhole ? `write ${text}}` : "close the variable with }",
    focus: found && { ...found, end: found.start + open.length },
  };
}

/** Where the innermost `${` begins that is not closed. */
function openBrace(text: string): number {
  const open: number[] = [];
  for (const { 0: mark, index } of text.matchAll(/\$\{|\}/g)) {
    if (mark === "}") open.pop();
    else open.push(index);
  }
  return open.at(-1) ?? 0;
}
