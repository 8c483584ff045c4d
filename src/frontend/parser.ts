// Dockerfile text → AST and every diagnostic of the file. Never throws for any text, recovers at the next instruction, linear time.
// Expands nothing and looks nothing up. Reference 1.1–1.3, 1.11; messages contain BuildKit's texts.
import { createDiagnostic } from "../diagnostics/catalog.ts";
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import { positionAt, type SourceFile, type Span, type TriggerPlace } from "../diagnostics/source.ts";
import type { ArgInstruction, Directive, FromInstruction, Instruction, ParseResult, Stage, Word } from "./ast.ts";
import { isDockerfileSyntax, parseDirectives, requestedSyntax } from "./directives.ts";
import { nearestInstruction, readHead, reportUnknown, type Head } from "./draft.ts";
import { takeHeredocs } from "./heredoc-bodies.ts";
import { buildInstruction } from "./instruction.ts";
import { LineReader } from "./lexer.ts";
import { spanIn, type LogicalLine } from "./logical-line.ts";
import type { Report } from "./report.ts";

const maxLineBytes = 65535;

export interface ParseOptions {
  /** Who builds has said that it is a Dockerfile, whatever its syntax directive says (A28). */
  readonly ignoresSyntax?: boolean;
}

/** Parses a whole Dockerfile. */
export function parseDockerfile(source: SourceFile, { ignoresSyntax = false }: ParseOptions = {}): ParseResult {
  const start = source.text.startsWith("\uFEFF") ? 1 : 0;
  const diagnostics: Diagnostic[] = [];
  const { directives, escape, end, problems } = parseDirectives(source, start);
  for (const { span, message } of problems) diagnostics.push(createDiagnostic("InvalidDirective", span, message));
  const foreign = ignoresSyntax ? undefined : checkSyntax(source, start, directives);
  if (foreign) {
    const dockerfile = { source, escape, directives, metaArgs: [], stages: [] };
    return { dockerfile, diagnostics: [...diagnostics, foreign] };
  }
  checkLineLengths(source, diagnostics);
  const reader = new LineReader({ source, escape, start: end });
  const file = new FileBuilder(diagnostics);
  let hasLines = false;
  for (let line = reader.next(); line !== undefined; line = reader.next()) {
    hasLines = true;
    file.add(parseLine(line, reader, escape, diagnostics));
  }
  if (!hasLines || !file.hasFrom) reportNoStages(source, hasLines, diagnostics);
  if (file.isForeign) tellForeign(diagnostics);
  const { metaArgs, stages } = file.finish();
  const at = (diagnostic: Diagnostic): number => diagnostic.span.start;
  diagnostics.sort((a, b) => at(a) - at(b));
  return { dockerfile: { source, escape, directives, metaArgs, stages }, diagnostics };
}

/**
 * Parses an ONBUILD trigger of a base image: one instruction, with its heredoc bodies.
 * `origin` names the text in messages: "ONBUILD of debian:12".
 */
export function parseTrigger(
  text: string,
  origin: string,
  place?: TriggerPlace,
): { readonly instruction: Instruction | undefined; readonly diagnostics: readonly Diagnostic[] } {
  const source: SourceFile = { path: origin, text, ...(place && { trigger: place }) };
  const diagnostics: Diagnostic[] = [];
  checkLineLengths(source, diagnostics);
  const reader = new LineReader({ source, escape: "\\", start: 0 });
  const line = reader.next();
  if (!line) {
    diagnostics.push(createDiagnostic("EmptyDockerfile", wholeLine(source), "file with no instructions"));
    return { instruction: undefined, diagnostics };
  }
  const { instruction } = parseLine(line, reader, "\\", diagnostics);
  const extra = reader.next();
  if (extra) {
    const span = spanIn(extra, { start: 0, end: extra.text.length });
    diagnostics.push(createDiagnostic("InvalidTrigger", span, "an ONBUILD trigger is one instruction"));
  }
  if (instruction?.kind === "from") {
    const message = "FROM isn't allowed as an ONBUILD trigger";
    diagnostics.push(createDiagnostic("InvalidTrigger", instruction.span, message));
    return { instruction: undefined, diagnostics };
  }
  return { instruction, diagnostics };
}

interface ParsedLine {
  readonly head: Head;
  readonly instruction: Instruction | FromInstruction | undefined;
}

function parseLine(line: LogicalLine, reader: LineReader, escape: string, diagnostics: Diagnostic[]): ParsedLine {
  const head = readHead(line, { start: 0, end: line.text.length }, escape);
  const first = line.pieces[0]?.offset ?? line.lastLine.start;
  const report: Report = (code, span, message, { isOfReading = false, ...options } = {}) => {
    // positionAt is logarithmic, so it is only asked for lines that are wrong
    const { line: number } = positionAt(line.source, first);
    if (code === "MalformedJsonForm") diagnostics.push(createDiagnostic(code, span, message, options));
    else {
      const text = isOfReading ? message : `dockerfile parse error on line ${number}: ${message}`;
      diagnostics.push(createDiagnostic(code, span, text, { summary: message, ...options }));
    }
  };
  const { rule } = head;
  if (rule === undefined) {
    reportUnknown(head, report);
    return { head, instruction: undefined };
  }
  const { heredocs, end } = takeHeredocs(head, reader, report);
  const span = spanIn(line, head.range);
  const whole = end === undefined ? span : { ...span, end };
  return { head, instruction: buildInstruction({ ...head, rule }, heredocs, whole, report) };
}

/** Puts instructions into stages. */
class FileBuilder {
  readonly #diagnostics: Diagnostic[];
  readonly #metaArgs: ArgInstruction[] = [];
  readonly #stages: Stage[] = [];
  #from: FromInstruction | undefined;
  /** Whether any line begins with an instruction, or nearly so. */
  #hasKnown = false;
  #hasUnknown = false;
  #instructions: Instruction[] = [];
  /** What stands before the first FROM and may not; `isTold`: something else says why. */
  #stray: { readonly keyword: Word; readonly isTold: boolean } | undefined;

  constructor(diagnostics: Diagnostic[]) {
    this.#diagnostics = diagnostics;
  }

  get hasFrom(): boolean {
    return this.#from !== undefined || this.#stray !== undefined;
  }

  /** Whether no line looks like one of a Dockerfile. */
  get isForeign(): boolean {
    return this.#hasUnknown && !this.#hasKnown;
  }

  add({ head, instruction }: ParsedLine): void {
    if (head.rule !== undefined || nearestInstruction(head.keyword.text) !== undefined) this.#hasKnown = true;
    else this.#hasUnknown = true;
    if (instruction?.kind === "from") {
      this.#close();
      this.#from = instruction;
    } else if (this.#from !== undefined) {
      if (instruction) this.#instructions.push(instruction);
    } else if (instruction?.kind === "arg") this.#metaArgs.push(instruction);
    else if (head.rule === undefined) {
      if (nearestInstruction(head.keyword.text) === "FROM") this.#stray ??= { keyword: head.keyword, isTold: true };
    } else if (head.rule.kind !== "arg") this.#stray ??= { keyword: head.keyword, isTold: false };
  }

  #reportStray(): void {
    const { keyword, isTold } = this.#stray ?? { isTold: true };
    if (keyword === undefined || isTold) return;
    const lineOf = (span: Span): number => positionAt(span.source, span.start).line;
    const [first] = this.#stages;
    const message = "no build stage in current context";
    const summary = `${keyword.text} comes before the first FROM`;
    const help =
      first === undefined
        ? "put FROM <image> before it"
        : `move it below the FROM of line ${lineOf(first.from.span)}: only ARG may come first`;
    this.#diagnostics.push(createDiagnostic("InstructionBeforeFrom", keyword.span, message, { summary, help }));
  }

  #close(): void {
    const from = this.#from;
    if (from === undefined) return;
    const last = this.#instructions.at(-1) ?? from;
    const span: Span = { ...from.span, end: last.span.end };
    this.#stages.push({ index: this.#stages.length, from, instructions: this.#instructions, span });
    this.#instructions = [];
  }

  finish(): { readonly metaArgs: readonly ArgInstruction[]; readonly stages: readonly Stage[] } {
    this.#close();
    this.#reportStray();
    return { metaArgs: this.#metaArgs, stages: this.#stages };
  }
}

function wholeLine(source: SourceFile): Span {
  return { source, start: 0, end: 0 };
}

function reportNoStages(source: SourceFile, hasLines: boolean, diagnostics: Diagnostic[]): void {
  if (!hasLines) {
    const isEmpty = source.text === "";
    const message = isEmpty ? "the Dockerfile cannot be empty" : "file with no instructions";
    const only = source.text.includes("#") ? "only comments" : "only blank lines";
    const summary = isEmpty ? "the Dockerfile is empty" : `the Dockerfile has ${only}, no instructions`;
    const help = "start with FROM <image>";
    diagnostics.push(createDiagnostic("EmptyDockerfile", wholeLine(source), message, { summary, help }));
  } else if (!diagnostics.some(({ severity }) => severity === "error")) {
    const message = "dockerfile contains no stages to build";
    const end = source.text.trimEnd().length;
    const focus = { source, start: end, end };
    const help = `add FROM <image> after line ${positionAt(source, end).line}`;
    const summary = "the Dockerfile has no FROM";
    diagnostics.push(createDiagnostic("NoStages", wholeLine(source), message, { summary, help, focus }));
  }
}

/** A file of another kind is told once, by its first line. */
function tellForeign(diagnostics: Diagnostic[]): void {
  const first = diagnostics.findIndex(({ code }) => code === "UnknownInstruction");
  const found = diagnostics[first];
  if (found === undefined) return;
  const { line } = positionAt(found.span.source, found.span.start);
  const summary = `this is not a Dockerfile: line ${line} is not an instruction`;
  const help = "-f must name the Dockerfile: the file that has FROM <image>";
  const others = diagnostics.filter(({ code }) => code !== "UnknownInstruction");
  diagnostics.splice(0, diagnostics.length, ...others, { ...found, summary, help });
}

function checkSyntax(source: SourceFile, start: number, directives: readonly Directive[]): Diagnostic | undefined {
  const syntax = requestedSyntax(source, start, directives);
  if (syntax === undefined || isDockerfileSyntax(syntax.text)) return undefined;
  return createDiagnostic("UnsupportedSyntax", syntax.span, `the frontend image "${syntax.text}" is not supported`, {
    help: "tsbuild reads docker/dockerfile syntax only; remove the directive if the file needs nothing else",
  });
}

function checkLineLengths(source: SourceFile, diagnostics: Diagnostic[]): void {
  const { text } = source;
  for (let start = 0; start < text.length;) {
    const newline = text.indexOf("\n", start);
    const end = newline < 0 ? text.length : newline;
    if ((end - start) * 3 > maxLineBytes && Buffer.byteLength(text.slice(start, end)) > maxLineBytes) {
      const message = `dockerfile line greater than max allowed size of ${maxLineBytes}`;
      const help = "break it with continuations";
      diagnostics.push(createDiagnostic("LineTooLong", { source, start, end }, message, { help }));
    }
    start = end + 1;
  }
}
