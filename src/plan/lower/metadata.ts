// USER, VOLUME, STOPSIGNAL, MAINTAINER and ONBUILD: config only (reference O06, O08, O09, O12, O13).
import type {
  MaintainerInstruction,
  OnbuildInstruction,
  StopsignalInstruction,
  UserInstruction,
  VolumeInstruction,
} from "../../frontend/ast.ts";
import { isSignal } from "../../frontend/literals.ts";
import { historyEntry, listHistory } from "../history.ts";
import { withConfig, withHistory, type ImageState } from "../image-state.ts";
import { expandAll, expandIn, type LowerContext } from "./context.ts";

/** Stored as given: names are looked up in the rootfs when a step runs. */
export function lowerUser(instruction: UserInstruction, state: ImageState, context: LowerContext): ImageState {
  const User = expandIn(instruction.user, state, context);
  if (User === undefined) return state;
  return withHistory(withConfig(state, { User }), historyEntry(`USER ${User}`));
}

/** Files under a volume are kept by later steps (T40). */
export function lowerVolume(instruction: VolumeInstruction, state: ImageState, context: LowerContext): ImageState {
  const paths = expandAll(instruction.paths, state, context);
  if (!paths) return state;
  const empty = paths.indexOf("");
  if (empty >= 0) {
    const { span } = instruction.paths[empty]!;
    context.reporter.error("InvalidVolume", span, "VOLUME specified can not be an empty string");
    return state;
  }
  const Volumes = { ...state.config.Volumes, ...Object.fromEntries(paths.map((path) => [path, {}])) };
  return withHistory(withConfig(state, { Volumes }), historyEntry(listHistory("VOLUME", paths)));
}

export function lowerStopsignal(
  instruction: StopsignalInstruction,
  state: ImageState,
  context: LowerContext,
): ImageState {
  const StopSignal = expandIn(instruction.signal, state, context);
  if (StopSignal === undefined) return state;
  if (!isSignal(StopSignal)) {
    context.reporter.error("InvalidSignal", instruction.signal.span, `invalid signal: ${StopSignal}`, {
      help: "give a signal's name or number, for example SIGTERM or 15",
    });
    return state;
  }
  return withHistory(withConfig(state, { StopSignal }), historyEntry(`STOPSIGNAL ${StopSignal}`));
}

export function lowerMaintainer(instruction: MaintainerInstruction, state: ImageState): ImageState {
  const author = instruction.name.text;
  return withHistory({ ...state, author }, historyEntry(`MAINTAINER ${author}`));
}

/** Stored raw, without history; it runs in whoever is built FROM this image. */
export function lowerOnbuild(instruction: OnbuildInstruction, state: ImageState): ImageState {
  return withConfig(state, { OnBuild: [...(state.config.OnBuild ?? []), instruction.trigger] });
}
