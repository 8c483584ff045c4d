// Ours: InvalidCacheComment. A `# tsbuild:` comment that says nothing, or stands above what makes no layer, would be obeyed by nobody.
import type { Diagnostic } from "../../diagnostics/diagnostic.ts";
import type { Dockerfile, FromInstruction, Instruction } from "../ast.ts";
import { parseCacheComment } from "../cache-comment.ts";
import { stageInstructions, warn, type LintRule } from "./rule.ts";

const CACHED: ReadonlySet<string> = new Set(["add", "copy", "run", "workdir"]);

function* invalidCacheComment(file: Dockerfile): Generator<Diagnostic> {
  const nodes: (Instruction | FromInstruction)[] = [...file.metaArgs, ...stageInstructions(file)];
  for (const { kind, keyword, comments } of nodes) {
    const comment = parseCacheComment(comments);
    if (!comment) continue;
    for (const { message, help } of comment.problems)
      yield warn("InvalidCacheComment", keyword.span, message, { help });
    if (CACHED.has(kind)) continue;
    const message = `${keyword.text.toUpperCase()} makes no layer: ${comment.text} says nothing about it`;
    yield warn("InvalidCacheComment", keyword.span, message, { help: "write it above a RUN, COPY, ADD or WORKDIR" });
  }
}

export const cacheCommentRules: readonly LintRule[] = [
  { code: "InvalidCacheComment", scope: "file", run: invalidCacheComment },
];
