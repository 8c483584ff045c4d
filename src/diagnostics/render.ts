// A diagnostic as lines of a terminal: location, message, the text it points at, remedy. Pure; the CLI decides colour and width.
// House style 2.4; `excerptOfLines` is BuildKit's form (reference L08).
import { maskUsers } from "../base/url-text.ts";
import type { Diagnostic, Related } from "./diagnostic.ts";
import { lineCount, lineText, positionAt, type Position, type SourceFile, type Span } from "./source.ts";
import { displayText, displayWidth } from "./display-width.ts";

export interface RenderOptions {
  readonly color: boolean;
  /** Columns of the terminal; longer source lines are cut around what is marked. */
  readonly width: number;
}

/** At most this many lines of one span are shown. */
const maxMarkedLines = 4;
const minTextWidth = 20;

const styles = { bold: "1", dim: "2", red: "1;31", yellow: "1;33", cyan: "36" } as const;

function paint(text: string, style: keyof typeof styles, { color }: RenderOptions): string {
  return color && text !== "" ? `\u001b[${styles[style]}m${text}\u001b[0m` : text;
}

/** `FILE:LINE:COLUMN` of a span's start. */
export function formatLocation(span: Span): string {
  const { line, column } = positionAt(span.source, span.start);
  return `${displayText(span.source.path)}:${line}:${column}`;
}

/** Where a failure points: its location, and the excerpt as lines (none where there is no text). */
export function renderPlace(
  span: Span,
  options: RenderOptions,
): { readonly location: string; readonly excerpt: readonly string[] } {
  const excerpt = span.source.text === "" ? [] : [renderExcerpt(span, options)];
  return { location: formatLocation(span), excerpt };
}

/** All of one diagnostic, without a line end after the last line. */
export function renderDiagnostic(diagnostic: Diagnostic, options: RenderOptions): string {
  const { severity, code, message, span, help, related = [] } = diagnostic;
  const label = paint(`${severity}:`, severity === "error" ? "red" : "yellow", options);
  const head = `${paint(`${formatLocation(span)}:`, "bold", options)} ${label} ${displayText(message)} [${code}]`;
  const lines = [head];
  if (span.source.text !== "") lines.push(renderExcerpt(span, options));
  if (help !== undefined) lines.push(`  ${paint("help:", "cyan", options)} ${displayText(help)}`);
  lines.push(...related.map((item) => renderRelated(item, options)));
  return lines.join("\n");
}

function renderRelated({ span, message }: Related, options: RenderOptions): string {
  return `    ${paint("╰─", "dim", options)} ${formatLocation(span)}: ${displayText(message)}`;
}

/** The lines of a span with carets below the first of them, among two others where the file has them; no line end after the last line. */
export function renderExcerpt(span: Span, options: RenderOptions): string {
  const start = positionAt(span.source, span.start);
  const end = lastPosition(span, start);
  const shown = Math.min(end.line, start.line + maxMarkedLines - 1);
  const around = surroundings(span.source, start.line, end.line);
  const digits = String(Math.max(shown, around.to)).length;
  const gutter = (marker: string, text: string): string =>
    `  ${marker} ${text.padStart(digits)} ${paint("│", "dim", options)}`;
  const textWidth = Math.max(minTextWidth, options.width - digits - 7);
  const first = shownLine(span.source, start.line);
  const from = Math.min(start.column - 1, first.length);
  const to = end.line > start.line ? first.length : Math.min(end.column - 1, first.length);
  const marked = cutAround(first, { from, to }, textWidth);
  const lines: string[] = [];
  const context = (line: number): string =>
    textLine(gutter(" ", String(line)), shownLine(span.source, line), textWidth);
  for (let line = around.from; line < start.line; line++) lines.push(context(line));
  lines.push(`${gutter("›", String(start.line))} ${marked.text}`.trimEnd());
  const carets = "^".repeat(Math.max(1, Math.min(marked.width, textWidth - marked.indent)));
  const style = options.color ? paint(carets, "red", options) : carets;
  lines.push(`${gutter(" ", "")} ${" ".repeat(marked.indent)}${style}`);
  for (let line = start.line + 1; line <= shown; line++) {
    lines.push(textLine(gutter("›", String(line)), shownLine(span.source, line), textWidth));
  }
  if (end.line > shown) lines.push(gutter(" ", "…"));
  for (let line = end.line + 1; line <= around.to; line++) lines.push(context(line));
  return lines.join("\n");
}

/** First and last line that are shown: one before and one after what is marked, two on one side where the other has none. */
function surroundings(source: SourceFile, first: number, last: number): { readonly from: number; readonly to: number } {
  const total = lineCount(source) - (source.text.endsWith("\n") ? 1 : 0);
  const before = Math.min(first - 1, last < total ? 1 : 2);
  return { from: first - before, to: Math.min(Math.max(total, last), last + 2 - before) };
}

/** Logs are read by more people than Dockerfiles: credentials in URLs are not repeated. */
function shownLine(source: SourceFile, line: number): string {
  return maskUsers(lineText(source, line));
}

/** Position after the last character; a span that ends with a line end ends on that line. */
function lastPosition(span: Span, start: Position): Position {
  if (span.end <= span.start) return start;
  const { line, column } = positionAt(span.source, span.end - 1);
  return { line, column: column + 1 };
}

function textLine(gutter: string, text: string, width: number): string {
  return `${gutter} ${cutAround(text, { from: 0, to: 0 }, width).text}`.trimEnd();
}

interface Marked {
  readonly text: string;
  /** Columns before the marked part, and its columns. */
  readonly indent: number;
  readonly width: number;
}

/** The line as it is shown: tabs and control characters replaced, cut to `width` columns so that the marked part is seen. */
function cutAround(line: string, { from, to }: { readonly from: number; readonly to: number }, width: number): Marked {
  const before = displayText(line.slice(0, from));
  const inside = displayText(line.slice(from, to));
  const after = displayText(line.slice(to));
  const text = before + inside + after;
  const indent = displayWidth(before);
  const marked = displayWidth(inside);
  if (displayWidth(text) <= width) return { text, indent, width: marked };
  const lead = indent + Math.min(marked, width) <= width - 1 ? 0 : Math.max(0, indent - Math.floor(width / 3));
  if (lead === 0) return { text: `${takeColumns(text, width - 1)}…`, indent, width: marked };
  const dropped = dropColumns(text, lead);
  const rest = displayWidth(dropped.text) <= width - 1 ? dropped.text : `${takeColumns(dropped.text, width - 2)}…`;
  return { text: `…${rest}`, indent: indent - dropped.columns + 1, width: marked };
}

function takeColumns(text: string, columns: number): string {
  let used = 0;
  let taken = "";
  for (const char of text) {
    used += displayWidth(char);
    if (used > columns) break;
    taken += char;
  }
  return taken;
}

function dropColumns(text: string, columns: number): { readonly text: string; readonly columns: number } {
  let dropped = 0;
  let at = 0;
  for (const char of text) {
    if (dropped >= columns) break;
    dropped += displayWidth(char);
    at += char.length;
  }
  return { text: text.slice(at), columns: dropped };
}

export interface ExcerptLines {
  readonly source: SourceFile;
  /** What the text is called. */
  readonly path: string;
  /** Lines that are marked, counted from 1, both included. */
  readonly first: number;
  readonly last: number;
}

/** BuildKit's excerpt: `FILE:LINE`, a rule, whole lines marked with `>>>` among two or four others, a rule. Ends with a line end. */
export function excerptOfLines({ source, path, first, last }: ExcerptLines): string {
  const total = lineCount(source);
  let [from, to] = [first, last];
  const wanted = from === to ? 4 : 2;
  for (let padded = 0; padded < wanted; padded++) {
    if (from > 1) {
      from--;
      padded++;
    }
    if (to !== total) {
      to++;
      padded++;
    }
  }
  const rule = "--------------------";
  const lines = [`${path}:${first}`, rule];
  for (let line = from; line <= to; line++) {
    const mark = line >= first && line <= last ? ">>>" : "   ";
    lines.push(` ${String(line).padStart(3)} | ${mark} ${shownLine(source, line)}`);
  }
  return `${[...lines, rule].join("\n")}\n`;
}
