// Runs the checks and the vitest projects in order, each to its end, names what failed, and prints the sum of the counts
// as the last line: where only the end of a log is kept, the end says what is wrong.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

const CHECKS = ["typecheck", "lint", "format", "unused", "build", "package", "smoke", "coverage:reference"];
const PROJECTS = ["unit", "integration", "conformance"];

/** How many characters of a failure's message the summary repeats. */
const MESSAGE_LIMIT = 2_000;

/** What is read of vitest's JSON report. */
interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly testResults: readonly FileResult[];
}

interface FileResult {
  readonly name: string;
  readonly status: string;
  readonly message: string;
  readonly assertionResults: readonly {
    readonly status: string;
    readonly fullName: string;
    readonly failureMessages: readonly string[];
  }[];
}

/** What one check or project adds to the sum; `failures` says a failed test each, its name and why. */
interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly failures: readonly string[];
}

const wanted = process.argv.slice(2);
const outputs = mkdtempSync(join(tmpdir(), "tsbuild-test-"));
let passed = 0;
let failed = 0;
const failures: string[] = [];

for (const check of CHECKS) {
  if (wanted.length > 0 && !wanted.includes(check)) continue;
  console.log(`\n== ${check}`);
  const { status } = spawnSync("npm", ["run", "--silent", check], { stdio: "inherit" });
  if (status === 0) {
    passed++;
  } else {
    failed++;
    failures.push(`npm run ${check}: exit code ${String(status)}`);
  }
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
  failures.push(...counts.failures);
  // A run that ended badly without a failed test (a file that does not load, an unhandled error) is one failure.
  const unnamed = counts.failed === 0 && status !== 0;
  if (unnamed) failures.push(`${project}: no test failed, yet vitest ended with exit code ${String(status)}`);
  failed += unnamed ? 1 : counts.failed;
}

rmSync(outputs, { recursive: true, force: true });
if (failures.length > 0) console.log(`\n== failed\n${failures.join("\n\n")}`);
console.log(`\n${String(passed)} passed, ${String(failed)} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

/** Skipped tests count as failed: nothing is left out silently. */
function readCounts(file: string): Counts {
  try {
    const report = JSON.parse(readFileSync(file, "utf8")) as Report;
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests + report.numPendingTests,
      failures: report.testResults.flatMap(failuresOf),
    };
  } catch {
    return { passed: 0, failed: 0, failures: [] };
  }
}

function failuresOf({ name, status, message, assertionResults }: FileResult): readonly string[] {
  const file = relative(process.cwd(), name);
  const tests = assertionResults
    .filter((test) => test.status !== "passed")
    .map((test) => `${file}: ${test.fullName} (${test.status})\n${clip(test.failureMessages.join("\n"))}`);
  // A file that does not load has no tests to blame.
  return tests.length === 0 && status === "failed" ? [`${file}:\n${clip(message)}`] : tests;
}

/** Without the frames inside vitest, which say nothing about the test. */
function clip(stack: string): string {
  const message = stack.replaceAll(/^ +at .*\/node_modules\/.*\n?|^ +at new Promise .*\n?/gm, "").trimEnd();
  return message.length > MESSAGE_LIMIT ? `${message.slice(0, MESSAGE_LIMIT)} …` : message;
}
