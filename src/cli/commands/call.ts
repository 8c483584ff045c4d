// `--call=…`: asks something of the Dockerfile and prints the answer as docker buildx does. Progress goes to standard error, as in a build.
import { join } from "node:path";
import type { BuildEvent, Engine } from "../../index.ts";
import type { BuildArguments } from "../build-args.ts";
import { openEngine } from "../open-engine.ts";
import { createRenderer } from "../progress/renderer.ts";
import type { Terminal } from "../terminal.ts";

/** Answers; resolves to the exit code. */
export async function call(given: BuildArguments, terminal: Terminal): Promise<number> {
  const { name, format } = given.call;
  const isJson = format === "json";
  if (name === "subrequests.describe") {
    const { describeJson, describeText } = await import("../call/describe-answer.ts");
    terminal.print(isJson ? describeJson() : describeText());
    return 0;
  }
  if (name === "check") return check(given, terminal);
  const { signal, stdin } = terminal;
  const options = { ...given.build, stdin, signal };
  if (name === "graph") {
    const { text, ...graph } = await asked(given, terminal, (engine) => engine.graph(options));
    terminal.print(isJson ? `${JSON.stringify(graph, undefined, 2)}\n` : text);
    return 0;
  }
  const answers = await import("../call/outline-answer.ts");
  if (name === "outline") {
    const report = await asked(given, terminal, (engine) => engine.outline(options));
    terminal.print(isJson ? answers.outlineJson(report) : answers.outlineText(report));
  } else {
    const list = await asked(given, terminal, (engine) => engine.targets(options));
    terminal.print(isJson ? answers.targetsJson(list) : answers.targetsText(list));
  }
  return 0;
}

/** Prints warnings; exit status 1 where there is one, and the error that a build would end with. */
async function check(given: BuildArguments, terminal: Terminal): Promise<number> {
  const { format, ignoresStatus } = given.call;
  const { signal, stdin } = terminal;
  const report = await asked(given, terminal, (engine) => engine.check({ ...given.build, stdin, signal }));
  const { checkJson, checkText } = await import("../call/check-answer.ts");
  terminal.print(format === "json" ? checkJson(report) : checkText(report, shownPath(given, report.source.path)));
  if (report.error) throw report.error.cause;
  return report.warnings.length > 0 && !ignoresStatus ? 1 : 0;
}

/** The Dockerfile as the user named it. */
function shownPath({ build: { context, dockerfile } }: BuildArguments, path: string): string {
  if (dockerfile === "-") return "stdin";
  if (dockerfile !== undefined) return dockerfile;
  return /^(-|[a-z+]+:\/\/.*|git@.*)$/.test(context) ? path : join(context, path.slice(path.lastIndexOf("/") + 1));
}

async function asked<T>(given: BuildArguments, terminal: Terminal, ask: (engine: Engine) => Promise<T>): Promise<T> {
  const renderer = await createRenderer(given.progress, terminal.stderr, terminal.environment);
  const onEvent = (event: BuildEvent): void => {
    renderer.event(event);
  };
  try {
    await using engine = await openEngine(terminal, { caCert: given.caCert, isOffline: given.isOffline, onEvent });
    return await ask(engine);
  } finally {
    renderer.end();
  }
}
