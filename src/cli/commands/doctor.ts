// `tsbuild doctor`: what works on this machine, one line each, with the remedy for what does not. Exit status 3 where a build could not run.
import { BuildError, diagnoseMachine, diagnoseUser, storeRoot, type Finding } from "../../index.ts";
import { processesOf } from "../open-engine.ts";
import { enterUserNamespace } from "../rootless.ts";
import type { Terminal } from "../terminal.ts";

export async function doctor(words: readonly string[], terminal: Terminal): Promise<number> {
  if (words.length > 0)
    throw new BuildError("usage", `unknown argument: ${words[0]}`, { help: "usage: tsbuild doctor" });
  const { environment, uid, isRootless } = terminal;
  if (uid !== 0 && !isRootless) {
    const userName = environment["USER"] ?? environment["LOGNAME"] ?? String(uid);
    const searchPath = `${environment["PATH"] ?? ""}:/usr/sbin:/sbin:/usr/bin:/bin`;
    const code = show(await diagnoseUser({ uid, userName, searchPath }), terminal);
    // Comes back only where this is not possible.
    if (code === 0) await enterUserNamespace(["doctor"]);
    return code;
  }
  const processes = processesOf(terminal);
  return show(
    await diagnoseMachine({ environment, isRootless, root: storeRoot(environment, uid), ...processes }),
    terminal,
  );
}

function show(findings: readonly Finding[], terminal: Terminal): number {
  for (const { name, state, detail, remedy } of findings) {
    const mark = { good: "ok", degraded: "--", bad: "NO" }[state];
    terminal.print(`${mark}  ${name}: ${detail}\n${remedy === undefined ? "" : `    ${remedy}\n`}`);
  }
  return findings.some(({ state }) => state === "bad") ? 3 : 0;
}
