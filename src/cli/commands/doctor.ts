// `tsbuild doctor`: what works on this machine, one line each, with the remedy for what does not. Exit status 3 where a build could not run.
import { diagnoseMachine } from "../../index.ts";
import { BuildError } from "../../index.ts";
import type { Terminal } from "../terminal.ts";

export async function doctor(words: readonly string[], terminal: Terminal): Promise<number> {
  if (words.length > 0)
    throw new BuildError("usage", `unknown argument: ${words[0]}`, { help: "usage: tsbuild doctor" });
  const findings = await diagnoseMachine({ environment: terminal.environment });
  for (const { name, state, detail, remedy } of findings) {
    const mark = { good: "ok", degraded: "--", bad: "NO" }[state];
    terminal.print(`${mark}  ${name}: ${detail}\n${remedy === undefined ? "" : `    ${remedy}\n`}`);
  }
  return findings.some(({ state }) => state === "bad") ? 3 : 0;
}
