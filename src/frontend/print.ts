// The AST as JSON for `tsbuild parse`: spans as lines and columns, no source text repeated. Pure.
import { positionAt, type SourceFile, type Span } from "../diagnostics/source.ts";
import type { Dockerfile } from "./ast.ts";

function isSpan(value: object): value is Span {
  return "source" in value && "start" in value && "end" in value;
}

function isSource(value: object): value is SourceFile {
  return "path" in value && "text" in value && !("span" in value) && typeof value.path === "string";
}

/** The file as indented JSON with a line end. */
export function formatAst(dockerfile: Dockerfile): string {
  const text = JSON.stringify(
    dockerfile,
    (_key, value: unknown) => {
      if (typeof value === "bigint") return value.toString();
      if (value === null || typeof value !== "object") return value;
      if (isSpan(value))
        return { start: positionAt(value.source, value.start), end: positionAt(value.source, value.end) };
      return isSource(value) ? value.path : value;
    },
    2,
  );
  // a span on one line reads better than on ten
  const position = String.raw`\{\s+"line": (\d+),\s+"column": (\d+)\s+\}`;
  const span = new RegExp(String.raw`\{\s+"start": ${position},\s+"end": ${position}\s+\}`, "g");
  const short = text.replace(span, '{ "start": { "line": $1, "column": $2 }, "end": { "line": $3, "column": $4 } }');
  return `${short}\n`;
}
