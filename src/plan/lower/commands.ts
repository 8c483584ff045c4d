// CMD, ENTRYPOINT, HEALTHCHECK and SHELL: config only, nothing is expanded (reference O01, O02, O10, O11, V28).
import type {
  CmdInstruction,
  Command,
  EntrypointInstruction,
  HealthcheckInstruction,
  ShellInstruction,
} from "../../frontend/ast.ts";
import type { Healthcheck } from "../../oci/image.ts";
import { commandHistory, healthcheckHistory, historyEntry, listHistory } from "../history.ts";
import { shellOf, withConfig, withHistory, type ImageState } from "../image-state.ts";

/** The argument vector of a command as this image runs it. */
export function commandArgs(command: Command, state: ImageState): readonly string[] {
  return command.kind === "exec" ? command.args : [...shellOf(state), command.text];
}

export function lowerCmd(instruction: CmdInstruction, state: ImageState): ImageState {
  const Cmd = commandArgs(instruction.command, state);
  const changed = withConfig({ ...state, hasCmd: true }, { Cmd, ArgsEscaped: true });
  return withHistory(changed, historyEntry(commandHistory("CMD", Cmd)));
}

/** Drops a Cmd that came from below: it was meant for another entrypoint. */
export function lowerEntrypoint(instruction: EntrypointInstruction, state: ImageState): ImageState {
  const Entrypoint = commandArgs(instruction.command, state);
  const changed = withConfig(state, { Entrypoint, ...(state.hasCmd ? {} : { Cmd: null }) });
  return withHistory(changed, historyEntry(commandHistory("ENTRYPOINT", Entrypoint)));
}

/** Replaces the whole check; zero values mean "inherit" to the engine that runs it and are not written. */
export function lowerHealthcheck(instruction: HealthcheckInstruction, state: ImageState): ImageState {
  const { command, interval, timeout, startPeriod, startInterval, retries } = instruction;
  const check: Healthcheck = {
    Test: healthcheckTest(command),
    ...(interval === 0 ? {} : { Interval: interval }),
    ...(timeout === 0 ? {} : { Timeout: timeout }),
    ...(startPeriod === 0 ? {} : { StartPeriod: startPeriod }),
    ...(startInterval === 0 ? {} : { StartInterval: startInterval }),
    ...(retries === 0 ? {} : { Retries: retries }),
  };
  return withHistory(withConfig(state, { Healthcheck: check }), historyEntry(healthcheckHistory(check)));
}

function healthcheckTest(command: Command | undefined): readonly string[] {
  if (!command) return ["NONE"];
  return command.kind === "exec" ? ["CMD", ...command.args] : ["CMD-SHELL", command.text];
}

export function lowerShell(instruction: ShellInstruction, state: ImageState): ImageState {
  const Shell = instruction.args;
  return withHistory(withConfig(state, { Shell }), historyEntry(listHistory("SHELL", Shell)));
}
