// What an instruction is printed of: parts that stay as they are, and what stands between them where the file has no line break. One place knows
// which blanks of which form mean nothing. Reference L06, L09, L11, L12.
import type { Head } from "./draft.ts";
import { parseJsonForm } from "./json-form.ts";
import { firstWord, listWords, quotedWords } from "./lexer.ts";
import { trimRange, type Range } from "./logical-line.ts";

/** A part of the logical line. */
export interface Unit extends Range {
  /** Printed instead of the range's own text. */
  readonly text?: string;
  readonly after: string;
  /** No blank in front of it. */
  readonly isGlued: boolean;
}

/** The parts of an instruction in order, its name first. */
export function unitsOf(head: Head): readonly Unit[] {
  const { line, range, flags, args, keyword } = head;
  const name = { start: range.start, end: range.start + keyword.text.length };
  const flagUnits = flags.map((flag) => plain(flag.range));
  const used = flagUnits.at(-1)?.end ?? name.end;
  // `--` ends the flags, so that an argument may begin with two dashes
  const end = trimRange(line.text, { start: used, end: args.start });
  const marker = end.end > end.start ? [plain(end)] : [];
  return [{ ...plain(name), text: keyword.text.toUpperCase() }, ...flagUnits, ...marker, ...argumentUnits(head)];
}

function plain(range: Range): Unit {
  return { start: range.start, end: range.end, after: "", isGlued: false };
}

function argumentUnits(head: Head): readonly Unit[] {
  const { line, escape, args, rule } = head;
  const { text } = line;
  if (args.end <= args.start || rule === undefined) return [];
  switch (rule.form) {
    case "list":
      return listWords(text, args, escape).map((word, at) =>
        rule.kind === "from" && at === 1 ? upper(text, word) : plain(word),
      );
    case "paths":
      return jsonUnits(text, args) ?? listWords(text, args, escape).map(plain);
    case "names":
      return quotedWords(text, args, escape).map(plain);
    case "pairs":
      return pairUnits(head);
    case "command":
    case "json":
      return jsonUnits(text, args) ?? [plain(args)];
    case "check":
      return checkUnits(text, args);
    case "text":
    case "instruction":
      return [plain(args)];
  }
}

function upper(text: string, word: Range): Unit {
  return { ...plain(word), text: text.slice(word.start, word.end).toUpperCase() };
}

/** `name=value` words; of the legacy form the name and the rest. */
function pairUnits({ line, escape, args }: Head): readonly Unit[] {
  const words = quotedWords(line.text, args, escape);
  const [first] = words;
  if (first && line.text.slice(first.start, first.end).includes("=")) return words.map(plain);
  const key = firstWord(line.text, args, escape);
  return key ? [plain(key.word), plain({ start: key.rest, end: args.end })] : [plain(args)];
}

/** HEALTHCHECK: the type, then a command. */
function checkUnits(text: string, args: Range): readonly Unit[] {
  const length = text.slice(args.start, args.end).search(/\s/);
  const type = { start: args.start, end: length < 0 ? args.end : args.start + length };
  const rest = trimRange(text, { start: type.end, end: args.end });
  if (rest.end <= rest.start) return [upper(text, type)];
  return [upper(text, type), ...(jsonUnits(text, rest) ?? [plain(rest)])];
}

/** `["a", "b"]`; undefined where it is no array of strings. */
function jsonUnits(text: string, range: Range): readonly Unit[] | undefined {
  const json = parseJsonForm(text, range);
  if (json.kind !== "array") return undefined;
  const open: Unit = plain({ start: range.start, end: range.start + 1 });
  const close: Unit = { ...plain({ start: range.end - 1, end: range.end }), isGlued: true };
  const items = json.items.map((item, at): Unit => ({
    ...plain(item.range),
    isGlued: at === 0,
    after: at < json.items.length - 1 ? "," : "",
  }));
  return [open, ...items, close];
}
