// What a Dockerfile's instructions are and which of them make the image, read without tsbuild's parser: an explanation must not hang on what it explains.
import { dockerfileText, type FuzzCase } from "./fuzz-case.ts";

export interface Written {
  /** In capitals; of a trigger, the name that it has without ONBUILD. */
  readonly name: string;
  /** Builder flags as written: "--exclude=*.md". */
  readonly flags: readonly string[];
  /** What follows the flags, continued lines joined, without the bodies of heredocs. */
  readonly text: string;
  /** Bodies of heredocs, with their last lines. */
  readonly body: readonly string[];
  /** First and last physical line, from 1. */
  readonly lines: readonly [first: number, last: number];
  readonly stage: number;
}

/** Every instruction, in order. */
export function instructionsOf(each: FuzzCase): Written[] {
  const lines = dockerfileText(each)
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .slice(0, -1);
  const escape = /^\s*#\s*escape\s*=\s*`\s*$/im.test(lines[0] ?? "") ? "`" : "\\";
  const found: Written[] = [];
  let stage = -1;
  for (let at = 0; at < lines.length; at++) {
    if (isNothing(lines[at]!)) continue;
    const first = at;
    let text = "";
    for (; at < lines.length; at++) {
      if (text !== "" && isNothing(lines[at]!)) continue;
      const continued = continuedLine(lines[at]!, escape);
      text += continued ?? lines[at]!;
      if (continued === undefined) break;
    }
    const body: string[] = [];
    // In JSON there is no heredoc.
    const isJson = /^\s*(ONBUILD\s+)?\w+(\s+--\S+)*\s*\[[^]*\]\s*$/i.test(text);
    for (const [, dash, , word] of text.matchAll(/(?<=\s\d*)<<(-?)(["']?)([\w.]+)\2/g)) {
      if (isJson || !/^\s*(ONBUILD\s+)?(RUN|COPY|ADD)\b/i.test(text)) break;
      const end = (line: string): boolean => (dash === "-" ? line.replace(/^\t+/, "") : line) === word;
      while (++at < lines.length) {
        body.push(lines[at]!);
        if (end(lines[at]!)) break;
      }
    }
    const named = takenApart(text);
    if (named.name === "FROM") stage += 1;
    found.push({ ...named, body, stage, lines: [first + 1, Math.min(at, lines.length - 1) + 1] });
  }
  return found;
}

function isNothing(line: string): boolean {
  return /^\s*(#.*)?$/.test(line);
}

/** Without its escape character; undefined = the line is the last one. */
function continuedLine(line: string, escape: string): string | undefined {
  const blankless = line.trimEnd();
  return blankless.endsWith(escape) && !blankless.endsWith(escape + escape) ? blankless.slice(0, -1) : undefined;
}

function takenApart(line: string): Pick<Written, "name" | "flags" | "text"> {
  const [, name = "", rest = ""] = /^\s*(\S+)\s*(.*)$/s.exec(line) ?? [];
  const flags: string[] = [];
  let text = rest;
  for (let flag = /^--\S+/.exec(text); flag; flag = /^--\S+/.exec(text)) {
    flags.push(flag[0]);
    text = text.slice(flag[0].length).trimStart();
  }
  return { name: name.toUpperCase(), flags, text };
}

/** The target's stage and those that it starts from, lowest first: indexes. */
export function chainOf(each: FuzzCase): number[] {
  const stages = instructionsOf(each).filter(({ name }) => name === "FROM");
  const target = each.args.findLast((word) => word.startsWith("--target="))?.slice("--target=".length) ?? "";
  const asked = stages.findLastIndex((from) => target === "" || nameOf(from) === target.toLowerCase());
  const chain: number[] = [];
  for (let stage = asked; stage !== -1; stage = parentOf(stages[stage]!, stages)) chain.unshift(stage);
  return chain;
}

/** The instructions that make the target's image, each with one entry in its history: those of its stages, and the triggers that they fire. */
export function lineageOf(each: FuzzCase): Written[] {
  const all = instructionsOf(each);
  return chainOf(each).flatMap((stage, at, chain) => {
    const triggers = all.filter((one) => one.name === "ONBUILD" && one.stage === chain[at - 1]);
    const own = all.filter((one) => one.stage === stage && !/^(FROM|ONBUILD)$/.test(one.name));
    return [...triggers.map((one) => ({ ...one, ...takenApart(one.text) })), ...own];
  });
}

/** Index of the stage that this stage starts from; -1 = an image. */
export function parentOf(from: Written, stages: readonly Written[]): number {
  const [image = ""] = from.text.split(/\s+/);
  return stages.slice(0, from.stage).findLastIndex((each) => nameOf(each) === image.toLowerCase());
}

/** In small letters; undefined = it has none. */
export function nameOf(from: Written): string | undefined {
  return /^\S+\s+AS\s+(\S+)/i.exec(from.text)?.[1]?.toLowerCase();
}

/** Of every flag of this name. */
export function flagValues({ flags }: Written, name: string): string[] {
  return flags.flatMap((flag) => (flag.startsWith(`${name}=`) ? flag.slice(name.length + 1) : []));
}
