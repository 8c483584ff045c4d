// `tsbuild check [--fix] [flags] CONTEXT|FILE`: as `--check` of a build; with --fix what is certain is corrected in the Dockerfile first.
import { statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { rewriteFile } from "../../base/fs-atomic.ts";
import { BuildError, formatLocation, messageOf, spanText, type FixReport } from "../../index.ts";
import { parseBuildArguments, type BuildArguments } from "../build-args.ts";
import { openEngine } from "../open-engine.ts";
import type { Terminal } from "../terminal.ts";
import { call } from "./call.ts";

const USAGE = `Usage: tsbuild check [--fix] [flags] CONTEXT|FILE

Checks a Dockerfile and builds nothing. Exit status 1 where there is a warning or an error.
  --fix                       first correct what is certain in the Dockerfile, and say what was changed
  --call=check,format=json    print the result as JSON
All flags of a build may be given: tsbuild build --help lists them.
`;

export async function check(words: readonly string[], terminal: Terminal): Promise<number> {
  const flags = words.filter((word) => word !== "--fix");
  const given = await parseBuildArguments([...flags, "--check"], terminal.cwd, terminal.environment);
  if (typeof given === "string") {
    terminal.print(USAGE);
    return 0;
  }
  const wanted = ofFile(given, terminal.cwd);
  if (flags.length < words.length) await fix(wanted, terminal);
  return call(wanted, terminal);
}

/** A file in the place of the context is the Dockerfile of its directory. */
function ofFile(given: BuildArguments, cwd: string): BuildArguments {
  const { build } = given;
  const path = resolve(cwd, build.context);
  if (build.context === "-" || statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return given;
  if (build.dockerfile !== undefined)
    throw new BuildError("usage", `two Dockerfiles given: ${build.dockerfile} and ${build.context}`, {
      help: "leave out -f, or give the context",
    });
  return { ...given, build: { ...build, context: dirname(path), dockerfile: build.context } };
}

async function fix(given: BuildArguments, terminal: Terminal): Promise<void> {
  const { build } = given;
  if (build.context === "-" || build.dockerfile === "-") throw notWritable();
  await using engine = await openEngine(terminal, { caCert: given.caCert, isOffline: given.isOffline });
  const report = await engine.fix({ ...build, signal: terminal.signal });
  if (report.file === undefined) throw notWritable();
  if (report.fixed.length === 0) return;
  try {
    rewriteFile(report.file, report.text);
  } catch (error) {
    throw new BuildError("export", `cannot write ${report.file}: ${messageOf(error)}`, { cause: error });
  }
  // standard output is for the JSON, where that is asked for
  const print = given.call.format === "json" ? terminal.stderr.write : terminal.print;
  print(fixedText(report));
}

function notWritable(): BuildError {
  return new BuildError("usage", "--fix needs a Dockerfile in a directory", {
    help: "standard input, URLs and repositories are not written to",
  });
}

function fixedText({ fixed }: FixReport): string {
  const lines = fixed.flatMap(({ code, span, fix: remedy }) => {
    if (!remedy) return [];
    const [before, after] = [spanText(remedy.span), remedy.text].map((text) => JSON.stringify(text));
    return [`fixed ${formatLocation(span)}: ${before} → ${after} [${code}]\n`];
  });
  return `${lines.join("")}\n`;
}
