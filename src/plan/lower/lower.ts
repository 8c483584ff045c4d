// One instruction: image state in, image state out. An instruction in error is reported and leaves the state as it was, so that the rest is checked too.
import { unreachable } from "../../base/assert.ts";
import type { Instruction } from "../../frontend/ast.ts";
import type { ImageState } from "../image-state.ts";
import { lowerCmd, lowerEntrypoint, lowerHealthcheck, lowerShell } from "./commands.ts";
import type { LowerContext } from "./context.ts";
import { lowerCopy } from "./copy.ts";
import { lowerExpose } from "./expose.ts";
import { lowerMaintainer, lowerOnbuild, lowerStopsignal, lowerUser, lowerVolume } from "./metadata.ts";
import { lowerRun } from "./run.ts";
import { lowerArg, lowerEnv, lowerLabel } from "./variables.ts";
import { lowerWorkdir } from "./workdir.ts";

/** The state after `instruction`. */
export function lowerInstruction(instruction: Instruction, state: ImageState, context: LowerContext): ImageState {
  switch (instruction.kind) {
    case "add":
    case "copy":
      return lowerCopy(instruction, state, context);
    case "arg":
      return lowerArg(instruction, state, context);
    case "cmd":
      return lowerCmd(instruction, state);
    case "entrypoint":
      return lowerEntrypoint(instruction, state);
    case "env":
      return lowerEnv(instruction, state, context);
    case "expose":
      return lowerExpose(instruction, state, context);
    case "healthcheck":
      return lowerHealthcheck(instruction, state);
    case "label":
      return lowerLabel(instruction, state, context);
    case "maintainer":
      return lowerMaintainer(instruction, state);
    case "onbuild":
      return lowerOnbuild(instruction, state);
    case "run":
      return lowerRun(instruction, state, context);
    case "shell":
      return lowerShell(instruction, state);
    case "stopsignal":
      return lowerStopsignal(instruction, state, context);
    case "user":
      return lowerUser(instruction, state, context);
    case "volume":
      return lowerVolume(instruction, state, context);
    case "workdir":
      return lowerWorkdir(instruction, state, context);
    default:
      return unreachable(instruction);
  }
}
