// `npm run fuzz:diff`: random Dockerfiles and contexts, built with docker (BuildKit) and with tsbuild, edited, built again; prints and keeps, made small,
// what differs and is not explained in explained.ts. Exit status: 0 = nothing is left unexplained, 1 = something is, 2 = nothing could be compared.
//
//   npm run fuzz:diff -- [--seeds N] [--from SEED] [--seed SEED]… [--docker "COMMAND"] [--jobs N] [--out FOLDER] [--edits N] [--shrink N] [--record] [--verbose]
//
// In the folder of `--out`, verdicts.ndjson has a line for every seed: what both said, and each difference with the reason for it.
// `--edits N`: every Nth seed is edited and built again (default 2, 0 = none); `--shrink N`: builds spent on making a failing case small (default 60).
// `--record` builds each seed once and keeps what came out in fixtures/fuzz, for the test that needs no docker.
// A seed means the same case for ever, as long as test/fuzz/generate stays as it is. Seeds from 10000 on are drawn wider (generate/wide.ts).
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { dockerBuilder, run, tsbuildBuilder } from "./builders.ts";
import { dockerfileText, writeContext, type FuzzCase } from "./fuzz-case.ts";
import { drawEdit, type Edit } from "./generate/edits.ts";
import { generateCase } from "./generate/generate.ts";
import { inputText, writeGolden } from "./golden.ts";
import { judge, type Finding, type Judge, type Verdict } from "./judge.ts";
import { preparePlace } from "./place.ts";
import { shrink } from "./shrink.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "20" },
    from: { type: "string", default: "1" },
    seed: { type: "string", multiple: true, default: [] },
    docker: { type: "string", default: "docker" },
    jobs: { type: "string", default: "2" },
    out: { type: "string", default: join(tmpdir(), "tsbuild-fuzz-found") },
    edits: { type: "string", default: "2" },
    shrink: { type: "string", default: "60" },
    record: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
  },
});

const folder = mkdtempSync(join(tmpdir(), "tsbuild-fuzz-"));
try {
  process.exitCode = await main();
} catch (error) {
  console.error(`fuzz: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function main(): Promise<number> {
  const command = values.docker.split(" ");
  const version = await run([...command, "version"], {});
  if (version.code !== 0)
    throw new Error(
      `no docker engine answers "${values.docker} version": ${version.stderr.trim()}; name the command with --docker`,
    );
  const place = await preparePlace(folder, values.record ? "as recorded" : "of this run");
  const judged: Judge = { docker: dockerBuilder(command, place), tsbuild: tsbuildBuilder(place), place };
  const first = number("from");
  const given = values.seed.map((text) => wholeNumber("seed", text));
  const seeds = given.length > 0 ? [...given] : Array.from({ length: number("seeds") }, (_, at) => first + at);
  const count = seeds.length;
  const total = { both: 0, neither: 0, one: 0, comparisons: 0, cutOff: 0, explained: 0, unexplained: 0 };
  const reasons = new Map<string, number>();
  const work = async (): Promise<void> => {
    for (let seed = seeds.shift(); seed !== undefined; seed = seeds.shift()) {
      const verdict = await judgeSeed(judged, seed);
      total[verdict.first] += 1;
      total.comparisons += verdict.comparisons;
      total.cutOff += verdict.cutOff;
      for (const { why } of verdict.findings) {
        total[why === undefined ? "unexplained" : "explained"] += 1;
        if (why !== undefined) reasons.set(why, (reasons.get(why) ?? 0) + 1);
      }
    }
  };
  await Promise.all(Array.from({ length: number("jobs") }, work));
  for (const [why, count] of [...reasons].toSorted(([, a], [, b]) => b - a))
    console.log(`${String(count).padStart(6)} × ${why}`);
  console.log(
    `${count} ${given.length > 0 ? "seeds" : `seeds from ${first}`}: ${total.both} built by both, ${total.neither} by neither, ${total.one} by one; ${total.comparisons} comparisons, ` +
      `${total.explained} differences explained, ${total.unexplained} not; ${total.cutOff} steps that docker ran again and tsbuild did not`,
  );
  return total.unexplained === 0 ? 0 : 1;
}

function number(name: "seeds" | "from" | "jobs" | "edits" | "shrink"): number {
  return wholeNumber(name, values[name]);
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new Error(`--${name}: "${text}" is no number`);
  return value;
}

async function judgeSeed(judged: Judge, seed: number): Promise<Verdict> {
  const fuzzCase = generateCase(seed);
  const edits = values.record ? 0 : number("edits");
  const edit = edits > 0 && seed % edits === 0 ? drawEdit(seed, fuzzCase) : undefined;
  const verdict = await judge(judged, { name: `seed-${seed}`, fuzzCase, edit, repeats: seed % 4 === 0 });
  keepVerdict(seed, verdict);
  const faults = verdict.findings.filter(({ why }) => why === undefined);
  if (values.verbose) {
    console.log(`${faults.length === 0 ? "same" : "DIFF"}  ${seed}  ${verdict.first}`);
    if (verdict.first === "neither") console.log(verdict.errors.map((error) => `      ${mainLine(error)}`).join("\n"));
  }
  if (values.record && faults.length === 0) record(seed, fuzzCase, verdict);
  if (faults.length > 0) await reportSeed(judged, seed, fuzzCase, edit, faults);
  return verdict;
}

function keepVerdict(seed: number, { first, errors, findings }: Verdict): void {
  mkdirSync(resolve(values.out), { recursive: true });
  const line = JSON.stringify({ seed, first, errors: first === "both" ? [] : errors, findings });
  appendFileSync(join(resolve(values.out), "verdicts.ndjson"), `${line}\n`);
}

function record(seed: number, fuzzCase: FuzzCase, { findings, image }: Verdict): void {
  // The web server has another port each time, and a step that has the whole context has the Dockerfile.
  const text = dockerfileText(fuzzCase);
  if (text.includes("{http}") && /--mount=(?!\S*from=)\S*source=\./.test(text)) return;
  const explained = [...new Set(findings.flatMap(({ why }) => why ?? []))];
  writeGolden({ seed, input: inputText(fuzzCase), explained, image: image ?? null });
}

/** The line of an error that says what it is. */
function mainLine(error: string): string {
  const lines = error.split("\n");
  return lines.find((line) => /error/i.test(line)) ?? lines[0] ?? "";
}

async function reportSeed(
  judged: Judge,
  seed: number,
  fuzzCase: FuzzCase,
  edit: Edit | undefined,
  faults: readonly Finding[],
): Promise<void> {
  const wanted = kindOf(faults[0]!);
  const usedEdit = faults[0]!.when === "first build" ? undefined : edit;
  let [at, last] = [0, faults];
  const fails = async (each: FuzzCase): Promise<boolean> => {
    const trial = {
      name: `seed-${seed}-${at++}`,
      fuzzCase: each,
      edit: usedEdit,
      repeats: faults[0]!.when === "again, unchanged",
    };
    const found = (await judge(judged, trial)).findings.filter((each) => each.why === undefined);
    if (!found.some((each) => kindOf(each) === wanted)) return false;
    last = found;
    return true;
  };
  const small = await shrink(fuzzCase, fails, number("shrink"));
  keep(seed, small, usedEdit, textOf(seed, small, usedEdit, last));
}

/** What makes two findings the same fault, roughly. */
function kindOf({ where, when, docker, tsbuild }: Finding): string {
  return `${when} ${where.split(/[ .[]/)[0]} ${docker === undefined} ${tsbuild === undefined}`;
}

function textOf(seed: number, small: FuzzCase, edit: Edit | undefined, findings: readonly Finding[]): string {
  const lines = [`seed ${seed}${small.args.length > 0 ? `, ${small.args.join(" ")}` : ""}`];
  lines.push(
    ...dockerfileText(small)
      .split("\n")
      .map((line) => `  │ ${line}`),
  );
  if (small.ignore.length > 0) lines.push(`  .dockerignore: ${JSON.stringify(small.ignore)}`);
  for (const file of small.files) lines.push(`  ${JSON.stringify(file)}`);
  if (edit) lines.push(`  edit: ${JSON.stringify(edit)}`);
  for (const { when, where, docker, tsbuild } of findings.slice(0, 8))
    lines.push(
      `  ${when}: ${where}`,
      `    docker:  ${docker ?? "(not there)"}`,
      `    tsbuild: ${tsbuild ?? "(not there)"}`,
    );
  if (findings.length > 8) lines.push(`  and ${findings.length - 8} more`);
  return `${lines.join("\n")}\n`;
}

/** Keeps the case as a context that either builder takes, with what was found beside it. */
function keep(seed: number, small: FuzzCase, edit: Edit | undefined, text: string): void {
  const place = join(resolve(values.out), `seed-${seed}`);
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place, { recursive: true });
  writeContext(small, join(place, "context"));
  writeFileSync(join(place, "case.json"), `${JSON.stringify({ ...small, edit }, null, 1)}\n`);
  writeFileSync(join(place, "found.txt"), text);
  console.log(`${text}  kept in ${place}: docker build ${small.args.join(" ")} ${place}/context\n`);
}
