// Builder flags of an instruction against its row in the grammar. Reference L09, L10, T32: an unknown flag is an error, never ignored.
import type { InstructionRule } from "../../grammar/instructions.ts";
import { suggest } from "../base/suggest.ts";
import { findIn, type Span } from "../diagnostics/source.ts";
import type { Flag, Word } from "./ast.ts";
import { spanIn, type LogicalLine } from "./logical-line.ts";
import type { FlagToken } from "./lexer.ts";
import type { Report } from "./report.ts";

/** A flag and where each character of its value was, for values that have a syntax of their own. */
export interface PlacedFlag {
  readonly flag: Flag;
  /** Indices in the logical line's text of the value's characters. */
  readonly indices: readonly number[];
}

/** Checks the tokens; those that are wrong are reported and left out. */
export function checkFlags(
  line: LogicalLine,
  tokens: readonly FlagToken[],
  rule: InstructionRule,
  report: Report,
): readonly PlacedFlag[] {
  const accepted: PlacedFlag[] = [];
  const seen = new Set<string>();
  for (const token of tokens) {
    const placed = placeFlag(line, token);
    const { name, value, span } = placed.flag;
    const kind = Object.hasOwn(rule.flags, name) ? rule.flags[name] : undefined;
    if (kind === undefined) {
      const nearest = name.length < 40 ? suggest(name, Object.keys(rule.flags)) : undefined;
      const help = nearest === undefined ? listFlags(rule) : `did you mean "--${nearest}"?`;
      const summary = `${rule.name} has no flag --${name}`;
      report("UnknownFlag", span, `unknown flag: --${name}`, { summary, help, focus: findIn(span, `--${name}`) });
      continue;
    }
    if (seen.has(name) && kind !== "strings") {
      report("DuplicateFlag", span, `duplicate flag specified: --${name}`, { help: "keep one of them" });
    } else if (value === undefined ? kind !== "bool" : kind === "bool" && value === "") {
      const help = kind === "bool" ? `write --${name} or --${name}=false` : `write --${name}=<value>`;
      report("MissingFlagValue", span, `missing a value on flag: --${name}`, { help });
    } else if (kind === "bool" && value !== undefined && !/^(?:true|false)$/i.test(value)) {
      report("InvalidFlagValue", placed.flag.valueSpan, `expecting boolean value for flag --${name}, not: ${value}`, {
        help: `write --${name} or --${name}=false`,
      });
    } else accepted.push(placed);
    seen.add(name);
  }
  return accepted;
}

function placeFlag(line: LogicalLine, token: FlagToken): PlacedFlag {
  const span = spanIn(line, token.range);
  const equals = token.text.indexOf("=");
  const name = token.text.slice(2, equals < 0 ? undefined : equals);
  if (equals < 0) return { flag: { name, value: undefined, span, valueSpan: span }, indices: [] };
  const indices = token.indices.slice(equals + 1);
  const valueStart = token.indices[equals]! + 1;
  const valueSpan: Span = spanIn(line, { start: Math.min(valueStart, token.range.end), end: token.range.end });
  return { flag: { name, value: token.text.slice(equals + 1), span, valueSpan }, indices };
}

function listFlags(rule: InstructionRule): string {
  const names = Object.keys(rule.flags).map((name) => `--${name}`);
  return names.length === 0 ? `${rule.name} takes no flags` : `${rule.name} takes ${names.join(", ")}`;
}

/** Value of a flag as a word; undefined where it is not given. */
export function flagWord(flags: readonly PlacedFlag[], name: string): Word | undefined {
  const found = flags.find(({ flag }) => flag.name === name)?.flag;
  return found?.value === undefined ? undefined : { text: found.value, span: found.valueSpan };
}

/** Values of a repeatable flag in order. */
export function flagWords(flags: readonly PlacedFlag[], name: string): readonly Word[] {
  return flags
    .filter(({ flag }) => flag.name === name)
    .map(({ flag }) => ({ text: flag.value ?? "", span: flag.valueSpan }));
}

/** Value of a bool flag; undefined where it is not given. */
export function flagBool(flags: readonly PlacedFlag[], name: string): boolean | undefined {
  const found = flags.find(({ flag }) => flag.name === name)?.flag;
  return found && found.value?.toLowerCase() !== "false";
}
