// What every instruction's builder starts from: its name, flags and arguments, split as the grammar's row says, and its arity.
// Reference L06, L09, L11, L12, O15.
import { instructionRules, type InstructionRule } from "../../grammar/instructions.ts";
import { suggest } from "../base/suggest.ts";
import { positionAt, type Span } from "../diagnostics/source.ts";
import type { Command, Heredoc, Word } from "./ast.ts";
import type { PlacedFlag } from "./flags.ts";
import { parseHeredocWord } from "./heredoc.ts";
import { isMalformedJson, parseJsonForm, type JsonForm } from "./json-form.ts";
import { firstWord, flagTokens, listWords } from "./lexer.ts";
import { spanIn, trimRange, type LogicalLine, type Range } from "./logical-line.ts";
import type { Report, ReportOptions } from "./report.ts";

/** The head of an instruction: its name, its flags as tokens, where its arguments are. */
export interface Head {
  readonly line: LogicalLine;
  readonly escape: string;
  readonly keyword: Word;
  readonly rule: InstructionRule | undefined;
  /** From the name to the last argument. */
  readonly range: Range;
  readonly flags: ReturnType<typeof flagTokens>["flags"];
  readonly args: Range;
}

/** What the builders of nodes share. */
export interface Draft extends Head {
  readonly rule: InstructionRule;
  readonly placed: readonly PlacedFlag[];
  readonly base: {
    readonly span: Span;
    readonly keyword: Word;
    readonly flags: readonly PlacedFlag["flag"][];
    readonly original: string;
    readonly comments: readonly string[];
  };
  readonly heredocs: readonly Heredoc[];
  readonly report: Report;
}

/** Splits name, flags and arguments of `line.text[range]`. */
export function readHead(line: LogicalLine, within: Range, escape: string): Head {
  const range = trimRange(line.text, within);
  const first = firstWord(line.text, range, escape) ?? {
    word: { start: range.start, end: range.start },
    rest: range.end,
  };
  const keyword = wordAt(line, first.word);
  const { flags, rest } = flagTokens(line.text, { start: first.rest, end: range.end }, escape);
  const args = trimRange(line.text, { start: rest, end: range.end });
  return { line, escape, keyword, rule: instructionRules.get(keyword.text.toUpperCase()), range, flags, args };
}

/** Reports a name that is no instruction, with the nearest one in the same case. */
export function reportUnknown(head: Head, report: Report): void {
  const { text, span } = head.keyword;
  const isLower = text === text.toLowerCase();
  const near = nearestInstruction(text);
  const remedy =
    near === undefined ? unknownRemedy(head) : { help: `did you mean "${isLower ? near.toLowerCase() : near}"?` };
  report("UnknownInstruction", span, `unknown instruction: ${text}`, remedy);
}

/** The instruction that `text` may be a mistyped name of. */
export function nearestInstruction(text: string): string | undefined {
  return text.length > 20 ? undefined : suggest(text, instructionRules.keys());
}

/** A command without RUN, or what should have been joined to the line before. */
function unknownRemedy({ keyword: { text, span }, line, range, escape }: Head): ReportOptions {
  const { source } = span;
  const before = source.text.slice(0, span.start).trimEnd();
  const joint = /(?:&&|\|\||[|,;])$/.exec(before)?.[0];
  if (joint !== undefined) {
    const focus = { source, start: before.length - joint.length, end: before.length };
    return {
      summary: `this line ends with ${joint}, but the instruction does not continue on the next line`,
      help: `end line ${positionAt(source, focus.start).line} with ${joint} ${escape}`,
      focus,
    };
  }
  if (!/^[a-z][\w.-]*$/.test(text))
    return { help: "begin the line with an instruction such as RUN, or end the line before with a backslash" };
  const command = line.text.slice(range.start, range.end);
  return { help: `to run a command: RUN ${command.length > MOST_COMMAND ? `${text} …` : command}` };
}

/** Longer commands are not repeated. */
const MOST_COMMAND = 60;

/** `line.text[range]` as a word. */
export function wordAt(line: LogicalLine, range: Range): Word {
  return { text: line.text.slice(range.start, range.end), span: spanIn(line, range) };
}

/** Reports a wrong number of arguments. */
export function wrongCount(draft: Draft, message: string, remedy: ReportOptions = {}): undefined {
  const { line, keyword, args, report } = draft;
  const span = args.end > args.start ? spanIn(line, args) : keyword.span;
  report("WrongArgumentCount", span, message, remedy);
  return undefined;
}

/** Whether `count` arguments are enough for the row's arity; reports where they are not. */
export function checkCount(draft: Draft, count: number): boolean {
  const { name, arity } = draft.rule;
  if (arity === "any" || arity === "from") return true;
  if (arity === "sources" ? count >= 2 : count >= 1) return true;
  const help = `write ${name} ${EXAMPLES[draft.rule.kind]}`;
  if (arity === "one") wrongCount(draft, `${name} requires exactly one argument`, { help });
  else if (arity === "some") wrongCount(draft, `${name} requires at least one argument`, { help });
  else {
    const message = `${name} requires at least two arguments, but only one was provided. Destination could not be determined`;
    const { line, args, range } = draft;
    const source = line.text.slice(args.start, args.end);
    const whole = line.text.slice(range.start, range.end);
    const isPlain = whole.length <= MOST_COMMAND && /^[\w./-]+$/.test(source);
    wrongCount(
      draft,
      message,
      count === 0
        ? { summary: `${name} has no source and no destination`, help }
        : {
            summary: `${name} has a source but no destination`,
            help: isPlain ? `write ${whole} <destination>, for example ${whole} ./` : help,
          },
    );
  }
  return false;
}

/** What follows the name. */
const EXAMPLES: Readonly<Record<InstructionRule["kind"], string>> = {
  add: "<source> <destination>",
  arg: "<name>, or ARG <name>=<default>",
  cmd: '["program", "argument"]',
  copy: "<source> <destination>",
  entrypoint: '["program", "argument"]',
  env: "<name>=<value>",
  expose: "<port>, for example EXPOSE 8080",
  from: "<image>",
  healthcheck: "CMD <command>, or HEALTHCHECK NONE",
  label: "<name>=<value>",
  maintainer: "<name>",
  onbuild: "<instruction>, for example ONBUILD RUN make",
  run: "<command>",
  shell: '["program", "argument"]',
  stopsignal: "<signal>, for example STOPSIGNAL SIGTERM",
  user: "<user>",
  volume: "<path>",
  workdir: "<path>",
};

/** The whole rest as one word; undefined: reported. */
export function readText(draft: Draft): Word | undefined {
  const { line, args } = draft;
  return checkCount(draft, args.end > args.start ? 1 : 0) ? wordAt(line, args) : undefined;
}

/** The arguments as JSON; a mixed array is reported. */
export function readJson(draft: Draft, range: Range): JsonForm {
  const json = parseJsonForm(draft.line.text, range);
  if (json.kind === "mixed") {
    draft.report(
      "InvalidJsonArray",
      spanIn(draft.line, range),
      "when using JSON array syntax, arrays must be comprised of strings only",
      { help: "put every element in double quotes", isOfReading: true },
    );
  }
  return json;
}

/** The exec form where the text is a JSON array, else the shell form; undefined: reported. */
export function readCommand(draft: Draft, range: Range): Command | undefined {
  const { line, rule, heredocs } = draft;
  const json = readJson(draft, range);
  if (json.kind === "mixed") return undefined;
  const span = spanIn(line, range);
  if (json.kind === "array") return { kind: "exec", args: json.items.map(({ text }) => text), span };
  const text = line.text.slice(range.start, range.end);
  if (isMalformedJson(text)) {
    draft.report(
      "MalformedJsonForm",
      span,
      `${rule.name} runs this as shell text, because it is not a valid JSON array`,
      {
        help: "use double quotes and commas for the exec form",
      },
    );
  }
  const isOnlyHeredoc = heredocs.length > 0 && parseHeredocWord(text) !== undefined;
  return { kind: "shell", text: isOnlyHeredoc ? "" : text, span };
}

/** Words of a JSON array, else blank-separated ones; undefined: reported. */
export function readPaths(draft: Draft): readonly Word[] | undefined {
  const { line, args, escape } = draft;
  const json = readJson(draft, args);
  if (json.kind === "mixed") return undefined;
  if (json.kind === "array") return json.items.map(({ text, range }) => ({ text, span: spanIn(line, range) }));
  return listWords(line.text, args, escape).map((range) => wordAt(line, range));
}
