// The hard ceiling of --cache-max-size (pain 3): room is made before anything is written. What is known beforehand is claimed (a blob, an unpacked layer);
// what a RUN or a fetch writes shows only while it does, so its directories are watched and the claim grows with them. All of the state directory counts.
// Room comes from what nothing uses, the least valuable first (worth.ts); then from waiting for other builds; then, where all wait for each other, from a
// younger one's step, which gives back what it has written and runs again later; then the build fails, and says the sizes. Who watches: watched-work.ts.
import { closeSync, existsSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../base/assert.ts";
import { monotonicMs, nowMs } from "../base/clock.ts";
import type { Standstill } from "../base/standstill.ts";
import { formatBytes } from "../base/size-text.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import { TMP_INGEST, TMP_PUT } from "./content.ts";
import { tryLockExisting } from "./file-lock.ts";
import { pruneMeasured } from "./gc.ts";
import { closeAccount, Ledger, type Claimant, type LedgerState } from "./ledger.ts";
import { acquireLock, pauseFor } from "./locks.ts";
import type { GcContext } from "./removal.ts";
import { RoomYielded, type ClaimMore, type RoomClaim } from "./room-claim.ts";
import { measureUsage, type DiskUsage } from "./usage.ts";
import { watchWork, type WatchedRoom, type WatchedWork, type WatchOptions } from "./watched-work.ts";

export interface RoomOptions {
  readonly context: GcContext;
  /** Bytes. */
  readonly maxSize: number;
  /** Id of the lease that this room is a part of. */
  readonly lease: string;
  readonly onNotice: (message: string) => void;
  readonly signal: AbortSignal;
}

/** A claim grows by this much at a time at least, so that it costs a transaction per so many bytes. */
const LEAST_STEP = 1024 * 1024;
const LARGEST_STEP = 32 * 1024 * 1024;
/** A part of the ceiling: how much more than needed is freed at a time. */
const SLACK = 1 / 16;
/** What has no claim of its own — database, logs, indexes — is counted anew at the latest after this time. */
const STALE_MS = 60_000;
const WAIT_MS = 50;
const LONGEST_WAIT_MS = 1000;
/** A part of the ceiling: what a step may write between two looks. */
const HEADROOM = 1 / 8;
/** A part of the ceiling, left free for what nobody claims: the database's log, the logs of steps, directories. */
const MARGIN = 1 / 32;
/** Looks in a row that have to see the same before a build fails: another one may have ended between measuring and asking. */
const LAST_LOOKS = 3;
/** What was asked for beyond need, and was not to be had, is not asked for again for this long. */
const SHORT_MS = 250;

/** Bytes of a claim that is to grow. `needed` = 0 and `wished` = 0: what has been written already has to fit. */
interface Wanted {
  readonly wished: number;
  /** What is waited for. */
  readonly needed: number;
  /** Enough where nobody is left to wait for. */
  readonly least: number;
  readonly hold?: (() => Standstill) | undefined;
  readonly canYield?: boolean | undefined;
}

export class Room implements AsyncDisposable {
  readonly #options: RoomOptions;
  readonly #ledger: Ledger;
  readonly #step: number;
  readonly #headroom: number;
  /** Bytes: what all claims and all that is there may come to. */
  readonly #limit: number;
  #making: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: RoomOptions) {
    this.#options = options;
    this.#ledger = new Ledger(options.context.database, options.lease);
    this.#limit = Math.floor(options.maxSize * (1 - MARGIN));
    this.#step = Math.min(LARGEST_STEP, Math.max(LEAST_STEP, Math.floor(options.maxSize / 64)));
    this.#headroom = Math.min(LARGEST_STEP, Math.max(LEAST_STEP, Math.floor(options.maxSize * HEADROOM)));
  }

  /** Room for `bytes` of `what`, before they are written. Fails with "store" where the ceiling is too low. Undisposed it lasts as long as this room. */
  async claim(what: string, bytes: number): Promise<RoomClaim> {
    let claimed = 0;
    let used = 0;
    let shortMs = -SHORT_MS;
    const grow = async (wanted: number, more: ClaimMore, take: (wanted: Wanted) => Promise<number>): Promise<void> => {
      const { ahead, reserve = 0, hold, canYield } = more;
      used = Math.max(used, wanted);
      if (wanted + ahead <= claimed) return;
      const needed = Math.max(0, wanted + reserve - claimed);
      if (needed === 0 && monotonicMs() - shortMs < SHORT_MS) return;
      // More than is asked for, so that a claim which grows does not ask each time; but not where the size is known.
      const wished = claimed === 0 ? wanted + ahead : Math.max(this.#step, wanted + ahead - claimed);
      const least = Math.max(0, wanted - claimed);
      const taken = await take({ wished, needed, least, hold, canYield });
      if (taken < wished) shortMs = monotonicMs();
      claimed += taken;
    };
    const release = (landed: number): void => {
      if (!this.#isClosed && claimed > 0) this.#ledger.release(claimed, landed);
      claimed = 0;
    };
    await grow(bytes, { ahead: 0 }, (wanted) => this.#take(what, wanted));
    return {
      get bytes() {
        return claimed;
      },
      atLeast: (wanted, more = { ahead: 0 }) => grow(wanted, more, (grown) => this.#take(what, grown)),
      again: (more) => {
        release(0);
        // Beside the queue of this build's claims: its other steps go on meanwhile.
        return grow(used, more, (wanted) => this.#makeRoom(what, wanted));
      },
      [Symbol.asyncDispose]: () => {
        release(used);
        return Promise.resolve();
      },
    };
  }

  /** Does `work` while the claim follows what it writes. */
  watch<T>(claim: RoomClaim, options: WatchOptions, work: WatchedWork<T>): Promise<T> {
    const { context, onNotice } = this.#options;
    const room: WatchedRoom = {
      root: context.paths.root,
      step: this.#step,
      headroom: this.#headroom,
      onNotice,
      // It is in its place already, so it is no claim; where it was too much, this asks for room after the fact.
      landed: async (bytes, hold) => {
        this.#ledger.release(0, bytes);
        if (!fits(this.#ledger.read(), 0, this.#limit))
          await this.#take(options.what, { wished: 0, needed: 0, least: 0, hold });
      },
    };
    return watchWork(room, claim, options, work);
  }

  /** Claims what is wished for, or at least what is needed; says how many bytes. */
  async #take(what: string, wanted: Wanted): Promise<number> {
    assert(!this.#isClosed, "room is claimed while the build lives");
    const { wished, hold } = wanted;
    if (this.#isFresh() && this.#ledger.tryClaim(wished, this.#limit)) return wished;
    // Until there is room, what is written is too much.
    using held = hold?.();
    // One after the other: two claims of a build that wait do not make twice the room.
    const before = this.#making;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#making = promise;
    try {
      await before;
      this.#options.signal.throwIfAborted();
      if (this.#isFresh() && this.#ledger.tryClaim(wished, this.#limit)) return wished;
      return await this.#makeRoom(what, wanted);
    } catch (error) {
      // There will be none: let go, it would write on until whoever runs it has ended it.
      held?.end();
      throw error;
    } finally {
      resolve();
    }
  }

  #isFresh(): boolean {
    return nowMs() - this.#ledger.read().measuredMs < STALE_MS;
  }

  /** Collects, then makes do with what is needed, then waits for other builds, then gives up. */
  async #makeRoom(what: string, { wished, needed, least, canYield = false }: Wanted): Promise<number> {
    const { maxSize, onNotice, signal } = this.#options;
    let isTold = false;
    let pause = WAIT_MS;
    let lastLooks = 0;
    try {
      for (;;) {
        // Before collecting: what a build holds that ends meanwhile is collected at the next look.
        const others = this.#liveOthers();
        await this.#collect(wished, signal);
        if (this.#ledger.tryClaim(wished, this.#limit)) return wished;
        // Nothing is to be written that has no claim yet.
        if (needed === 0 && wished > 0) return 0;
        if (this.#ledger.tryClaimOrWait(needed, this.#limit)) return needed;
        const isAlone = others.length === 0 || needed > this.#limit;
        const isInTheWay = !isAlone && this.#isInTheWay();
        if (isInTheWay && canYield) throw new RoomYielded();
        lastLooks = isAlone || isInTheWay ? lastLooks + 1 : 0;
        if (lastLooks >= LAST_LOOKS) {
          if (isAlone && least < needed && this.#ledger.tryClaim(least, this.#limit)) return least;
          // What is written may have its room, and there is none to go on writing.
          throw this.#tooSmall(what, least > 0 ? least : needed);
        }
        if (!isTold && !isAlone)
          onNotice(
            `${what}: waiting for room below ${formatBytes(maxSize)} that ${others.length === 1 ? "another build" : `${others.length} other builds`} may free`,
          );
        isTold = true;
        await pauseFor(isInTheWay ? LONGEST_WAIT_MS : pause, signal);
        pause = isAlone ? WAIT_MS : Math.min(LONGEST_WAIT_MS, pause * 2);
      }
    } finally {
      if (isTold && !this.#isClosed) this.#ledger.setWaiting(false);
    }
  }

  /**
   * Whether all builds wait, each for the others, and this one is to make way: of those that are writing something the youngest, else the youngest of all;
   * the oldest goes on waiting.
   */
  #isInTheWay(): boolean {
    const all = this.#ledger.claimants();
    if (!all.every(({ isWaiting }) => isWaiting)) return false;
    const younger = all.slice(1).reverse();
    const first = younger.find(({ open }) => open > 0) ?? younger[0];
    return first?.lease === this.#options.lease;
  }

  /** Measures, and removes until `bytes` fit with something to spare. One process at a time. */
  async #collect(bytes: number, signal?: AbortSignal): Promise<void> {
    const { context } = this.#options;
    const maxSize = this.#limit;
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

  #tooSmall(what: string, bytes: number): BuildError {
    const { maxSize } = this.#options;
    const { total = 0, open, landed } = this.#ledger.read();
    const used = total + open + landed;
    // With the margin that is left free, or the step would meet the same limit again.
    const needed = Math.ceil((used + Math.max(bytes, LEAST_STEP)) / (1 - MARGIN));
    const wish = bytes === 0 ? "has no room for what it writes:" : `needs ${formatBytes(bytes)} more, but`;
    return new BuildError(
      "store",
      `${what} ${wish} ${formatBytes(used)} of the ${formatBytes(maxSize)} that --cache-max-size allows are in use by this build, by other builds and by images with names`,
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
      if (!fits(this.#ledger.read(), 0, this.#limit)) await this.#collect(0);
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
