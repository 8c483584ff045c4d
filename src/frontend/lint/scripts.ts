// Ours, about what RUN executes: HeredocWithoutErrexit and HugeUserId. `RUN <<EOF` gives all lines to one shell, which goes on after a command that failed and ends with what the last one says:
// unlike lines joined by `&&`, and unlike what most who write it expect. Reads the script only as far as it must.
import { formatBytes } from "../../base/size-text.ts";
import type { Diagnostic } from "../../diagnostics/diagnostic.ts";
import type { Dockerfile, Heredoc, RunInstruction, Stage } from "../ast.ts";
import { warn, type LintRule } from "./rule.ts";

function* heredocWithoutErrexit(stage: Stage, file: Dockerfile): Generator<Diagnostic> {
  let shell = inheritedShell(stage, file);
  for (const node of stage.instructions) {
    if (node.kind === "shell") shell = node.args;
    if (node.kind !== "run") continue;
    const [script, ...more] = node.heredocs;
    if (!script || more.length > 0 || !goesOnAfterFailure(node, script, shell)) continue;
    const [first, ...others] = commandsOf(script.content);
    if (first === undefined || others.length === 0) continue;
    const message = `${node.keyword.text} goes on after a line of the heredoc that fails, because nothing sets errexit`;
    yield warn("HeredocWithoutErrexit", script.span, message, { help: "begin the heredoc with set -e" });
  }
}

const shellName = /^(?:\/(?:usr\/)?bin\/)?(?:ba|da|a|k|z)?sh$/;

/** Whether a shell that we know runs the heredoc, and nothing tells it to stop at the first failure. */
function goesOnAfterFailure({ command }: RunInstruction, { content }: Heredoc, shell: readonly string[]): boolean {
  if (command.kind !== "shell") return false;
  const words =
    command.text === "" ? interpreterOf(content, shell) : command.text.replace(/\s*\d*<<.*$/s, "").split(/\s+/);
  const [name = "", ...options] = words;
  if (!shellName.test(name)) return false;
  // another file or text than the heredoc is what it runs
  if (command.text !== "" && !options.every((option) => /^[-+]/.test(option) && !/^-[a-z]*c/.test(option)))
    return false;
  return (
    !options.some(setsErrexit) &&
    !options.includes("errexit") &&
    !/^[ \t]*set[ \t].*(?:-[a-z]*e|errexit)/m.test(content)
  );
}

function setsErrexit(option: string): boolean {
  return /^-[a-z]*e/.test(option);
}

/** The words of `#!`, else the stage's shell. */
function interpreterOf(content: string, shell: readonly string[]): readonly string[] {
  const shebang = /^#!\s*(.*)/.exec(content)?.[1];
  if (shebang === undefined) return shell;
  const words = shebang.trim().split(/\s+/);
  return words[0]?.endsWith("/env") ? words.slice(1).filter((word) => word !== "-S") : words;
}

function inheritedShell(stage: Stage, file: Dockerfile): readonly string[] {
  const base = stage.from.image.text.toLowerCase();
  const below = file.stages.slice(0, stage.index).findLast(({ from }) => from.name?.text.toLowerCase() === base);
  if (!below) return ["/bin/sh", "-c"];
  const own = below.instructions.findLast((node) => node.kind === "shell");
  return own ? own.args : inheritedShell(below, file);
}

/** Lines that can fail: continued and joined ones are one, comments, settings, keywords and the bodies of inner heredocs are none. */
function commandsOf(script: string): readonly string[] {
  const commands: string[] = [];
  let isJoined = false;
  let terminator: RegExp | undefined;
  for (const raw of script.split("\n")) {
    const line = raw.trim();
    if (terminator) {
      if (terminator.test(raw)) terminator = undefined;
      continue;
    }
    if (line === "" || line.startsWith("#")) continue;
    const inner = /<<-?\s*(["']?)([A-Za-z_]\w*)\1/.exec(line)?.[2];
    if (inner !== undefined) terminator = new RegExp(`^\\t*${inner}\\r?$`);
    if (!isJoined && !isHarmless(line)) commands.push(line);
    isJoined = /(?:\\|&&|\|\|?)$/.test(line);
  }
  return commands;
}

function isHarmless(line: string): boolean {
  if (/^(?:set|shopt|export|umask|:|true|exit|do|done|then|else|fi|esac|\}|;;)(?:[\s;]|$)/.test(line)) return true;
  return /^[A-Za-z_]\w*=(?:"[^"`$]*"|'[^']*'|[^\s"'`$;&|]*)$/.test(line);
}

/** `lastlog` and `faillog` have a fixed place for each uid, so these make files of up to a terabyte, full of holes (pain 36). */
const HUGE_UID = 1_000_000;
/** Bytes of one user in lastlog(8). */
const LASTLOG_ENTRY = 292;
const addsUser = /(?:^|[\s;&|(])useradd\s([^;&|\n]*)/g;

function* hugeUserId(stage: Stage): Generator<Diagnostic> {
  for (const node of stage.instructions) {
    if (node.kind !== "run") continue;
    const { source, start, end } = node.span;
    for (const match of source.text.slice(start, end).matchAll(addsUser)) {
      const words = match[1]!.split(/[\s\\]+/);
      const id = uidIn(words);
      if (id === undefined || id < HUGE_UID || words.some(keepsNoLog)) continue;
      const at = start + match.index + match[0].indexOf("useradd");
      const message = `useradd with the uid ${id} makes /var/log/lastlog a file of ${formatBytes(id * LASTLOG_ENTRY)}, most of it holes`;
      const span = { source, start: at, end: at + "useradd".length };
      yield warn("HugeUserId", span, message, { help: "write useradd --no-log-init" });
    }
  }
}

/** The number after -u or --uid; undefined where it is none, or a variable. */
function uidIn(words: readonly string[]): number | undefined {
  for (const [i, word] of words.entries()) {
    const glued = /^(?:--uid=|-u)(\d+)$/.exec(word)?.[1];
    const text = glued ?? (/^(?:--uid|-[a-zA-Z]*u)$/.test(word) ? words[i + 1] : undefined);
    if (text !== undefined && /^\d{1,10}$/.test(text)) return Number(text);
  }
  return undefined;
}

function keepsNoLog(word: string): boolean {
  return word === "--no-log-init" || /^-[a-zA-Z]*l/.test(word);
}

export const scriptRules: readonly LintRule[] = [
  { code: "HeredocWithoutErrexit", scope: "stage", run: heredocWithoutErrexit },
  { code: "HugeUserId", scope: "stage", run: hugeUserId },
];
