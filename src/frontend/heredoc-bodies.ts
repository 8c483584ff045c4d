// The bodies of an instruction's heredocs: taken from the lines that follow it. Reference 1.3.
import { positionAt, type Span } from "../diagnostics/source.ts";
import type { Heredoc } from "./ast.ts";
import { readHead, type Head } from "./draft.ts";
import { chompTabs, findHeredocs } from "./heredoc.ts";
import { parseJsonForm } from "./json-form.ts";
import type { LineReader } from "./lexer.ts";
import { spanIn } from "./logical-line.ts";
import type { Report, ReportOptions } from "./report.ts";

/** Reads the bodies of the line's heredocs, in order; `end` is where the last terminator ends. */
export function takeHeredocs(
  head: Head,
  reader: LineReader,
  report: Report,
): { readonly heredocs: readonly Heredoc[]; readonly end: number | undefined } {
  const { line } = head;
  const heredocs: Heredoc[] = [];
  let end: number | undefined;
  if (!takesHeredocs(head)) return { heredocs, end };
  for (const { word, range } of findHeredocs(line.text)) {
    const taken = reader.takeHeredoc(word.name, word.isChomped);
    const raw = taken.body.source.text.slice(taken.body.start, taken.body.end);
    const span = spanIn(line, range);
    heredocs.push({ ...word, content: word.isChomped ? chompTabs(raw) : raw, span, bodySpan: taken.body });
    end = taken.end;
    if (!taken.isTerminated) {
      const remedy = terminatorRemedy(word, span, taken.body);
      report("UnterminatedHeredoc", span, "unterminated heredoc", { ...remedy, isOfReading: true });
      break;
    }
  }
  return { heredocs, end };
}

function takesHeredocs(head: Head): boolean {
  const { line, escape } = head;
  const inner = head.rule?.kind === "onbuild" ? readHead(line, head.args, escape) : head;
  if (inner.rule?.takesHeredocs !== true || !line.text.includes("<<")) return false;
  return parseJsonForm(line.text, inner.args).kind !== "array";
}

/** A line that nearly ends the heredoc is what was meant to end it. */
function terminatorRemedy(
  { name, isChomped }: { readonly name: string; readonly isChomped: boolean },
  opening: Span,
  body: Span,
): ReportOptions {
  const { source } = body;
  let start = body.start;
  const near = source.text
    .slice(body.start, body.end)
    .split("\n")
    .find((line) => {
      if (line.trim() === name) return true;
      start += line.length + 1;
      return false;
    });
  if (near === undefined) {
    const help = `end it with a line that is only ${name}`;
    return { summary: `this heredoc is not ended: no line is only ${name}`, help };
  }
  const { line } = positionAt(source, opening.start);
  const before = near.slice(0, near.indexOf(name));
  const isBefore = before !== "" && !(isChomped && /^\t+$/.test(before));
  const blanks = /^\t+$/.test(before) ? "tabs" : /^ +$/.test(before) ? "spaces" : "blanks";
  const why = isBefore ? `${blanks} stand before it` : "something stands after it";
  const tabs = isChomped ? "only tabs may stand before it" : `<<-${name} allows tabs before it, not spaces`;
  return {
    summary: `this ${name} does not end the heredoc of line ${line}: ${why}`,
    help: isBefore
      ? `put ${name} at the start of the line (${tabs})`
      : `take away what stands after ${name} in its line`,
    focus: { source, start, end: start + near.trimEnd().length },
  };
}
