// One logical line → one instruction node. Knows nothing of stages, files or where heredoc bodies lie. Reference 1.8, 1.11.
import type { InstructionRule } from "../../grammar/instructions.ts";
import { suggest } from "../base/suggest.ts";
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import type { Span } from "../diagnostics/source.ts";
import type { CopySourceWord, FromInstruction, Heredoc, Instruction, KeyValue } from "./ast.ts";
import {
  checkCount,
  readCommand,
  readHead,
  readJson,
  readPaths,
  readText,
  wordAt,
  wrongCount,
  type Draft,
  type Head,
} from "./draft.ts";
import { checkFlags, flagBool, flagWord, flagWords } from "./flags.ts";
import { buildHealthcheck, checkHealthcheckJson } from "./healthcheck.ts";
import { parseHeredocWord } from "./heredoc.ts";
import { firstWord, listWords, quotedWords } from "./lexer.ts";
import { spanIn, trimSpace, type LogicalLine, type Range } from "./logical-line.ts";
import { parseMount } from "./mount-flag.ts";
import { goQuote } from "../base/go-text.ts";
import type { Report } from "./report.ts";

/** The instruction's node; undefined where it is too wrong to have one (reported). */
export function buildInstruction(
  head: Head & { readonly rule: InstructionRule },
  heredocs: readonly Heredoc[],
  span: Span,
  report: Report,
): Instruction | FromInstruction | undefined {
  const placed = checkFlags(head.line, head.flags, head.rule, report);
  const base = {
    span,
    keyword: head.keyword,
    flags: placed.map(({ flag }) => flag),
    original: head.line.text.slice(head.range.start, head.range.end),
    comments: head.line.comments,
  };
  const { emptyLines, lastLine } = head.line;
  const emptyContinuation = emptyLines.length === 0 ? {} : { emptyContinuation: { lines: emptyLines, last: lastLine } };
  const node = build({ ...head, placed, base, heredocs, report });
  return node && { ...node, ...emptyContinuation };
}

function build(draft: Draft): Instruction | FromInstruction | undefined {
  const { base, rule } = draft;
  switch (rule.kind) {
    case "from":
      return buildFrom(draft);
    case "run":
      return buildRun(draft);
    case "copy":
    case "add":
      return buildCopy(draft, rule.kind);
    case "cmd":
    case "entrypoint": {
      const command = readCommand(draft, draft.args);
      return command && { kind: rule.kind, ...base, command };
    }
    case "shell":
      return buildShell(draft);
    case "arg":
      return buildArg(draft);
    case "env":
    case "label":
      return buildPairs(draft, rule.kind);
    case "user": {
      const user = readText(draft);
      return user && { kind: "user", ...base, user };
    }
    case "workdir": {
      const path = readText(draft);
      return path && { kind: "workdir", ...base, path };
    }
    case "maintainer": {
      const name = readText(draft);
      return name && { kind: "maintainer", ...base, name };
    }
    case "stopsignal":
      return buildStopsignal(draft);
    case "volume":
      return buildVolume(draft);
    case "expose":
      return buildExpose(draft);
    case "healthcheck":
      return buildHealthcheck(draft);
    case "onbuild":
      return buildOnbuild(draft);
  }
}

function buildFrom(draft: Draft): FromInstruction {
  const { line, args, escape, base, report } = draft;
  const words = listWords(line.text, args, escape).map((range) => wordAt(line, range));
  const [image, as, name] = words;
  let isNamed = false;
  if (words.length === 3 && as!.text.toLowerCase() === "as") {
    isNamed = /^[a-z][a-z0-9\-_.]*$/.test(name!.text.toLowerCase());
    if (!isNamed) {
      const rule = "name can't start with a number or contain symbols";
      report("InvalidStageName", name!.span, `invalid name for build stage: ${goQuote(name!.text)}, ${rule}`);
    }
  } else if (words.length !== 1) {
    wrongCount(draft, "FROM requires either one or three arguments", {
      help: "write FROM <image> or FROM <image> AS <name>",
    });
  }
  const nothing = { text: "", span: spanIn(line, { start: args.end, end: args.end }) };
  return {
    kind: "from",
    ...base,
    image: image ?? nothing,
    platform: flagWord(draft.placed, "platform"),
    name: isNamed ? name : undefined,
    as: isNamed ? as : undefined,
  };
}

function buildRun(draft: Draft): Instruction | undefined {
  const { line, args, base, placed, heredocs, report } = draft;
  const network = flagWord(placed, "network");
  if (network && !["default", "none", "host"].includes(network.text)) {
    const near = suggest(network.text, ["default", "none", "host"]);
    const help = near ? `did you mean "${near}"?` : "the modes are default, none and host";
    report("InvalidNetworkMode", network.span, `invalid network mode ${goQuote(network.text)}`, { help });
  }
  const security = flagWord(placed, "security");
  if (security && !["sandbox", "insecure"].includes(security.text)) {
    const near = suggest(security.text, ["sandbox", "insecure"]);
    const help = near ? `did you mean "${near}"?` : "the modes are sandbox and insecure";
    report("InvalidSecurityMode", security.span, `security ${goQuote(security.text)} is not valid`, { help });
  }
  const mountProblems: Diagnostic[] = [];
  const mounts = placed
    .filter(({ flag }) => flag.name === "mount")
    .map((flag) => parseMount(line, flag, report, mountProblems))
    .filter((mount) => mount !== undefined);
  const command = readCommand(draft, args);
  if (!command) return undefined;
  const devices = flagWords(placed, "device");
  const problems = mountProblems.length === 0 ? {} : { mountProblems };
  return { kind: "run", ...base, command, heredocs, mounts, ...problems, network, security, devices };
}

function buildCopy(draft: Draft, kind: "copy" | "add"): Instruction | undefined {
  const { base, placed, heredocs, rule, report } = draft;
  const words = readPaths(draft);
  if (words === undefined || !checkCount(draft, words.length)) return undefined;
  const dest = words.at(-1)!;
  if (parseHeredocWord(dest.text) !== undefined) {
    report("HeredocAsDestination", dest.span, `${rule.name} cannot accept a heredoc as a destination`, {
      help: "write the destination after the heredoc",
    });
    return undefined;
  }
  const sources = words.slice(0, -1).map((word): CopySourceWord => {
    const name = parseHeredocWord(word.text)?.name;
    const heredoc = name === undefined ? undefined : heredocs.find((doc) => doc.span.start === word.span.start);
    return heredoc ? { kind: "heredoc", ...heredoc } : { kind: "word", ...word };
  });
  const common = {
    ...base,
    sources,
    dest,
    chown: flagWord(placed, "chown"),
    chmod: flagWord(placed, "chmod"),
    link: flagBool(placed, "link") ?? false,
    exclude: flagWords(placed, "exclude"),
  };
  if (kind === "copy") {
    return { kind, ...common, from: flagWord(placed, "from"), parents: flagBool(placed, "parents") ?? false };
  }
  return {
    kind,
    ...common,
    checksum: flagWord(placed, "checksum"),
    keepGitDir: flagBool(placed, "keep-git-dir"),
    unpack: flagBool(placed, "unpack"),
  };
}

function buildShell(draft: Draft): Instruction | undefined {
  const { line, args, base, rule, report } = draft;
  const json = readJson(draft, args);
  if (json.kind === "mixed") return undefined;
  const count = json.kind === "array" ? json.items.length : args.end - args.start;
  if (!checkCount(draft, count)) return undefined;
  if (json.kind === "none") {
    report("ShellNotJson", spanIn(line, args), `${rule.name} requires the arguments to be in JSON form`, {
      help: 'write SHELL ["executable", "parameters"]',
    });
    return undefined;
  }
  return { kind: "shell", ...base, args: json.items.map(({ text }) => text) };
}

function keyValueAt(line: LogicalLine, range: Range): KeyValue {
  const equals = line.text.indexOf("=", range.start);
  const span = spanIn(line, range);
  if (equals < 0 || equals >= range.end) return { key: wordAt(line, range), value: undefined, span };
  return {
    key: wordAt(line, { start: range.start, end: equals }),
    value: wordAt(line, { start: equals + 1, end: range.end }),
    span,
  };
}

function buildArg(draft: Draft): Instruction | undefined {
  const { line, args, escape, base } = draft;
  const pairs = quotedWords(line.text, args, escape).map((range) => keyValueAt(line, range));
  if (!checkCount(draft, pairs.length) || hasBlankName(draft, pairs)) return undefined;
  return { kind: "arg", ...base, args: pairs };
}

function hasBlankName(draft: Draft, pairs: readonly KeyValue[]): boolean {
  const blank = pairs.filter(({ key }) => key.text === "");
  for (const { span } of blank) draft.report("BlankName", span, `${draft.rule.name} names can not be blank`);
  return blank.length > 0;
}

function buildPairs(draft: Draft, kind: "env" | "label"): Instruction | undefined {
  const { line, args, escape, base, rule, report } = draft;
  const words = quotedWords(line.text, args, escape);
  if (!checkCount(draft, words.length)) return undefined;
  const pairs = words.map((range) => keyValueAt(line, range));
  if (pairs[0]!.value === undefined) {
    const key = firstWord(line.text, args, escape);
    if (key === undefined || key.rest >= args.end) {
      const name = line.text.slice(args.start, args.end);
      return wrongCount(draft, `${rule.name} must have two arguments`, {
        summary: `${rule.name} ${name} has no value`,
        help: `write ${rule.name} ${name}=<value>, or ${rule.name} ${name}= for an empty one`,
        isOfReading: true,
      });
    }
    const value = wordAt(line, { start: key.rest, end: args.end });
    return { kind, ...base, pairs: [{ key: wordAt(line, key.word), value, span: spanIn(line, args) }], isLegacy: true };
  }
  for (const { key, value, span } of pairs) {
    if (value !== undefined) continue;
    const message = `Syntax error - can't find = in ${goQuote(key.text)}. Must be of the form: name=value`;
    report("MissingAssignment", span, message, { help: "put a value with blanks in double quotes", isOfReading: true });
  }
  if (hasBlankName(draft, pairs) || pairs.some(({ value }) => value === undefined)) return undefined;
  return { kind, ...base, pairs, isLegacy: false };
}

function buildStopsignal(draft: Draft): Instruction | undefined {
  const signal = readText(draft);
  if (!signal) return undefined;
  return { kind: "stopsignal", ...draft.base, signal };
}

function buildVolume(draft: Draft): Instruction | undefined {
  const words = readPaths(draft);
  if (words === undefined || !checkCount(draft, words.length)) return undefined;
  const paths = words.map((word) => ({ text: trimSpace(word.text), span: word.span }));
  for (const { text, span } of paths) {
    if (text === "") draft.report("InvalidVolume", span, "VOLUME specified can not be an empty string");
  }
  return paths.some(({ text }) => text === "") ? undefined : { kind: "volume", ...draft.base, paths };
}

function buildExpose(draft: Draft): Instruction | undefined {
  const { line, args, escape, base } = draft;
  const ports = listWords(line.text, args, escape).map((range) => wordAt(line, range));
  if (!checkCount(draft, ports.length)) return undefined;
  return { kind: "expose", ...base, ports };
}

function buildOnbuild(draft: Draft): Instruction | undefined {
  const { line, args, escape, base, heredocs, report } = draft;
  if (!checkCount(draft, args.end - args.start)) return undefined;
  const inner = readHead(line, args, escape);
  const name = inner.keyword.text.toUpperCase();
  if (name === "ONBUILD") {
    report("InvalidTrigger", inner.keyword.span, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", {
      help: "write one ONBUILD",
    });
    return undefined;
  }
  if (inner.rule && !inner.rule.allowedInOnbuild) {
    report("InvalidTrigger", inner.keyword.span, `${name} isn't allowed as an ONBUILD trigger`);
    return undefined;
  }
  // what BuildKit's parser finds now; the rest, also whether there is anything, is checked when the trigger runs
  const reportNow: Report = (code, ...rest) => code === "BlankName" || report(code, ...rest);
  if (inner.rule?.form === "pairs" && inner.args.end > inner.args.start)
    buildPairs({ ...draft, ...inner, rule: inner.rule, heredocs: [], report: reportNow }, "env");
  else if (inner.rule && ["command", "json", "paths"].includes(inner.rule.form)) readJson(draft, inner.args);
  else if (name === "HEALTHCHECK") checkHealthcheckJson({ ...draft, args: inner.args });
  const bodies = heredocs.map(({ bodySpan, name: word }) => {
    const { source, start, end } = bodySpan;
    return `\n${source.text.slice(start, end)}${word}`;
  });
  return { kind: "onbuild", ...base, trigger: line.text.slice(args.start).replace(/\r+$/, "") + bodies.join("") };
}
