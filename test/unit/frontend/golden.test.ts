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

/** Rows of the reference that a topic covers. */
const rows: Readonly<Record<string, string>> = {
  directives: "P01–P06, L01",
  errors: "L06–L11, L13, P03–P05, C01, F01, F02, H02, H04, M01–M61, O05–O15, R04, R05, T32",
  heredocs: "H01–H06, T41",
  instructions: "L09–L13, C01, C12–C14, F01, O01–O15, R06, R07, T42",
  lines: "L01–L05, L12, P04, T42",
  lint: "K01–K08, K12, K13, K20–K22, K30–K33, P06, T46",
};

function results(folder: string): {
  readonly ast: string;
  readonly found: readonly Diagnostic[];
  readonly failure: string | undefined;
} {
  const source = { path: "Dockerfile", text: readFileSync(join(root, folder, "Dockerfile"), "utf8") };
  const { dockerfile, diagnostics } = parseDockerfile(source);
  const checked = applyChecks(dockerfile, [...diagnostics, ...lint(dockerfile)]);
  return { ast: formatAst(dockerfile), found: checked.diagnostics, failure: checked.failure };
}

describe("golden Dockerfiles", () => {
  test.each(cases)("%s", async (folder) => {
    const topic = folder.split("/", 1)[0]!;
    expect(rows[topic], `rows of the topic ${topic}`).toBeDefined();
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
    const elsewhere = new Set(["InvalidIgnorePattern", "LineTooLong"]);
    const reported = [
      ...Object.entries(catalog).flatMap(([code, { category }]) => (category === "check" ? [] : [code])),
      ...lintRules.map(({ code }) => code),
      "ExposeInvalidFormat",
    ];
    expect(reported.filter((code) => !seen.has(code) && !elsewhere.has(code))).toEqual([]);
  });
});
