// Follows what a step or a fetch writes, which shows only while it does: a claim (room.ts) grows with it, a part ahead of it. Where there is no room the
// work stands still; where there will be none before others have had theirs, it is stopped, what it has written is removed, and it begins again later.
import { statfsSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { monotonicMs } from "../base/clock.ts";
import type { Standstill } from "../base/standstill.ts";
import { RoomYielded, type ClaimMore, type RoomClaim } from "./room-claim.ts";
import { measureTree } from "./usage.ts";

export interface WatchOptions {
  /** For errors: "RUN make". */
  readonly what: string;
  /** Directories of the lease that the work writes to. */
  readonly scratch: readonly string[];
  /** Directories in the store itself that the work writes to. */
  readonly kept: readonly string[];
  /** Makes the work stand still until what is returned has been disposed. */
  readonly hold?: () => Standstill;
  /** Makes {@link scratch} what it was before the work began. Undefined = the work cannot begin again. */
  readonly reset?: () => Promise<void>;
  readonly signal: AbortSignal;
}

/**
 * `signal` is aborted where there is no room. `settle` counts what was written, and ends the watching; without a call it is done when the work has ended.
 * Called again after a {@link WatchOptions.reset}.
 */
export type WatchedWork<T> = (signal: AbortSignal, settle: () => Promise<void>) => Promise<T>;

/** The room that work is watched for. */
export interface WatchedRoom {
  /** Of the store: whose disk is looked at. */
  readonly root: string;
  /** Bytes: growth that is worth a look. */
  readonly step: number;
  /** Bytes that a claim is ahead of the work. */
  readonly headroom: number;
  readonly onNotice: (message: string) => void;
  /** Counts growth in the store itself, and resolves once it fits. */
  readonly landed: (bytes: number, hold: (() => Standstill) | undefined) => Promise<void>;
}

/** A look at the disk costs microseconds; a fast one takes 2 MB meanwhile. */
const LOOK_MS = 5;
/** Others may free what the work writes, so that the disk shows nothing of it: after this time the work is looked at anyway. */
const BLIND_MS = 400;

/** Does `work` while `claim` follows what it writes. */
export async function watchWork<T>(
  room: WatchedRoom,
  claim: RoomClaim,
  options: WatchOptions,
  work: WatchedWork<T>,
): Promise<T> {
  const ahead = { ahead: room.headroom, reserve: room.headroom / 2 };
  // Nobody knows what the work will write before it is looked at.
  await claim.atLeast(0, ahead);
  for (;;) {
    try {
      return await watchOnce(room, claim, options, work);
    } catch (error) {
      if (!(error instanceof RoomYielded) || !options.reset) throw error;
    }
    options.signal.throwIfAborted();
    await options.reset();
    room.onNotice(
      `${options.what}: stopped, because builds that began earlier need its room; it runs again as soon as there is some`,
    );
    await claim.again(ahead);
  }
}

async function watchOnce<T>(
  room: WatchedRoom,
  claim: RoomClaim,
  options: WatchOptions,
  work: WatchedWork<T>,
): Promise<T> {
  const full = new AbortController();
  const ended = new AbortController();
  const watching = follow(room, claim, options, ended.signal).catch((error: unknown) => {
    full.abort(error);
  });
  const settle = async (): Promise<void> => {
    ended.abort();
    await watching;
    full.signal.throwIfAborted();
  };
  try {
    const result = await work(AbortSignal.any([options.signal, full.signal]), settle);
    await settle();
    return result;
  } catch (error) {
    // What the work says of being stopped is less than why it was.
    throw full.signal.aborted ? full.signal.reason : error;
  } finally {
    ended.abort();
    await watching;
  }
}

/** Looks whenever the disk has lost some space or nobody has looked for a while, and once more when the work has ended. */
async function follow(
  room: WatchedRoom,
  claim: RoomClaim,
  { scratch, kept, hold, reset }: WatchOptions,
  ended: AbortSignal,
): Promise<void> {
  const bases = await Promise.all(kept.map((path) => measureTree(path)));
  let [landed, written] = [0, 0];
  let free = freeBytes(room.root);
  let pause = LOOK_MS;
  let lookedMs = monotonicMs();
  for (;;) {
    if (!ended.aborted) await setTimeout(LOOK_MS, undefined, { signal: ended }).catch(() => undefined);
    const isLast = ended.aborted;
    const now = freeBytes(room.root);
    free = Math.max(free, now);
    const startedMs = monotonicMs();
    const isDue = startedMs - lookedMs >= pause && (free - now >= room.step / 4 || startedMs - lookedMs >= BLIND_MS);
    // However long a look takes, half of what may be written unseen is not to be passed.
    const isUrgent = free - now >= Math.max(room.step / 4, (claim.bytes - written) / 2);
    if (!isDue && !isUrgent && !isLast) continue;
    free = now;
    written = 0;
    for (const path of scratch) written += await measureTree(path);
    let grown = 0;
    for (const [index, path] of kept.entries()) grown += (await measureTree(path)) - bases[index]!;
    await room.landed(grown - landed, hold);
    landed = grown;
    const more: ClaimMore = isLast ? { ahead: 0 } : { ahead: room.headroom, reserve: room.headroom / 2, hold };
    await claim.atLeast(written, { ...more, canYield: reset !== undefined });
    if (isLast) return;
    // Big trees are looked at less often, for a tenth of the time at most.
    lookedMs = monotonicMs();
    pause = Math.max(LOOK_MS, (lookedMs - startedMs) * 10);
  }
}

function freeBytes(root: string): number {
  const { bfree, bsize } = statfsSync(root);
  return bfree * bsize;
}
