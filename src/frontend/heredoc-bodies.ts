// The bodies of an instruction's heredocs: taken from the lines that follow it. Reference 1.3.
import type { Heredoc } from "./ast.ts";
import { readHead, type Head } from "./draft.ts";
import { chompTabs, findHeredocs } from "./heredoc.ts";
import { parseJsonForm } from "./json-form.ts";
import type { LineReader } from "./lexer.ts";
import { spanIn } from "./logical-line.ts";
import type { Report } from "./report.ts";

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
      report("UnterminatedHeredoc", span, "unterminated heredoc", {
        help: terminatorHelp(word.name, raw, word.isChomped),
      });
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
function terminatorHelp(name: string, body: string, isChomped: boolean): string {
  const near = body.split("\n").find((line) => line.trim() === name);
  if (near === undefined) return `end it with a line that is only ${name}`;
  return isChomped
    ? `only tabs may stand before the ${name} that ends it, and nothing after it`
    : `nothing may stand before or after the ${name} that ends it; <<-${name} allows tabs before`;
}
