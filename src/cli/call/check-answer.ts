// The answer to `--call=check` as docker buildx shows it (reference K42): text with BuildKit's excerpts, or JSON. What only tsbuild checks comes after it.
import { basename } from "node:path";
import { excerptOfLines, type CheckReport, type CheckWarning, type SourceFile } from "../../index.ts";
import { goJson } from "./go-text.ts";
import { base64Of, locationOf } from "./location.ts";

/** `path` names the Dockerfile. Ends with an empty line where an error follows. */
export function checkText({ source, warnings, hints, error }: CheckReport, path: string): string {
  const count = warnings.length === 1 ? "1 warning has been found!" : `${warnings.length} warnings have been found!`;
  const head = warnings.length > 0 ? `Check complete, ${count}\n` : error ? "" : "Check complete, no warnings found.\n";
  const shown = (label: string) => (warning: CheckWarning) => warningText(label, warning, source, path);
  const blocks = [...inLineOrder(warnings).map(shown("WARNING")), ...inLineOrder(hints).map(shown("HINT"))];
  return `${head}${blocks.join("")}${error && blocks.length > 0 ? "\n" : ""}`;
}

function inLineOrder(warnings: readonly CheckWarning[]): readonly CheckWarning[] {
  const fileOf = ({ lines }: CheckWarning): string => lines.source.path;
  return warnings.toSorted((a, b) =>
    fileOf(a) === fileOf(b) ? a.lines.first - b.lines.first : fileOf(a) < fileOf(b) ? -1 : 1,
  );
}

function warningText(label: string, { diagnostic, lines }: CheckWarning, main: SourceFile, path: string): string {
  const { code, url, message } = diagnostic;
  const shownPath = lines.source === main ? path : lines.source.path;
  return `\n${label}: ${code}${url === undefined ? "" : ` - ${url}`}\n${message}\n${excerptOfLines({ ...lines, path: shownPath })}`;
}

/** BuildKit's `frontend.lint`, without the LLB definition of its sources; `hints` are ours. */
export function checkJson({ source, warnings, hints, error }: CheckReport): string {
  const sources = [...new Set([source, ...[...warnings, ...hints].map(({ lines }) => lines.source)])];
  const shown = ({ diagnostic, lines }: CheckWarning) => {
    const { code, description, url, message } = diagnostic;
    return {
      ruleName: code,
      ...(description === undefined ? {} : { description }),
      ...(url === undefined ? {} : { url }),
      detail: message,
      location: locationOf(lines, sources),
    };
  };
  return goJson({
    // an empty list of Go's
    warnings: warnings.length === 0 ? null : warnings.map(shown),
    ...(hints.length === 0 ? {} : { hints: hints.map(shown) }),
    sources: sources.map((one) => ({
      filename: one === source ? basename(one.path) : one.path,
      data: base64Of(one),
      language: "Dockerfile",
    })),
    ...(error === undefined
      ? {}
      : {
          buildError: {
            message: errorMessage(error.cause),
            location: error.lines ? locationOf(error.lines, sources) : {},
          },
        }),
  });
}

function errorMessage({ message, help, diagnostics }: NonNullable<CheckReport["error"]>["cause"]): string {
  const guess = /^did you mean "(.*)"\?$/.exec(diagnostics[0]?.help ?? help ?? "")?.[1];
  return guess === undefined ? message : `${message} (did you mean ${guess}?)`;
}
