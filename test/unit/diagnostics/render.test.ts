// Diagnostics as a terminal shows them (house style 2.4): carets stay below what they mark, and no text can do harm.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Diagnostic } from "../../../src/diagnostics/diagnostic.ts";
import { displayText, displayWidth } from "../../../src/diagnostics/display-width.ts";
import { excerptOfLines, renderDiagnostic, renderExcerpt } from "../../../src/diagnostics/render.ts";
import { positionAt, type Span } from "../../../src/diagnostics/source.ts";

const plain = { color: false, width: 100 };

function mark(text: string, marked: string, path = "Dockerfile"): Span {
  const start = text.indexOf(marked);
  return { source: { path, text }, start, end: start + marked.length };
}

/** BuildKit's excerpt of the lines of a span. */
function excerptOf({ source, start, end }: Span): string {
  const line = (offset: number): number => positionAt(source, offset).line;
  return excerptOfLines({ source, path: source.path, first: line(start), last: line(Math.max(start, end - 1)) });
}

describe("renderDiagnostic", () => {
  const text = "FROM golang AS build\nRUN make\n\n\n\nFROM alpine:3.20\nCOPY --from=bulid /app /app\n";
  const diagnostic: Diagnostic = {
    code: "StageNotFound",
    severity: "error",
    message: 'no stage or image named "bulid"',
    span: mark(text, "bulid"),
    help: 'did you mean "build"?',
    related: [{ span: mark(text, "build"), message: 'stage "build" is declared here' }],
  };

  test("O12: a trigger's fault is shown where the trigger is written, with the FROM that runs it", () => {
    const file = "FROM a AS b\nONBUILD USER x\nFROM b\n";
    const diagnosed = (written?: Span): Diagnostic => {
      const trigger = { runBy: mark(file, "FROM b"), index: 0, ...(written && { written }) };
      const source = { path: "ONBUILD of b", text: "USER x", trigger };
      return { code: "C", severity: "error", message: "no", span: { source, start: 5, end: 6 } };
    };
    const shown = (written?: Span): string[] => renderDiagnostic(diagnosed(written), plain).split("\n");
    const last = "    ╰─ Dockerfile:3:1: this FROM runs it";
    expect([shown()[0], shown()[2], shown().at(-1)]).toEqual([
      "ONBUILD of b:1:6: error: no [C]",
      "   1 | >>> USER x",
      last,
    ]);
    expect(shown(mark(file, "USER x"))).toEqual([
      "Dockerfile:2:14: error: no [C]",
      "--------------------",
      "   1 |     FROM a AS b",
      "   2 | >>> ONBUILD USER x",
      "     |                  ^",
      "   3 |     FROM b",
      "--------------------",
      last,
    ]);
    expect(shown(mark(file, "ONBUILD USER x")).slice(3, 5)).toEqual([
      "   2 | >>> ONBUILD USER x",
      `     |     ${"^".repeat(14)}`,
    ]);
  });

  test("L08: location, message, BuildKit's excerpt with a caret, help, related", () => {
    expect(renderDiagnostic(diagnostic, plain)).toBe(
      [
        'Dockerfile:7:13: error: no stage or image named "bulid" [StageNotFound]',
        "--------------------",
        "   5 |",
        "   6 |     FROM alpine:3.20",
        "   7 | >>> COPY --from=bulid /app /app",
        "     |                 ^^^^^",
        "--------------------",
        '  help: did you mean "build"?',
        '    ╰─ Dockerfile:1:16: stage "build" is declared here',
      ].join("\n"),
    );
  });

  test("colour adds nothing but colour", () => {
    const colored = renderDiagnostic(diagnostic, { color: true, width: 100 });
    expect(colored).toContain("\u001b[1;31m^^^^^\u001b[0m");
    // oxlint-disable-next-line no-control-regex
    expect(colored.replace(/\u001b\[[\d;]*m/g, "")).toBe(renderDiagnostic(diagnostic, plain));
  });

  test("a text that tries to control the terminal is shown, not obeyed", () => {
    const evil = "FROM \u001b]0;x\u0007\u202eboo\rbar\n";
    const span = mark(evil, "boo", "Docker\u001b[2Jfile");
    const rendered = renderDiagnostic({ code: "X", severity: "warning", message: "a\u001b[31mb", span }, plain);
    // oxlint-disable-next-line no-control-regex
    expect(rendered).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(rendered).toContain("␛]0;x␇�boo␍bar");
  });
});

describe("renderExcerpt", () => {
  const inRules = (span: Span, width = 100): readonly string[] => {
    const lines = renderExcerpt(span, { color: false, width }).split("\n");
    expect([lines[0], lines.at(-1)]).toEqual(["-".repeat(20), "-".repeat(20)]);
    return lines.slice(1, -1);
  };
  const caretLine = (text: string, marked: string, width = 100): readonly string[] =>
    inRules(mark(text, marked), width).slice(-2);

  test("tabs and wide characters keep the caret in place", () => {
    expect(caretLine("RUN\techo\t日本語 x🚀 here", "here")).toEqual([
      "   1 | >>> RUN    echo    日本語 x🚀 here",
      `     |     ${" ".repeat(11 + 4 + 7 + 4)}^^^^`,
    ]);
    expect(caretLine("LABEL e\u0301=日本 x", "日本")).toEqual([
      "   1 | >>> LABEL e\u0301=日本 x",
      "     |             ^^^^",
    ]);
  });

  test("several lines, an empty span, the end of the file", () => {
    expect(inRules(mark("a\nb\nc\nd\ne\nf\ng", "b\nc\nd\ne\nf")).join("\n")).toBe(
      "   1 |     a\n   2 | >>> b\n     |     ^\n   3 | >>> c\n   4 | >>> d\n   5 | >>> e\n   … |\n   7 |     g",
    );
    const source = { path: "x", text: "a\n" };
    expect(inRules({ source, start: 2, end: 2 }).join("\n")).toBe("   1 |     a\n   2 | >>>\n     |     ^");
    expect(inRules({ source, start: 0, end: 2 }).join("\n")).toBe("   1 | >>> a\n     |     ^");
  });

  test("a long line is cut around what is marked", () => {
    const line = `RUN ${"x".repeat(200)}HERE${"y".repeat(200)}`;
    const [shown, carets] = caretLine(line, "HERE", 60);
    expect(shown!.length).toBeLessThanOrEqual(60);
    expect(shown!.slice(carets!.indexOf("^"), carets!.lastIndexOf("^") + 1)).toBe("HERE");
  });

  test("whatever the text, the marked part is above the carets and the width is kept", () => {
    const chars = fc.string({
      unit: fc.constantFrom("a", "é", "日", "🚀", "\t", " ", "\u0301", "\u0007"),
      maxLength: 60,
    });
    fc.assert(
      fc.property(
        chars,
        fc.constantFrom("X", "XY", "日本"),
        chars,
        fc.integer({ min: 30, max: 90 }),
        (before, marked, after, width) => {
          const span = {
            source: { path: "p", text: before + marked + after },
            start: before.length,
            end: before.length + marked.length,
          };
          const [shown, carets] = inRules(span, width);
          expect(displayWidth(shown!)).toBeLessThanOrEqual(width);
          const column = displayWidth(carets!.slice(0, carets!.indexOf("^")));
          const columns: string[] = [];
          for (const char of shown!) {
            const size = displayWidth(char);
            if (size === 0) continue;
            columns.push(char, ...Array.from({ length: size - 1 }, () => ""));
          }
          const above = columns.slice(column, column + displayWidth(displayText(marked))).join("");
          expect(above).toBe(displayText(marked));
        },
      ),
      { numRuns: 800 },
    );
  });
});

describe("excerptOfLines (L08)", () => {
  test("credentials in URLs are not repeated, and the carets stay where they were", () => {
    const span = mark("ADD https://me:hunter2@h/x /bad", "/bad");
    expect(excerptOf(span)).toContain("ADD https://xx:xxxxxxx@h/x /bad");
    expect(renderExcerpt(span, { color: false, width: 80 }).split("\n").slice(1, -1)).toEqual([
      "   1 | >>> ADD https://xx:xxxxxxx@h/x /bad",
      `     |     ${" ".repeat(27)}^^^^`,
    ]);
  });

  test.each([
    [1, [1, 3]],
    [3, [1, 5]],
    [7, [5, 8]],
  ])("one line, at %i, has BuildKit's neighbours", (line, [from, to]) => {
    const text = "1\n2\n3\n4\n5\n6\n7\n8";
    const excerpt = excerptOf(mark(text, String(line))).split("\n");
    expect(excerpt[0]).toBe(`Dockerfile:${line}`);
    expect(excerpt[1]).toBe("-".repeat(20));
    expect(excerpt.slice(2, -2)).toEqual(
      Array.from(
        { length: to! - from! + 1 },
        (_, i) => `   ${from! + i} | ${from! + i === line ? ">>>" : "   "} ${from! + i}`,
      ),
    );
    expect(excerpt.slice(-2)).toEqual(["-".repeat(20), ""]);
  });
});
