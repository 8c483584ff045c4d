// Records what docker buildx answers to the questions of fixtures/checks: each folder has a Dockerfile and answers.txt, in which every line that begins with "$ build" is a question.
// The tests hold tsbuild to these answers. Exit status: 0 = docker answers as recorded, 1 = it does not (with --record: it does now), 2 = nobody to ask.
//
//   node test/compare/checks.ts [--docker "COMMAND"] [--case NAME]… [--record]
import { spawnSync } from "node:child_process";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { temporaryFolder } from "./cases.ts";
import { CHECKS, checkCases, answersIn, wordsOf } from "./check-answers.ts";

const { values } = parseArgs({
  options: {
    docker: { type: "string", default: "docker" },
    case: { type: "string", multiple: true, default: [] },
    record: { type: "boolean", default: false },
  },
});

const [program = "", ...before] = values.docker.split(" ");
process.exitCode = main();

function main(): number {
  if (spawnSync(program, [...before, "version"]).status !== 0) {
    console.error(`no docker engine answers "${values.docker} version"; start one, or name the command with --docker`);
    return 2;
  }
  using folder = temporaryFolder();
  let differing = 0;
  for (const name of checkCases().filter((one) => values.case.length === 0 || values.case.includes(one))) {
    const file = join(CHECKS, name, "answers.txt");
    const recorded = readFileSync(file, "utf8");
    const context = join(folder.path, name);
    cpSync(join(CHECKS, name), context, { recursive: true });
    const answers = answersIn(recorded).map(({ question }) => `$ build ${question}\n${answerTo(question, context)}`);
    if (answers.join("") === recorded) continue;
    differing++;
    console.log(`${name}: ${values.record ? "recorded" : "docker answers otherwise"}`);
    if (values.record) writeFileSync(file, answers.join(""));
  }
  console.log(`${differing} of ${checkCases().length} differ`);
  return differing > 0 && !values.record ? 1 : 0;
}

/** What docker prints, without what only BuildKit has (LLB definitions), then how it ended. */
function answerTo(question: string, context: string): string {
  const words = [...before, "build", "--progress=plain", ...wordsOf(question), context];
  const { status, stdout, stderr } = spawnSync(program, words, { encoding: "utf8" });
  const shown = stdout.replaceAll(`${context}/`, "").replace(/,\n {6}"definition": \{\n.*?\n {6}\}/gs, "");
  const error = /^ERROR: (.*)$/m.exec(stderr.slice(stderr.lastIndexOf("\nERROR: ") + 1))?.[1];
  const said = error === undefined ? "" : `: ${error.replace(/^(?:failed to build: |failed to solve: )+/, "")}`;
  return `${shown.trimEnd()}${shown === "" ? "" : "\n"}[exit code ${status}${said}]\n`;
}
