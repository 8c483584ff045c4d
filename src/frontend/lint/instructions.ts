// Single instructions: K03 NoEmptyContinuation, K07 JSONArgsRecommended, K08 MaintainerDeprecated,
// K12 MultipleInstructionsDisallowed, K13 LegacyKeyValueFormat, K21 ExposeProtoCasing, K22 ExposeInvalidFormat.
import type { Diagnostic, Fix } from "../../diagnostics/diagnostic.ts";
import type { Span } from "../../diagnostics/source.ts";
import type { ArgInstruction, Dockerfile, Instruction, Stage } from "../ast.ts";
import { parsePortSpec } from "../literals.ts";
import { stageInstructions, warn, type LintRule } from "./rule.ts";

function* emptyContinuation(file: Dockerfile): Generator<Diagnostic> {
  const args: readonly ArgInstruction[] = file.metaArgs;
  for (const { emptyContinuation: empty } of [...args, ...stageInstructions(file)]) {
    if (!empty) continue;
    const others = empty.lines.filter(({ start }) => start !== empty.last.start);
    const related = others.map((span) => ({ span, message: "this line is empty" }));
    const help = "remove the empty line, or make it a comment";
    const fix = withoutLines(empty.lines);
    yield warn("NoEmptyContinuation", empty.last, "Empty continuation line", { help, related, fix });
  }
}

/** Takes lines of one text out of it, in file order. */
function withoutLines(lines: readonly Span[]): Fix | undefined {
  const [first] = lines;
  if (!first) return undefined;
  const { source } = first;
  let text = "";
  let at = first.start;
  for (const { start, end } of lines) {
    text += source.text.slice(at, start);
    const newline = source.text.indexOf("\n", end);
    at = newline < 0 ? source.text.length : newline + 1;
  }
  return { span: { ...first, end: at }, text };
}

function* maintainer(file: Dockerfile): Generator<Diagnostic> {
  for (const node of stageInstructions(file)) {
    if (node.kind !== "maintainer") continue;
    const message = "Maintainer instruction is deprecated in favor of using label";
    const text = JSON.stringify(node.name.text).replaceAll("$", "\\$");
    const label = `LABEL org.opencontainers.image.authors=${text}`;
    yield warn("MaintainerDeprecated", node.keyword.span, message, { help: `write ${label}` });
  }
}

/** Whether a SHELL of this file is in force at the stage's start. */
function inheritsShell(stage: Stage, file: Dockerfile): boolean {
  let current: Stage | undefined = stage;
  while (current !== undefined) {
    const { index, from }: Stage = current;
    const base = from.image.text.toLowerCase();
    current = file.stages.slice(0, index).findLast((other) => other.from.name?.text.toLowerCase() === base);
    if (current?.instructions.some(({ kind }) => kind === "shell")) return true;
  }
  return false;
}

function* jsonArgs(stage: Stage, file: Dockerfile): Generator<Diagnostic> {
  let hasShell = inheritsShell(stage, file);
  for (const node of stage.instructions) {
    if (node.kind === "shell") hasShell = true;
    if (hasShell || (node.kind !== "cmd" && node.kind !== "entrypoint") || node.command.kind === "exec") continue;
    const { text } = node.keyword;
    const message = `JSON arguments recommended for ${text} to prevent unintended behavior related to OS signals`;
    const words = node.command.text.split(/\s+/);
    // plain words mean the same without a shell
    const isPlain = /^[\w./:=@%+,\s-]+$/.test(node.command.text) && !words[0]!.includes("=");
    const json = `[${words.map((word) => JSON.stringify(word)).join(", ")}]`;
    yield warn("JSONArgsRecommended", node.span, message, isPlain ? { help: `write ${text} ${json}` } : {});
  }
}

function* onlyLastCounts(stage: Stage): Generator<Diagnostic> {
  const previous = new Map<Instruction["kind"], Instruction>();
  for (const node of stage.instructions) {
    if (node.kind !== "cmd" && node.kind !== "entrypoint" && node.kind !== "healthcheck") continue;
    const earlier = previous.get(node.kind);
    if (earlier) {
      const rest = "instructions should not be used in the same stage because only the last one will be used";
      const related = [{ span: node.keyword.span, message: "this one replaces it" }];
      yield warn("MultipleInstructionsDisallowed", earlier.span, `Multiple ${node.keyword.text} ${rest}`, { related });
    }
    previous.set(node.kind, node);
  }
}

function* legacyPairs(stage: Stage): Generator<Diagnostic> {
  for (const node of stage.instructions) {
    if ((node.kind !== "env" && node.kind !== "label") || !node.isLegacy) continue;
    const { text } = node.keyword;
    const message = `"${text} key=value" should be used instead of legacy "${text} key value" format`;
    const [pair] = node.pairs;
    const { key, value } = pair!;
    // only then do the two forms expand to the same value
    const isPlain = value !== undefined && /^[\w./:@%+,-]+$/.test(value.text) && /^[\w.-]+$/.test(key.text);
    const plain = `${key.text}=${value?.text ?? ""}`;
    const options = isPlain ? { help: `write ${text} ${plain}`, fix: { span: pair!.span, text: plain } } : {};
    yield warn("LegacyKeyValueFormat", node.span, message, options);
  }
}

function* exposeFormat(stage: Stage): Generator<Diagnostic> {
  for (const node of stage.instructions) {
    if (node.kind !== "expose") continue;
    for (const { text, span } of node.ports) {
      const spec = /[$'"\\`]/.test(text) ? undefined : parsePortSpec(text);
      if (spec === undefined || "message" in spec) continue;
      const { rawProtocol, protocol, hasHostPart } = spec.value;
      if (rawProtocol !== rawProtocol.toLowerCase()) {
        const message = `Defined protocol '${text}' in EXPOSE instruction should be lowercase`;
        const at = { ...span, start: span.end - rawProtocol.length };
        yield warn("ExposeProtoCasing", at, message, { help: `write ${protocol}`, fix: { span: at, text: protocol } });
      }
      if (hasHostPart) {
        const rest = text.slice(text.lastIndexOf(":") + 1);
        const message = `EXPOSE instruction should not define an IP address or host-port mapping, found '${text}'`;
        yield warn("ExposeInvalidFormat", span, message, { help: `write ${rest}`, fix: { span, text: rest } });
      }
    }
  }
}

export const instructionLintRules: readonly LintRule[] = [
  { code: "NoEmptyContinuation", scope: "file", run: emptyContinuation },
  { code: "MaintainerDeprecated", scope: "file", run: maintainer },
  { code: "JSONArgsRecommended", scope: "stage", run: jsonArgs },
  { code: "MultipleInstructionsDisallowed", scope: "stage", run: onlyLastCounts },
  { code: "LegacyKeyValueFormat", scope: "stage", run: legacyPairs },
  { code: "ExposeProtoCasing", scope: "stage", run: exposeFormat },
];
