// Collects what is wrong with the user's text. Every error and warning of the planner goes through here.
import { suggest } from "../base/suggest.ts";
import { createDiagnostic, type CheckCode } from "../diagnostics/catalog.ts";
import type { Diagnostic, Related } from "../diagnostics/diagnostic.ts";
import type { Span } from "../diagnostics/source.ts";
import { quoteGo } from "./go-format.ts";

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
}

export interface Reporter {
  error(code: PlanCode, span: Span, message: string, remedy?: Remedy): void;
  /** A build check, by BuildKit's name. */
  warn(check: CheckCode, span: Span, message: string): void;
  /** What the parser found in a trigger. */
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
    error(code, span, message, { help, related } = {}) {
      const remedy = { ...(help === undefined ? {} : { help }), ...(related === undefined ? {} : { related }) };
      diagnostics.push({ code, severity: "error", message, span, ...remedy });
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
  return nearest === undefined ? undefined : `did you mean ${quoteGo(nearest)}?`;
}

/** What to do about a text that cannot be expanded; nothing where it says so itself (`${NAME:?why}`). */
export function expansionHelp(error: string): { readonly help?: string } {
  if (error.includes("missing '}'")) return { help: "close the variable with }" };
  const quote = /matching (double|single)-quote/.exec(error)?.[1];
  if (quote === undefined) return {};
  return { help: `close the ${quote} quote, or write a backslash before it if it is meant as text` };
}
