// Ours: HeredocWithoutErrexit. `RUN <<EOF` gives all lines to one shell, which goes on after a command that failed and ends with what the last one says:
// unlike lines joined by `&&`, and unlike what most who write it expect. Reads the script only as far as it must.
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

export const scriptRules: readonly LintRule[] = [
  { code: "HeredocWithoutErrexit", scope: "stage", run: heredocWithoutErrexit },
];
