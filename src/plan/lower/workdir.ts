// WORKDIR: sets the working directory and makes it, one layer unless it is "/" (reference O07, K10).
import { resolveIn } from "../../base/container-path.ts";
import { goQuote } from "../../base/go-text.ts";
import type { WorkdirInstruction } from "../../frontend/ast.ts";
import { historyEntry } from "../history.ts";
import { withConfig, withHistory, workdirOf, type ImageState } from "../image-state.ts";
import { expandIn, nextStep, type LowerContext } from "./context.ts";

export function lowerWorkdir(instruction: WorkdirInstruction, state: ImageState, context: LowerContext): ImageState {
  const written = expandIn(instruction.path, state, context);
  if (written === undefined) return state;
  if (!state.hasWorkdir && !written.startsWith("/")) {
    const message = `Relative workdir ${goQuote(written)} can have unexpected results if the base image changes`;
    context.reporter.warn("WorkdirRelativePath", instruction.path.span, message);
  }
  const path = resolveIn(workdirOf(state), written);
  const moved = withConfig({ ...state, hasWorkdir: true }, { WorkingDir: path });
  if (path === "/") return withHistory(moved, historyEntry("WORKDIR /"));
  // The name shows values from before the instruction, as every name does.
  const step = nextStep(instruction, state, context);
  const rootfs = context.builder.add(
    { kind: "file", action: { kind: "mkdir", path, user: state.config.User ?? "", mode: 0o755 }, isLinked: false },
    [state.rootfs],
    step.meta,
  );
  const after = { ...moved, rootfs, stepCount: step.state.stepCount };
  return withHistory(after, historyEntry(`WORKDIR ${path}`, rootfs));
}
