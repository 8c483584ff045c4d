// Certain remedies applied to a text. Pure: whether the text still means the same is the caller's question.
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import type { SourceFile } from "../diagnostics/source.ts";

export interface FixedText {
  readonly text: string;
  /** Those whose fix is in `text`, in file order. */
  readonly applied: readonly Diagnostic[];
}

/** `source` with the fixes of `found`. Of two that overlap the first counts, and the other is left for the next look. */
export function applyFixes(source: SourceFile, found: readonly Diagnostic[]): FixedText {
  const fixable = found
    .filter(({ fix }) => fix?.span.source === source)
    .sort((a, b) => a.fix!.span.start - b.fix!.span.start || a.fix!.span.end - b.fix!.span.end);
  const applied: Diagnostic[] = [];
  let text = "";
  let at = 0;
  for (const diagnostic of fixable) {
    const { span, text: replacement } = diagnostic.fix!;
    if (span.start < at || (span.start === at && applied.length > 0)) continue;
    text += source.text.slice(at, span.start) + replacement;
    at = span.end;
    applied.push(diagnostic);
  }
  return { text: text + source.text.slice(at), applied };
}
