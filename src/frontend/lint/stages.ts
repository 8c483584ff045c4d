// Names of stages and comments that describe them: K05 DuplicateStageName, K06 ReservedStageName, K20 InvalidDefinitionDescription.
import type { Diagnostic } from "../../diagnostics/diagnostic.ts";
import type { ArgInstruction, Dockerfile, FromInstruction, Word } from "../ast.ts";
import { goQuote } from "../../base/go-text.ts";
import { warn, type LintRule } from "./rule.ts";

const reservedNames: ReadonlySet<string> = new Set(["scratch", "context"]);

function* duplicateStageName(file: Dockerfile): Generator<Diagnostic> {
  const seen = new Map<string, Word>();
  for (const { from } of file.stages) {
    if (!from.name) continue;
    const name = from.name.text.toLowerCase();
    const first = seen.get(name);
    if (first) {
      const related = [{ span: first.span, message: `stage "${name}" is declared here` }];
      const message = `Duplicate stage name ${goQuote(name)}, stage names should be unique`;
      yield warn("DuplicateStageName", from.name.span, message, { related });
    } else seen.set(name, from.name);
  }
}

function* reservedStageName(file: Dockerfile): Generator<Diagnostic> {
  for (const { from } of file.stages) {
    const name = from.name?.text.toLowerCase();
    if (!from.name || name === undefined || !reservedNames.has(name)) continue;
    const message = `Stage name should not use the same name as reserved stage ${goQuote(name)}`;
    yield warn("ReservedStageName", from.name.span, message, { help: "choose another name" });
  }
}

function* definitionDescription(file: Dockerfile): Generator<Diagnostic> {
  const args = [...file.metaArgs, ...file.stages.flatMap((stage) => stage.instructions)];
  for (const { from } of file.stages) {
    if (from.name) yield* checkDescription("FROM", [from.name.text.toLowerCase()], from);
  }
  for (const arg of args) {
    if (arg.kind === "arg")
      yield* checkDescription(
        "ARG",
        arg.args.map(({ key }) => key.text),
        arg,
      );
  }
}

function* checkDescription(
  instruction: string,
  names: readonly string[],
  node: ArgInstruction | FromInstruction,
): Generator<Diagnostic> {
  const comment = node.comments.at(-1);
  if (comment === undefined || names.includes(comment.split(" ", 1)[0]!)) return;
  const example = names.length > 1 ? "<arg_key>" : names[0]!;
  const message = `Comment for ${instruction} should follow the format: \`# ${example} <description>\``;
  yield warn("InvalidDefinitionDescription", node.keyword.span, message);
}

export const stageRules: readonly LintRule[] = [
  { code: "DuplicateStageName", scope: "file", run: duplicateStageName },
  { code: "ReservedStageName", scope: "file", run: reservedStageName },
  { code: "InvalidDefinitionDescription", scope: "file", run: definitionDescription },
];
