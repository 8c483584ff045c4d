// The world failed, or the user's text did and nothing more can be done. Match on `code`, never on `instanceof` of a subclass.
import type { Diagnostic } from "./diagnostic.ts";
import type { Span } from "./source.ts";

/**
 * - `dockerfile`: the text is wrong (see `diagnostics`) · `usage`: a flag or argument is wrong
 * - `command`: a RUN failed · `source`: a context, file, URL or git source is missing or bad
 * - `image`: a base image is not there or not usable · `registry`: a registry or the network failed
 * - `content`: bytes do not match their digest or are damaged · `entitlement`: something needs `--allow`
 * - `runtime`: the sandbox could not be made · `store`: the store is not usable (disk full, no permission)
 * - `unsupported`: not built yet, and says so · `export`: an output cannot be written
 */
export type BuildErrorCode =
  | "dockerfile"
  | "usage"
  | "command"
  | "source"
  | "image"
  | "registry"
  | "content"
  | "entitlement"
  | "runtime"
  | "store"
  | "unsupported"
  | "export";

export interface BuildErrorOptions {
  readonly cause?: unknown;
  readonly span?: Span;
  /** Where a person has to look, if that is not the instruction that failed. */
  readonly focus?: Span;
  /** One remedy. */
  readonly help?: string;
  /** The cause in plain words, where the message is BuildKit's text, which scripts look for. */
  readonly summary?: string;
  readonly diagnostics?: readonly Diagnostic[];
  readonly details?: ErrorDetails;
}

export interface ErrorDetails {
  /** Exit status of a failed RUN. */
  readonly exitCode?: number;
  readonly signal?: string;
  /** Last lines of a failed RUN's or command's output, without line ends. */
  readonly lastOutput?: readonly string[];
  /** How many lines the output has before these. */
  readonly outputBefore?: number;
  /** Path of the complete log. */
  readonly logPath?: string;
  /** Progress name of the step. */
  readonly step?: string;
  /** HTTP status of a registry's answer. */
  readonly status?: number;
  /** Something in the store was damaged and has been set aside: the same build makes it anew. */
  readonly isDamage?: boolean;
  /** Whether trying again may help. */
  readonly isTransient?: boolean;
  /** The word of the instruction that is at fault, as far as it is known. */
  readonly word?: string;
  /** What is at fault, where it is not the instruction that failed: the last instruction of a kind in the stage before that, or a flag of the command line. */
  readonly culprit?: "shell" | "user" | "option";
  /** What an image has, where it has nothing for the platform that was asked for. */
  readonly platforms?: readonly string[];
}

/** Something outside tsbuild stops the build. The message is one line, lower-case, cause first, no full stop. */
export class BuildError extends Error {
  override readonly name = "BuildError";
  readonly code: BuildErrorCode;
  readonly span: Span | undefined;
  readonly focus: Span | undefined;
  readonly help: string | undefined;
  readonly summary: string | undefined;
  readonly diagnostics: readonly Diagnostic[];
  readonly details: ErrorDetails;

  constructor(code: BuildErrorCode, message: string, options: BuildErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.span = options.span;
    this.focus = options.focus;
    this.help = options.help;
    this.summary = options.summary;
    this.diagnostics = options.diagnostics ?? [];
    this.details = options.details ?? {};
  }
}

/** The same failure with more said about it. */
export function amend(error: BuildError, more: BuildErrorOptions): BuildError {
  const { code, message, cause, span, focus, help, summary, diagnostics, details } = error;
  const known = {
    ...(span === undefined ? {} : { span }),
    ...(focus === undefined ? {} : { focus }),
    ...(help === undefined ? {} : { help }),
    ...(summary === undefined ? {} : { summary }),
  };
  return new BuildError(code, message, { cause, diagnostics, details, ...known, ...more });
}

/** The same failure, now known to come from `span`; a span already there is nearer to the cause and stays. */
export function locate(error: unknown, span: Span | undefined): unknown {
  if (!(error instanceof BuildError) || error.span !== undefined || span === undefined) return error;
  const { word = "" } = error.details;
  const found = error.code === "command" ? onlyWord(span, word) : argument(span, word);
  return amend(error, { span: found ?? span });
}

/** Where `word` stands in a command, if it stands there literally and no more than once: of two, nobody knows which one it was. */
function onlyWord(span: Span, word: string): Span | undefined {
  const text = span.source.text.slice(span.start, span.end);
  const at = wordAt(text, word, 0);
  if (at === undefined || wordAt(text, word, at + 1) !== undefined) return undefined;
  return { ...span, start: span.start + at, end: span.start + at + word.length };
}

/** A mark (`"`, `#`) begins a word wherever it stands. */
function wordAt(text: string, word: string, from: number): number | undefined {
  if (word === "") return undefined;
  for (let at = text.indexOf(word, from); at >= 0; at = text.indexOf(word, at + 1)) {
    const [before = " ", after = " "] = [text[at - 1], text[at + word.length]];
    if ((/^["'#]/.test(word) || /[\s"'`=;&|({[,]/.test(before)) && /[\s"'`:;&|)}<>\],]/.test(after)) return at;
  }
  return undefined;
}

/** Where a path or another argument stands in the text of `span`, with the `./` before it; undefined where it does not stand there literally. */
function argument(span: Span, word: string): Span | undefined {
  if (word === "") return undefined;
  if (word.startsWith("#")) return onlyWord(span, word);
  const text = span.source.text.slice(span.start, span.end);
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    const [before = " ", after = " "] = [text[at - 1], text[at + word.length]];
    if (!/[\s"'=,/[]/.test(before) || !/[\s"',\]]/.test(after)) continue;
    const lead = /[./]*$/.exec(text.slice(0, at))![0].length;
    return { ...span, start: span.start + at - lead, end: span.start + at + word.length };
  }
  return undefined;
}

/** Message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
