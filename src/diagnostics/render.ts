// A diagnostic as lines of a terminal: location, message, the text it points at, remedy. Pure; the CLI decides colour and width.
// House style 2.4; `excerptOfLines` is BuildKit's form (reference L08).
import { maskUsers } from "../base/url-text.ts";
import type { Diagnostic, Related } from "./diagnostic.ts";
import { lineCount, lineText, positionAt, type Position, type SourceFile, type Span, writtenPlace } from "./source.ts";
import { displayText, displayWidth } from "./display-width.ts";

export interface RenderOptions {
  readonly color: boolean;
  /** Columns of the terminal; longer source lines are cut around what is marked. */
  readonly width: number;
  /** Only the place, what is wrong and the remedy. */
  readonly isShort?: boolean;
}

/** At most this many lines of one span are shown. */
const maxMarkedLines = 4;
const minTextWidth = 16;

const styles = { bold: "1", dim: "2", red: "1;31", yellow: "1;33", cyan: "36" } as const;

function paint(text: string, style: keyof typeof styles, { color }: RenderOptions): string {
  return color && text !== "" ? `\u001b[${styles[style]}m${text}\u001b[0m` : text;
}

/** `FILE:LINE:COLUMN` of a span's start. */
export function formatLocation(span: Span): string {
  const { line, column } = positionAt(span.source, span.start);
  return `${displayText(span.source.path)}:${line}:${column}`;
}

/** Where a failure points: its location, and the excerpt as lines (none where there is no text); neither for a word of the command line. */
export function renderPlace(
  span: Span,
  options: RenderOptions,
): { readonly location: string; readonly excerpt: readonly string[] } {
  const { isOption, trigger, text } = span.source;
  if (isOption === true) return { location: "", excerpt: [] };
  const place = writtenPlace(span);
  const excerpt = text === "" ? [] : [renderExcerpt(place, options)];
  const from = trigger ? [renderRelated({ span: trigger.runBy, message: "this FROM runs it" }, options)] : [];
  return { location: formatLocation(place), excerpt: [...excerpt, ...from] };
}

/** All of one diagnostic, without a line end after the last line. */
export function renderDiagnostic(diagnostic: Diagnostic, options: RenderOptions): string {
  const { severity, code, message, summary = message, span, focus = span, help, related = [] } = diagnostic;
  const label = paint(`${severity}:`, severity === "error" ? "red" : "yellow", options);
  const { location, excerpt } = renderPlace(focus, options);
  const place = location === "" ? "" : `${paint(`${location}:`, "bold", options)} `;
  const lines = [`${place}${label} ${displayText(summary)} [${code}]`];
  if (!options.isShort) lines.push(...excerpt);
  if (help !== undefined) lines.push(`  ${paint("help:", "cyan", options)} ${displayText(help)}`);
  if (options.isShort) return lines.join("\n");
  lines.push(...related.map((item) => renderRelated(item, options)));
  if (summary !== message) lines.push(`  buildkit: ${displayText(message)}`);
  return lines.join("\n");
}

function renderRelated({ span, message }: Related, options: RenderOptions): string {
  return `    ${paint("╰─", "dim", options)} ${formatLocation(span)}: ${displayText(message)}`;
}

/** BuildKit's excerpt between its rules (L08), with carets below the first line of the span, and no more than four marked lines; no line end after the last line. */
export function renderExcerpt(span: Span, options: RenderOptions): string {
  const start = positionAt(span.source, span.start);
  const end = lastPosition(span, start);
  const shown = Math.min(end.line, start.line + maxMarkedLines - 1);
  const total = lineCount(span.source) - (span.source.text.endsWith("\n") ? 1 : 0);
  const around = surroundings(start.line, end.line, Math.max(total, end.line));
  const digits = Math.max(3, String(around.to).length);
  const gutter = (text: string, mark: string): string =>
    ` ${text.padStart(digits)} ${paint("|", "dim", options)} ${mark === "" ? mark : paint(mark, "red", options)}${" ".repeat(4 - mark.length)}`;
  const textWidth = Math.max(minTextWidth, options.width - digits - 8);
  const first = shownLine(span.source, start.line);
  const from = Math.min(start.column - 1, first.length);
  const to = end.line > start.line ? first.length : Math.min(end.column - 1, first.length);
  const marked = cutAround(first, { from, to }, textWidth);
  const lines = [RULE];
  const addLine = (line: number, mark = ""): number =>
    lines.push(textLine(gutter(String(line), mark), shownLine(span.source, line), textWidth));
  for (let line = around.from; line < start.line; line++) addLine(line);
  lines.push(`${gutter(String(start.line), MARK)}${marked.text}`.trimEnd());
  const carets = "^".repeat(Math.max(1, Math.min(marked.width, textWidth - marked.indent)));
  lines.push(`${gutter("", "")}${" ".repeat(marked.indent)}${paint(carets, "red", options)}`);
  for (let line = start.line + 1; line <= shown; line++) addLine(line, MARK);
  if (end.line > shown) lines.push(gutter("…", "").trimEnd());
  for (let line = end.line + 1; line <= around.to; line++) addLine(line);
  return [...lines, RULE].join("\n");
}

const MARK = ">>>";
const RULE = "-".repeat(20);

/** First and last line that are shown, as BuildKit chooses them: two on each side of one line, one on each side of several, as far as the file has them. */
function surroundings(first: number, last: number, total: number): { readonly from: number; readonly to: number } {
  const padding = first === last ? 2 : 1;
  return { from: Math.max(1, first - padding), to: Math.min(total, last + padding) };
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
  return `${gutter}${cutAround(text, { from: 0, to: 0 }, width).text}`.trimEnd();
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
  const { from, to } = surroundings(first, last, lineCount(source));
  const lines = [`${path}:${first}`, RULE];
  for (let line = from; line <= to; line++) {
    const mark = line >= first && line <= last ? MARK : "   ";
    lines.push(` ${String(line).padStart(3)} | ${mark} ${shownLine(source, line)}`);
  }
  return `${[...lines, RULE].join("\n")}\n`;
}
