// A part of the ceiling, as those see it who write under it. Who keeps the ceiling: room.ts.
import type { Standstill } from "../base/standstill.ts";

export interface ClaimMore {
  /** Bytes that are claimed as well where there is room for them: they may be written before anybody looks again. */
  readonly ahead: number;
  /** Of those, bytes that are waited for while other builds may free them: without them what is written shows too late. */
  readonly reserve?: number;
  /** Makes whoever writes stand still while room is being made. */
  readonly hold?: (() => Standstill) | undefined;
  /** What was written can be made again: where builds wait for each other, {@link RoomYielded} is thrown rather than that the build fails. */
  readonly canYield?: boolean;
}

/** A part of the ceiling, for one thing that is being written. Disposing says that it is in its place, or that it has gone. */
export interface RoomClaim extends AsyncDisposable {
  /** Claimed so far. */
  readonly bytes: number;
  /** Call before writing: resolves once there is room for `bytes` in all. */
  atLeast(bytes: number, more?: ClaimMore): Promise<void>;
  /** What was written has been removed: gives its room back, and resolves once there is room to write as much again. */
  again(more: ClaimMore): Promise<void>;
}

/** Who writes is to remove it and to begin again later: other builds, which began earlier, cannot go on otherwise. */
export class RoomYielded extends Error {
  override readonly name = "RoomYielded";
}
