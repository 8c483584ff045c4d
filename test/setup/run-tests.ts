// Runs the checks and the vitest projects in order, each to its end, and prints the sum of their counts as the last line.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const CHECKS = ["typecheck", "lint", "format", "unused", "build", "package", "smoke", "coverage:reference"];
const PROJECTS = ["unit", "integration", "conformance"];

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[];
}

const wanted = process.argv.slice(2);
const outputs = mkdtempSync(join(tmpdir(), "tsbuild-test-"));
let passed = 0;
let failed = 0;

for (const check of CHECKS) {
  if (wanted.length > 0 && !wanted.includes(check)) continue;
  console.log(`\n== ${check}`);
  const { status } = spawnSync("npm", ["run", "--silent", check], { stdio: "inherit" });
  if (status === 0) passed++;
  else failed++;
}

for (const project of PROJECTS) {
  if (wanted.length > 0 && !wanted.includes(project)) continue;
  console.log(`\n== ${project}`);
  const file = join(outputs, `${project}.json`);
  const args = [
    "run",
    "--config",
    "test/vitest.config.ts",
    "--project",
    project,
    "--reporter=default",
    "--reporter=json",
  ];
  const { status } = spawnSync("vitest", [...args, `--outputFile.json=${file}`], { stdio: "inherit" });
  const counts = readCounts(file);
  passed += counts.passed;
  // A run that ended badly without a failed test (a file that does not load, an unhandled error) is one failure.
  failed += counts.failed === 0 && status !== 0 ? 1 : counts.failed;
}

rmSync(outputs, { recursive: true, force: true });
console.log(`\n${String(passed)} passed, ${String(failed)} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

/** Skipped tests count as failed: nothing is left out silently. */
function readCounts(file: string): { readonly passed: number; readonly failed: number } {
  try {
    const report = JSON.parse(readFileSync(file, "utf8")) as Report;
    return { passed: report.numPassedTests, failed: report.numFailedTests + report.numPendingTests };
  } catch {
    return { passed: 0, failed: 0 };
  }
}
