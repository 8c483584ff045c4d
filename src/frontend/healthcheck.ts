// HEALTHCHECK: its type, its command, its limits. Reference O11.
import { spanIn, trimRange, type Range } from "./logical-line.ts";
import type { HealthcheckInstruction, Word } from "./ast.ts";
import { flagWord } from "./flags.ts";
import { readCommand, readJson, wordAt, type Draft } from "./draft.ts";
import { parseDuration } from "./literals.ts";
import { goQuote } from "../base/go-text.ts";

/** The node; undefined: reported. */
export function buildHealthcheck(draft: Draft): HealthcheckInstruction | undefined {
  const { line, base, report } = draft;
  const { type, rest } = typeAndRest(draft);
  const hasRest = rest.end > rest.start;
  const kind = type.text.toUpperCase();
  if (kind === "") {
    report("WrongArgumentCount", draft.keyword.span, "HEALTHCHECK requires at least one argument", {
      help: "write HEALTHCHECK CMD <command> or HEALTHCHECK NONE",
    });
    return undefined;
  }
  if (kind === "NONE") {
    const json = hasRest ? readJson(draft, rest) : undefined;
    const isEmptyList = json?.kind === "array" && json.items.length === 0;
    if (hasRest && !isEmptyList)
      report("InvalidHealthcheck", spanIn(line, rest), "HEALTHCHECK NONE takes no arguments");
    return { kind: "healthcheck", ...base, command: undefined, ...noLimits };
  }
  if (kind !== "CMD") {
    if (readJson(draft, rest).kind === "mixed") return undefined;
    report("InvalidHealthcheck", type.span, `Unknown type ${goQuote(kind)} in HEALTHCHECK (try CMD)`, {
      help: "write CMD before the command",
    });
    return undefined;
  }
  const command = hasRest ? readCommand(draft, rest) : undefined;
  const isEmpty = !hasRest || (command?.kind === "exec" && command.args.length === 0);
  if (isEmpty) report("InvalidHealthcheck", type.span, "Missing command after HEALTHCHECK CMD");
  const limits = {
    interval: duration(draft, "interval"),
    timeout: duration(draft, "timeout"),
    startPeriod: duration(draft, "start-period"),
    startInterval: duration(draft, "start-interval"),
    retries: retries(draft),
  };
  return command && !isEmpty ? { kind: "healthcheck", ...base, command, ...limits } : undefined;
}

/** Reports a list of other things than strings, which is wrong of every type. */
export function checkHealthcheckJson(head: Draft): void {
  readJson(head, typeAndRest(head).rest);
}

function typeAndRest({ line, args }: Draft): { readonly type: Word; readonly rest: Range } {
  const length = line.text.slice(args.start, args.end).search(/\s/);
  const type = wordAt(line, { start: args.start, end: length < 0 ? args.end : args.start + length });
  return { type, rest: trimRange(line.text, { start: args.start + type.text.length, end: args.end }) };
}

/** NONE has none: what its flags say is not looked at. */
const noLimits = { interval: 0, timeout: 0, startPeriod: 0, startInterval: 0, retries: 0 };

function complain(draft: Draft, word: Word, message: string, help: string): 0 {
  draft.report("InvalidHealthcheck", word.span, message, { help });
  return 0;
}

/** Nanoseconds of a flag, a bigint where a number cannot tell them all apart; 0 where it is not given or wrong (reported). */
function duration(draft: Draft, name: string): number | bigint {
  const word = flagWord(draft.placed, name);
  if (!word || word.text === "") return 0;
  const parsed = parseDuration(word.text);
  if ("message" in parsed) return complain(draft, word, parsed.message, "write a duration such as 30s or 1m30s");
  const { value } = parsed;
  if (value === 0n || value >= 1_000_000n) return value > Number.MAX_SAFE_INTEGER ? value : Number(value);
  return complain(
    draft,
    word,
    `Interval ${goQuote(name)} cannot be less than 1ms`,
    "write 0 to inherit, else 1ms or more",
  );
}

function retries(draft: Draft): number {
  const word = flagWord(draft.placed, "retries");
  if (!word || word.text === "") return 0;
  const quoted = goQuote(word.text);
  if (!/^[-+]?\d+$/.test(word.text)) {
    return complain(draft, word, `strconv.ParseInt: parsing ${quoted}: invalid syntax`, "write a number");
  }
  const value = Number(word.text);
  if (value > 0x7fff_ffff || value < -0x8000_0000) {
    return complain(draft, word, `strconv.ParseInt: parsing ${quoted}: value out of range`, "write a smaller number");
  }
  if (value < 0)
    return complain(draft, word, `--retries cannot be negative (${value})`, "write 0 to inherit, else 1 or more");
  return value;
}
