// `tsbuild [build]`: flags, progress, result.
import { renderDiagnostic, type BuildEvent, type Diagnostic } from "../../index.ts";
import { parseBuildArguments, type BuildArguments } from "../build-args.ts";
import { openEngine } from "../open-engine.ts";
import { createRenderer } from "../progress/renderer.ts";
import type { Terminal } from "../terminal.ts";

export async function build(words: readonly string[], terminal: Terminal): Promise<number> {
  const given = await parseBuildArguments(words, terminal.cwd, terminal.environment);
  if (typeof given === "string") {
    terminal.print(`${given}\n`);
    return 0;
  }
  if (given.call.name === "build") return run(given, terminal);
  const { call } = await import("./call.ts");
  return call(given, terminal);
}

async function run(given: BuildArguments, terminal: Terminal): Promise<number> {
  if (!given.isQuiet) for (const note of given.notes) terminal.stderr.write(`warning: ${note}\n`);
  const warnings: Diagnostic[] = [];
  const renderer = await createRenderer(given.progress, terminal.stderr, terminal.environment);
  const onEvent = (event: BuildEvent): void => {
    if (event.kind === "diagnostic" && event.diagnostic.severity === "warning") warnings.push(event.diagnostic);
    renderer.event(event);
  };
  try {
    await using engine = await openEngine(terminal, { ...given, onEvent });
    const { stdin, writeStdout, signal } = terminal;
    const result = await engine.build({ ...given.build, stdin, writeStdout, signal });
    renderer.end();
    if (given.isQuiet) {
      if (result.imageId !== undefined) terminal.print(`${result.imageId}\n`);
      return 0;
    }
    if (given.progress !== "rawjson" && given.progress !== "none") {
      showWarnings(warnings, terminal);
      if (result.manifestDigest !== undefined)
        terminal.stderr.write(`image ${result.manifestDigest}${result.names.map((name) => `\n  ${name}`).join("")}\n`);
    }
    return 0;
  } catch (error) {
    renderer.end();
    throw error;
  }
}

function showWarnings(warnings: readonly Diagnostic[], terminal: Terminal): void {
  if (warnings.length === 0) return;
  const { color, columns } = terminal.stderr;
  terminal.stderr.write(` ${warnings.length} warning${warnings.length === 1 ? "" : "s"} found:\n`);
  for (const warning of warnings) terminal.stderr.write(`${renderDiagnostic(warning, { color, width: columns() })}\n`);
}
