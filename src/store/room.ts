// The hard ceiling of --cache-max-size (pain 3): room is made before anything is written. What is known beforehand is claimed (a blob, an unpacked layer);
// what a RUN or a fetch writes shows only while it does, so its directories are watched and the claim grows with them. All of the state directory counts.
// Room comes from what nothing uses, the least valuable first (worth.ts); then from waiting for other builds; then the build fails, and says the sizes.
import { closeSync, existsSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { assert } from "../base/assert.ts";
import { monotonicMs, nowMs } from "../base/clock.ts";
import { formatBytes } from "../base/size-text.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import { TMP_INGEST, TMP_PUT } from "./content.ts";
import { tryLockExisting } from "./file-lock.ts";
import { pruneMeasured } from "./gc.ts";
import { closeAccount, Ledger, type Claimant, type LedgerState } from "./ledger.ts";
import { acquireLock, pauseFor } from "./locks.ts";
import type { GcContext } from "./removal.ts";
import { measureTree, measureUsage, type DiskUsage } from "./usage.ts";

export interface RoomOptions {
  readonly context: GcContext;
  /** Bytes. */
  readonly maxSize: number;
  /** Id of the lease that this room is a part of. */
  readonly lease: string;
  readonly onNotice: (message: string) => void;
  readonly signal: AbortSignal;
}

export interface ClaimMore {
  /** Bytes that are claimed as well where there is room for them: they may be written before anybody looks again. */
  readonly ahead: number;
  /** Makes whoever writes stand still while room is being made. */
  readonly hold?: (() => Disposable) | undefined;
}

/** A part of the ceiling, for one thing that is being written. Disposing says that it is in its place, or that it has gone. */
export interface RoomClaim extends AsyncDisposable {
  /** Call before writing: resolves once there is room for `bytes` in all. */
  atLeast(bytes: number, more?: ClaimMore): Promise<void>;
}

export interface WatchOptions {
  /** For errors: "RUN make". */
  readonly what: string;
  /** Directories of the lease that the work writes to. */
  readonly scratch: readonly string[];
  /** Directories in the store itself that the work writes to. */
  readonly kept: readonly string[];
  /** Makes the work stand still until what is returned has been disposed. */
  readonly hold?: () => Disposable;
  readonly signal: AbortSignal;
}

/** `signal` is aborted where there is no room. `settle` counts what was written, and ends the watching; without a call it is done when the work has ended. */
export type WatchedWork<T> = (signal: AbortSignal, settle: () => Promise<void>) => Promise<T>;

/** A claim grows by this much at a time at least, so that it costs a transaction per so many bytes. */
const LEAST_STEP = 1024 * 1024;
const LARGEST_STEP = 32 * 1024 * 1024;
/** A part of the ceiling: how much more than needed is freed at a time. */
const SLACK = 1 / 16;
/** What has no claim of its own — database, logs, indexes — is counted anew at the latest after this time. */
const STALE_MS = 60_000;
const WAIT_MS = 50;
const LONGEST_WAIT_MS = 1000;
/** A look costs microseconds; a fast disk takes 2 MB meanwhile. */
const LOOK_MS = 5;
/** A part of the ceiling: what a step may write between two looks. */
const HEADROOM = 1 / 8;
/** Others may free what the work writes, so that the disk shows nothing of it: after this time it is looked at anyway. */
const BLIND_MS = 400;

/** Bytes of a claim that is to grow. `needed` = 0 and `wished` = 0: what has been written already has to fit. */
interface Wanted {
  readonly needed: number;
  readonly wished: number;
  readonly hold: (() => Disposable) | undefined;
}

export class Room implements AsyncDisposable {
  readonly #options: RoomOptions;
  readonly #ledger: Ledger;
  readonly #step: number;
  readonly #headroom: number;
  #making: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: RoomOptions) {
    this.#options = options;
    this.#ledger = new Ledger(options.context.database, options.lease);
    this.#step = Math.min(LARGEST_STEP, Math.max(LEAST_STEP, Math.floor(options.maxSize / 64)));
    this.#headroom = Math.min(LARGEST_STEP, Math.max(LEAST_STEP, Math.floor(options.maxSize * HEADROOM)));
  }

  /** Room for `bytes` of `what`, before they are written. Fails with "store" where the ceiling is too low. Undisposed it lasts as long as this room. */
  async claim(what: string, bytes: number): Promise<RoomClaim> {
    let claimed = 0;
    let used = 0;
    const atLeast = async (wanted: number, { ahead, hold }: ClaimMore = { ahead: 0 }): Promise<void> => {
      used = Math.max(used, wanted);
      if (wanted + ahead <= claimed) return;
      const needed = Math.max(0, wanted - claimed);
      // More than is asked for, so that a claim which grows does not ask each time; but not where the size is known.
      const wished = claimed === 0 ? wanted + ahead : Math.max(this.#step, wanted + ahead - claimed);
      claimed += await this.#take(what, { needed, wished, hold });
    };
    await atLeast(bytes);
    return {
      atLeast,
      [Symbol.asyncDispose]: () => {
        if (!this.#isClosed && claimed > 0) this.#ledger.release(claimed, used);
        claimed = 0;
        return Promise.resolve();
      },
    };
  }

  /** Does `work` while the claim follows what it writes. */
  async watch<T>(claim: RoomClaim, options: WatchOptions, work: WatchedWork<T>): Promise<T> {
    const full = new AbortController();
    const ended = new AbortController();
    // Nobody knows what the work will write before it is looked at.
    await claim.atLeast(0, { ahead: this.#headroom });
    const watching = this.#follow(claim, options, ended.signal).catch((error: unknown) => {
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
  async #follow(claim: RoomClaim, { what, scratch, kept, hold }: WatchOptions, ended: AbortSignal): Promise<void> {
    const bases = await Promise.all(kept.map((path) => measureTree(path)));
    let landed = 0;
    let free = this.#freeBytes();
    let pause = LOOK_MS;
    let lookedMs = monotonicMs();
    for (;;) {
      if (!ended.aborted) await setTimeout(pause, undefined, { signal: ended }).catch(() => undefined);
      const isLast = ended.aborted;
      const now = this.#freeBytes();
      free = Math.max(free, now);
      const startedMs = monotonicMs();
      const isDue = startedMs - lookedMs >= Math.max(BLIND_MS, pause);
      if (free - now < this.#step / 4 && !isDue && !isLast) continue;
      free = now;
      let written = 0;
      for (const path of scratch) written += await measureTree(path);
      let grown = 0;
      for (const [index, path] of kept.entries()) grown += (await measureTree(path)) - bases[index]!;
      // It is in its place already, so it is no claim; where it was too much, this asks for room after the fact.
      this.#ledger.release(0, grown - landed);
      landed = grown;
      if (!fits(this.#ledger.read(), 0, this.#options.maxSize)) await this.#take(what, { needed: 0, wished: 0, hold });
      await claim.atLeast(written, { ahead: isLast ? 0 : this.#headroom, hold });
      if (isLast) return;
      // Big trees are looked at less often, for a tenth of the time at most.
      lookedMs = monotonicMs();
      pause = Math.max(LOOK_MS, (lookedMs - startedMs) * 10);
    }
  }

  #freeBytes(): number {
    const { bfree, bsize } = statfsSync(this.#options.context.paths.root);
    return bfree * bsize;
  }

  /** Claims `wished` bytes, or at least those that are needed; says how many. */
  async #take(what: string, { needed, wished, hold }: Wanted): Promise<number> {
    assert(!this.#isClosed, "room is claimed while the build lives");
    const { maxSize, signal } = this.#options;
    if (this.#isFresh() && this.#ledger.tryClaim(wished, maxSize)) return wished;
    // Until there is room, what is written is too much.
    using _ = hold?.();
    // One after the other: two claims of a build that wait do not make twice the room.
    const before = this.#making;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#making = promise;
    try {
      await before;
      signal.throwIfAborted();
      if (this.#isFresh() && this.#ledger.tryClaim(wished, maxSize)) return wished;
      return await this.#makeRoom(what, needed, wished);
    } finally {
      resolve();
    }
  }

  #isFresh(): boolean {
    return nowMs() - this.#ledger.read().measuredMs < STALE_MS;
  }

  /** Collects, then makes do with what is needed, then waits for other builds, then gives up. */
  async #makeRoom(what: string, bytes: number, wished: number): Promise<number> {
    const { maxSize, onNotice, signal } = this.#options;
    let isTold = false;
    let pause = WAIT_MS;
    try {
      for (;;) {
        await this.#collect(wished, signal);
        const others = this.#liveOthers();
        for (const part of [wished, bytes]) if (this.#ledger.tryClaim(part, maxSize)) return part;
        // Nothing is to be written that has no claim yet.
        if (bytes === 0 && wished > 0) return 0;
        const isHopeless = others.length === 0 || bytes > maxSize;
        // Where all wait for each other, the oldest goes on waiting, and the others give up what they hold.
        if (isHopeless || (others.every(({ isWaiting }) => isWaiting) && !this.#isOldest()))
          throw this.#tooSmall(what, bytes);
        if (!isTold)
          onNotice(
            `${what}: waiting for room below ${formatBytes(maxSize)} that ${others.length === 1 ? "another build" : `${others.length} other builds`} may free`,
          );
        isTold = true;
        this.#ledger.setWaiting(true);
        await pauseFor(pause, signal);
        pause = Math.min(LONGEST_WAIT_MS, pause * 2);
      }
    } finally {
      if (isTold && !this.#isClosed) this.#ledger.setWaiting(false);
    }
  }

  /** Measures, and removes until `bytes` fit with something to spare. One process at a time. */
  async #collect(bytes: number, signal?: AbortSignal): Promise<void> {
    const { context, maxSize } = this.#options;
    await using _ = await acquireLock(join(context.paths.locks, "room"), {
      mode: "exclusive",
      holder: `pid ${process.pid}, which makes room`,
      ...(signal === undefined ? {} : { signal }),
    });
    const before = this.#ledger.read();
    if (this.#isFresh() && fits(before, bytes, maxSize)) return;
    const begun = this.#ledger.beginMeasuring();
    context.database.truncateLog();
    const usage = await measureUsage(context);
    const inFlight = inFlightBytes(usage, context);
    const { open } = this.#ledger.read();
    let { total } = usage;
    const limit = maxSize - open - bytes + inFlight;
    if (total > limit) {
      const goal = Math.max(0, Math.floor(limit - maxSize * SLACK));
      ({ total } = await pruneMeasured(context, usage, {
        maxSize: goal,
        reason: "ceiling",
        ...(signal === undefined ? {} : { signal }),
      }));
      context.database.truncateLog();
    }
    this.#ledger.endMeasuring(begun, total - inFlight);
  }

  /** Live builds with a ceiling beside this one; accounts of dead ones are closed. */
  #liveOthers(): readonly Claimant[] {
    const { context, lease } = this.#options;
    return this.#ledger.claimants().filter((other) => {
      if (other.lease === lease) return false;
      const path = join(context.paths.leases, other.lease, "lock");
      const fd = tryLockExisting(path, "exclusive");
      if (fd === undefined && existsSync(path)) return true;
      if (fd !== undefined) closeSync(fd);
      closeAccount(context.database, other.lease);
      return false;
    });
  }

  #isOldest(): boolean {
    return this.#ledger.claimants()[0]?.lease === this.#options.lease;
  }

  #tooSmall(what: string, bytes: number): BuildError {
    const { maxSize } = this.#options;
    const { total = 0, open, landed } = this.#ledger.read();
    const used = total + open + landed;
    const needed = used + bytes;
    return new BuildError(
      "store",
      `${what} needs ${bytes === 0 ? "what it has written" : `${formatBytes(bytes)} more`}, but ${formatBytes(used)} of the ${formatBytes(maxSize)} that --cache-max-size allows are in use by this build, by other builds and by images with names`,
      { help: `allow at least ${formatBytes(needed)}, or take names from images that are not needed: tsbuild rmi` },
    );
  }

  /** Call when the lease has been given back: what was pinned may go now, so what is too much goes. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#ledger.close();
    const { maxSize, onNotice } = this.#options;
    try {
      if (!fits(this.#ledger.read(), 0, maxSize)) await this.#collect(0);
    } catch (error) {
      onNotice(`the store may take more than ${formatBytes(maxSize)} until the next build: ${messageOf(error)}`);
    }
  }
}

function fits({ total, open, landed }: LedgerState, bytes: number, maxSize: number): boolean {
  return total !== undefined && total + open + landed + bytes <= maxSize;
}

/** What builds are writing now; claims stand for it. */
function inFlightBytes(usage: DiskUsage, { paths }: GcContext): number {
  const isInFlight = (id: string): boolean =>
    id.startsWith(`${paths.leases}/`) ||
    id.startsWith(join(paths.tmp, TMP_INGEST)) ||
    id.startsWith(join(paths.tmp, TMP_PUT));
  return usage.items.reduce((sum, { kind, id, size }) => sum + (kind === "temporary" && isInFlight(id) ? size : 0), 0);
}
