// Every folder below fixtures/dockerfiles is a case: a Dockerfile, its AST, its diagnostics with fixes. Update with `vitest -u`.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { catalog, catalogEntry } from "../../../src/diagnostics/catalog.ts";
import { renderDiagnostic } from "../../../src/diagnostics/render.ts";
import type { Diagnostic } from "../../../src/diagnostics/diagnostic.ts";
import { applyChecks } from "../../../src/frontend/lint/check-directive.ts";
import { lint, lintRules } from "../../../src/frontend/lint/lint.ts";
import { parseDockerfile } from "../../../src/frontend/parser.ts";
import { formatAst } from "../../../src/frontend/print.ts";

const root = join(import.meta.dirname, "../../../fixtures/dockerfiles");
const cases = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith("/Dockerfile"))
  .map((path) => dirname(path))
  .sort();

/** Rows of the reference that a case covers: they stand in the name of its test. */
const rows: Readonly<Record<string, string>> = {
  "directives/all": "P01, P02, P04–P06",
  "directives/shebang": "P05",
  "directives/too-late": "P02",
  "errors/arity": "C01, L13, O08, O10–O12, O14, O15",
  "errors/before-from": "L07, L08",
  "errors/directive-repeated": "P03",
  "errors/directive-values": "P04, K30",
  "errors/empty": "L07",
  "errors/expose": "O05, O09",
  "errors/flags": "L09, L10, T32",
  "errors/foreign-syntax": "P05",
  "errors/foreign-syntax-slashes": "P05",
  "errors/from": "F01, F02",
  "errors/healthcheck": "O11",
  "errors/heredoc-destination": "H04",
  "errors/heredoc-unterminated": "H02",
  "errors/json": "L11, T46",
  "errors/many": "L08",
  "errors/mounts": "M01–M03, M40, M45, M60, M61, R04, R05",
  "errors/no-stages": "L07",
  "errors/onbuild": "O12",
  "errors/only-comments": "L07",
  "errors/pairs": "L13, O14",
  "errors/unknown-instruction": "L06",
  "heredocs/copy": "H01, H03, H04",
  "heredocs/not-one": "H01, T41",
  "heredocs/onbuild": "H01, O12",
  "heredocs/run": "H01–H03, H06, T41",
  "instructions/comments": "L03, P06, K20",
  "instructions/config": "O01, O02, O05–O11, O13",
  "instructions/copy-add": "C01, C12–C14, L09, L11",
  "instructions/from": "F01, O14",
  "instructions/run": "L09, L11, R06, R07",
  "instructions/variables": "L12, L13, O03, O04, O14, T42",
  "lines/bom-crlf": "L01, L02",
  "lines/continuations": "L03–L05, T42",
  "lines/escape-backtick": "P04, L04, T42",
  "lines/last-line": "L05",
  "lines/whitespace": "L03, L06, L12",
  "lines/wide": "L08",
  "lint/fatal": "K33",
  "lint/instructions": "K03, K04, K07, K08, K12, K13, K21, K22",
  "lint/names": "K01, K02, K04–K06, K20, K33",
  "lint/scripts": "H05",
  "lint/shell": "K07",
  "lint/skipped": "K30, K32, P06",
};

function results(folder: string): {
  readonly ast: string;
  readonly found: readonly Diagnostic[];
  readonly failure: string | undefined;
} {
  const source = { path: "Dockerfile", text: readFileSync(join(root, folder, "Dockerfile"), "utf8") };
  const { dockerfile, diagnostics } = parseDockerfile(source);
  const later = dockerfile.stages
    .flatMap(({ instructions }) => instructions)
    .flatMap((node) => (node.kind === "run" ? (node.mountProblems ?? []) : []));
  const checked = applyChecks(dockerfile, [...diagnostics, ...later, ...lint(dockerfile)]);
  return { ast: formatAst(dockerfile), found: checked.diagnostics, failure: checked.failure };
}

describe("golden Dockerfiles", () => {
  test.each(cases.map((folder) => [folder, rows[folder] ?? ""]))("%s (%s)", async (folder) => {
    const { ast, found, failure } = results(folder);
    const blocks = found.map((diagnostic) => {
      const fix = diagnostic.fix ? `\n  fix: ${JSON.stringify(diagnostic.fix.text)}` : "";
      return renderDiagnostic(diagnostic, { color: false, width: 100 }) + fix;
    });
    if (failure !== undefined) blocks.push(failure);
    if (blocks.length === 0) blocks.push("none");
    await expect(ast).toMatchFileSnapshot(join(root, folder, "ast.json"));
    await expect(`${blocks.join("\n\n")}\n`).toMatchFileSnapshot(join(root, folder, "diagnostics.txt"));
  });

  test("every code of a fixture is in the catalogue, and every code that the front end reports has a fixture", () => {
    const seen = new Set(cases.flatMap((folder) => results(folder).found.map(({ code }) => code)));
    for (const code of seen) expect(catalogEntry(code), code).toBeDefined();
    const elsewhere = new Set(["InvalidIgnorePattern", "InvalidPort", "InvalidSignal", "LineTooLong"]);
    const reported = [
      ...Object.entries(catalog).flatMap(([code, { category }]) => (category === "check" ? [] : [code])),
      ...lintRules.map(({ code }) => code),
      "ExposeInvalidFormat",
    ];
    expect(reported.filter((code) => !seen.has(code) && !elsewhere.has(code))).toEqual([]);
  });
});
