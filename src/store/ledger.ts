// The account that a ceiling is kept by, shared by all processes through the database: what the store was last measured to hold, what has landed in it
// since, and what live builds have claimed for what they are writing. Rows only; who measures and who makes room is room.ts.
//
//   used = total        measured, without what lies in the leases' own directories
//        + landed       written to its place since the measuring began
//        + open         claimed for what is being written in those directories
import { nowMs } from "../base/clock.ts";
import type { Database } from "./database.ts";

export interface LedgerState {
  /** Bytes; undefined where nobody has measured yet. */
  readonly total: number | undefined;
  readonly measuredMs: number;
  readonly open: number;
  readonly landed: number;
}

export interface Claimant {
  readonly lease: string;
  /** It has looked for room since somebody last gave some back, and found none. */
  readonly isWaiting: boolean;
  /** Bytes claimed for what it is writing. */
  readonly open: number;
}

/** What builds that have ended had landed since the last measuring. */
const ENDED = "";

export class Ledger {
  readonly #database: Database;
  readonly #lease: string;

  /** Opens the account of a lease. */
  constructor(database: Database, lease: string) {
    this.#database = database;
    this.#lease = lease;
    database.run("INSERT OR IGNORE INTO claims (lease, started_ms) VALUES (?, ?)", lease, nowMs());
  }

  read(): LedgerState {
    const room = this.#database.get<{ total: number; measured_ms: number }>("SELECT total, measured_ms FROM room");
    const sums = this.#database.get<{ open: number; landed: number }>(
      "SELECT coalesce(sum(open), 0) AS open, coalesce(sum(landed), 0) AS landed FROM claims",
    );
    return {
      total: room?.total,
      measuredMs: room?.measured_ms ?? 0,
      open: sums?.open ?? 0,
      landed: sums?.landed ?? 0,
    };
  }

  /** Claims `bytes` more if they fit under `maxSize`, in one step for all processes. */
  tryClaim(bytes: number, maxSize: number): boolean {
    return this.#database.transaction(() => {
      const { total, open, landed } = this.read();
      if (total === undefined || total + open + landed + bytes > maxSize) return false;
      this.#database.run("UPDATE claims SET open = open + ?, is_waiting = 0 WHERE lease = ?", bytes, this.#lease);
      return true;
    });
  }

  /** As {@link tryClaim}; where they do not fit, it is said in the same step that this build waits. */
  tryClaimOrWait(bytes: number, maxSize: number): boolean {
    return this.#database.transaction(() => {
      const isClaimed = this.tryClaim(bytes, maxSize);
      if (!isClaimed) this.setWaiting(true);
      return isClaimed;
    });
  }

  /** Of what was claimed, `bytes` are not claimed any more, and `landed` of them are in their place now. */
  release(bytes: number, landed: number): void {
    const sql = "UPDATE claims SET open = max(0, open - ?), landed = max(0, landed + ?) WHERE lease = ?";
    this.#database.transaction(() => {
      this.#database.run(sql, bytes, landed, this.#lease);
      if (bytes > landed) wakeAll(this.#database);
    });
  }

  /** Begins a measuring: what lands from here on may or may not be in it. Pass the result to {@link endMeasuring}. */
  beginMeasuring(): ReadonlyMap<string, number> {
    const rows = this.#database.all<{ lease: string; landed: number }>("SELECT lease, landed FROM claims");
    return new Map(rows.map(({ lease, landed }) => [lease, landed]));
  }

  endMeasuring(begun: ReadonlyMap<string, number>, total: number): void {
    this.#database.transaction(() => {
      for (const [lease, landed] of begun)
        this.#database.run("UPDATE claims SET landed = max(0, landed - ?) WHERE lease = ?", landed, lease);
      const sql = "INSERT OR REPLACE INTO room (id, total, measured_ms) VALUES (1, ?, ?)";
      this.#database.run(sql, Math.round(total), nowMs());
    });
  }

  setWaiting(isWaiting: boolean): void {
    this.#database.run("UPDATE claims SET is_waiting = ? WHERE lease = ?", isWaiting ? 1 : 0, this.#lease);
  }

  /** The other live builds, the oldest first, and this one among them. */
  claimants(): readonly Claimant[] {
    const rows = this.#database.all<{ lease: string; is_waiting: number; open: number }>(
      "SELECT lease, is_waiting, open FROM claims WHERE lease <> ? ORDER BY started_ms, lease",
      ENDED,
    );
    return rows.map((row) => ({ lease: row.lease, isWaiting: row.is_waiting === 1, open: row.open }));
  }

  /** Closes the account. */
  close(): void {
    closeAccount(this.#database, this.#lease);
  }
}

/** Ends the claims of a lease; what had landed stays in the account until somebody measures. */
export function closeAccount(database: Database, lease: string): void {
  database.transaction(() => {
    const row = database.get<{ landed: number }>("SELECT landed FROM claims WHERE lease = ?", lease);
    if (!row) return;
    database.run("DELETE FROM claims WHERE lease = ?", lease);
    wakeAll(database);
    if (row.landed === 0) return;
    database.run("INSERT OR IGNORE INTO claims (lease, started_ms) VALUES (?, 0)", ENDED);
    database.run("UPDATE claims SET landed = landed + ? WHERE lease = ?", row.landed, ENDED);
  });
}

/** What was seen before some room was given back says nothing any more. */
function wakeAll(database: Database): void {
  database.run("UPDATE claims SET is_waiting = 0");
}
