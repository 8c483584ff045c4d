// What earlier builds found out: which layer a key leads to (cache records), which image a whole build leads to (results), how long an op took,
// and small remembered facts (resolved tags, validators, git refs). It does not say what belongs into a key: solve/cache-key does.
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { nowMs } from "../base/clock.ts";
import type { Digest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/image.ts";
import type { Database } from "./database.ts";
import { sealBytes, unsealBytes } from "./sealed.ts";

/** One named part of a key, to tell in words why a key differs. */
export interface KeyPart {
  readonly name: string;
  readonly value: string;
}

export interface CacheRecord {
  readonly key: Digest;
  readonly layerId: string;
  /** Which kind of key: "definition" or "content", or what else the solver calls it. */
  readonly kind: string;
  /** Read from the disk when first asked for, because a hit does not need them; empty where they are lost. */
  readonly parts: readonly KeyPart[];
  /** The place in a Dockerfile that the step stands at: steps of one slot are compared to explain a miss. */
  readonly slot: string;
  readonly createdMs: number;
  readonly durationMs: number;
  readonly lastUsedMs: number;
  readonly uses: number;
}

export interface NewRecord {
  readonly key: Digest;
  readonly layerId: string;
  readonly kind: string;
  readonly parts: readonly KeyPart[];
  readonly slot: string;
  readonly durationMs: number;
  /** When the step ran; undefined = now. */
  readonly createdMs?: number;
}

/** What a build whose whole key is known already leads to. */
export interface ImageResult {
  readonly manifest: Descriptor;
  readonly manifestBytes: Uint8Array;
  readonly configBytes: Uint8Array;
  /** Layers of the image, bottom first. */
  readonly layerIds: readonly string[];
}

export interface Fact {
  readonly value: Uint8Array;
  readonly storedMs: number;
}

interface RecordRow {
  readonly key: string;
  readonly layer_id: string;
  readonly kind: string;
  readonly slot: string;
  readonly created_ms: number;
  readonly duration_ms: number;
  readonly last_used_ms: number;
  readonly uses: number;
}

/** What took a record away: somebody who asked for it, the ceiling of `--cache-max-size`, or a limit on age. */
export type EvictionReason = "pruned" | "ceiling" | "age";

export interface Eviction {
  readonly atMs: number;
  readonly reason: EvictionReason;
}

const TOUCH_MS = 10 * 60_000;
const MAX_RESULTS = 500;
const MAX_DURATIONS = 20_000;
/** The oldest are forgotten; a row takes some 150 bytes. */
const MAX_EVICTIONS = 10_000;
/** Facts of one kind; the least recently used make room. */
const MAX_FACTS = 2_000;
/** Every so many writes the surplus goes; between them a table may be that much longer. */
const TRIM_EVERY = 64;

export class RecordTable {
  readonly #database: Database;
  #writes = 0;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The record of `key`, if its layer is still there. Notes the use of both, at the next flush. */
  find(key: Digest): CacheRecord | undefined {
    const row = this.#database.get<RecordRow>(
      "SELECT records.* FROM records JOIN layers ON layers.id = records.layer_id WHERE key = ?",
      key,
    );
    if (!row) return undefined;
    const now = nowMs();
    if (now - row.last_used_ms >= TOUCH_MS) {
      const touch = (table: string, column: string) =>
        `UPDATE ${table} SET last_used_ms = max(last_used_ms, ?), uses = uses + 1 WHERE ${column} = ?`;
      this.#database.later(`record ${key}`, touch("records", "key"), now, key);
      this.#database.later(`layer ${row.layer_id}`, touch("layers", "id"), now, row.layer_id);
    }
    return this.#recordOf(row);
  }

  /** Whether there is a record, whatever became of its layer. */
  has(key: Digest): boolean {
    return this.#database.get("SELECT 1 FROM records WHERE key = ?", key) !== undefined;
  }

  /** Stores a record, in place of an earlier one of the same key. */
  put(record: NewRecord): void {
    const now = nowMs();
    this.#database.transaction(() => {
      this.#database.run(
        `INSERT OR REPLACE INTO records (key, layer_id, kind, slot, created_ms, duration_ms, last_used_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?)`,
        record.key,
        record.layerId,
        record.kind,
        record.slot,
        record.createdMs ?? now,
        record.durationMs,
        now,
      );
      const parts = zstdCompressSync(JSON.stringify(record.parts));
      this.#database.run(
        "INSERT OR REPLACE INTO record_parts (key, parts) VALUES (?, ?)",
        record.key,
        sealBytes(parts),
      );
    });
  }

  /** Keys that lead to a layer, the newest first. */
  keysOf(layerId: string, limit: number): readonly Digest[] {
    const sql = "SELECT key FROM records WHERE layer_id = ? ORDER BY created_ms DESC, rowid DESC LIMIT ?";
    return this.#database.all<{ key: string }>(sql, layerId, limit).map(({ key }) => key as Digest);
  }

  /** Forgets a record whose layer turned out to be unusable. */
  remove(key: Digest): void {
    this.#database.transaction(() => {
      this.#database.run("DELETE FROM records WHERE key = ?", key);
      this.#database.run("DELETE FROM record_parts WHERE key = ?", key);
    });
  }

  /** Notes that the records which lead to this layer are about to lose it. Call in the transaction that takes the layer away. */
  noteEviction(layerId: string, reason: EvictionReason): void {
    const sql =
      "INSERT OR REPLACE INTO evictions (key, evicted_ms, reason) SELECT key, ?, ? FROM records WHERE layer_id = ?";
    if (this.#database.run(sql, nowMs(), reason, layerId) === 0 || ++this.#writes % TRIM_EVERY !== 0) return;
    this.#database.run(
      `DELETE FROM evictions WHERE rowid NOT IN (SELECT rowid FROM evictions ORDER BY evicted_ms DESC, rowid DESC LIMIT ${MAX_EVICTIONS})`,
    );
  }

  /** Forgets everything by which a build would find the layer: its records, and whole builds that have it. */
  forgetLayer(layerId: string): void {
    this.#database.transaction(() => {
      this.noteEviction(layerId, "pruned");
      this.#database.run("DELETE FROM record_parts WHERE key IN (SELECT key FROM records WHERE layer_id = ?)", layerId);
      this.#database.run("DELETE FROM records WHERE layer_id = ?", layerId);
      for (const { key, layerIds } of this.results()) if (layerIds.includes(layerId)) this.removeResult(key);
    });
  }

  /** When and why what this key led to was removed; undefined where it is there, was never there, or went too long ago to be remembered. */
  evictionOf(key: Digest): Eviction | undefined {
    const row = this.#database.get<{ evicted_ms: number; reason: EvictionReason }>(
      `SELECT evicted_ms, reason FROM evictions WHERE key = ?
       AND NOT EXISTS (SELECT 1 FROM records JOIN layers ON layers.id = records.layer_id WHERE records.key = evictions.key)`,
      key,
    );
    return row && { atMs: row.evicted_ms, reason: row.reason };
  }

  /** The newest record of a slot, whatever became of its layer: what a miss is compared with. */
  lastOfSlot(slot: string, kind?: string): CacheRecord | undefined {
    const row =
      kind === undefined
        ? this.#database.get<RecordRow>(
            "SELECT * FROM records WHERE slot = ? ORDER BY created_ms DESC, rowid DESC LIMIT 1",
            slot,
          )
        : this.#database.get<RecordRow>(
            "SELECT * FROM records WHERE slot = ? AND kind = ? ORDER BY created_ms DESC, rowid DESC LIMIT 1",
            slot,
            kind,
          );
    return row && this.#recordOf(row);
  }

  /** Milliseconds that the op took last time; undefined where it never ran here. */
  duration(opKey: string): number | undefined {
    const sql = "SELECT duration_ms FROM durations WHERE op_key = ?";
    return this.#database.get<{ duration_ms: number }>(sql, opKey)?.duration_ms;
  }

  setDuration(opKey: string, durationMs: number): void {
    const sql = "INSERT OR REPLACE INTO durations (op_key, duration_ms, last_used_ms) VALUES (?, ?, ?)";
    this.#database.run(sql, opKey, durationMs, nowMs());
    this.#trim("durations", MAX_DURATIONS);
  }

  findResult(key: Digest): ImageResult | undefined {
    const row = this.#database.get<{ value: Uint8Array; last_used_ms: number }>(
      "SELECT value, last_used_ms FROM results WHERE key = ?",
      key,
    );
    const text = row && unsealBytes(row.value);
    if (!text) return undefined;
    const now = nowMs();
    if (now - row.last_used_ms >= TOUCH_MS)
      this.#database.later(`result ${key}`, "UPDATE results SET last_used_ms = ? WHERE key = ?", now, key);
    const { manifest, manifestBytes, configBytes, layerIds } = JSON.parse(Buffer.from(text).toString()) as StoredResult;
    return {
      manifest,
      layerIds,
      manifestBytes: Buffer.from(manifestBytes, "base64"),
      configBytes: Buffer.from(configBytes, "base64"),
    };
  }

  putResult(key: Digest, result: ImageResult): void {
    const stored: StoredResult = {
      manifest: result.manifest,
      layerIds: result.layerIds,
      manifestBytes: Buffer.from(result.manifestBytes).toString("base64"),
      configBytes: Buffer.from(result.configBytes).toString("base64"),
    };
    const sql = "INSERT OR REPLACE INTO results (key, value, last_used_ms) VALUES (?, ?, ?)";
    this.#database.run(sql, key, sealBytes(Buffer.from(JSON.stringify(stored))), nowMs());
    this.#trim("results", MAX_RESULTS);
  }

  /** The layers of every remembered build, bottom first. */
  results(): readonly { readonly key: Digest; readonly layerIds: readonly string[]; readonly lastUsedMs: number }[] {
    const rows = this.#database.all<{ key: Digest; value: Uint8Array; last_used_ms: number }>(
      "SELECT key, value, last_used_ms FROM results",
    );
    return rows.flatMap((row) => {
      const text = unsealBytes(row.value);
      if (!text) return [];
      const { layerIds } = JSON.parse(Buffer.from(text).toString()) as StoredResult;
      return [{ key: row.key, layerIds, lastUsedMs: row.last_used_ms }];
    });
  }

  removeResult(key: Digest): void {
    this.#database.run("DELETE FROM results WHERE key = ?", key);
  }

  /** A remembered fact with the time at which it was stored; its age is for the caller to judge. */
  getBlob(kind: string, key: string): Fact | undefined {
    const row = this.#database.get<{ value: Uint8Array; stored_ms: number; last_used_ms: number }>(
      "SELECT value, stored_ms, last_used_ms FROM facts WHERE kind = ? AND key = ?",
      kind,
      key,
    );
    const value = row && unsealBytes(row.value);
    if (!value) return undefined;
    const now = nowMs();
    if (now - row.last_used_ms >= TOUCH_MS) {
      const sql = "UPDATE facts SET last_used_ms = ? WHERE kind = ? AND key = ?";
      this.#database.later(`fact ${kind} ${key}`, sql, now, kind, key);
    }
    return { value, storedMs: row.stored_ms };
  }

  putBlob(kind: string, key: string, value: Uint8Array): void {
    const now = nowMs();
    const sql = "INSERT OR REPLACE INTO facts (kind, key, value, stored_ms, last_used_ms) VALUES (?, ?, ?, ?, ?)";
    this.#database.run(sql, kind, key, sealBytes(value), now, now);
    if (++this.#writes % TRIM_EVERY !== 0) return;
    this.#database.run(
      `DELETE FROM facts WHERE kind = ? AND rowid NOT IN
       (SELECT rowid FROM facts WHERE kind = ? ORDER BY last_used_ms DESC, rowid DESC LIMIT ${MAX_FACTS})`,
      kind,
      kind,
    );
  }

  removeBlob(kind: string, key: string): void {
    this.#database.run("DELETE FROM facts WHERE kind = ? AND key = ?", kind, key);
  }

  #trim(table: "durations" | "results", limit: number): void {
    if (++this.#writes % TRIM_EVERY !== 0) return;
    this.#database.run(
      `DELETE FROM ${table} WHERE rowid NOT IN (SELECT rowid FROM ${table} ORDER BY last_used_ms DESC, rowid DESC LIMIT ${limit})`,
    );
  }

  #recordOf(row: RecordRow): CacheRecord {
    const readParts = (): readonly KeyPart[] => this.#parts(row.key);
    let parts: readonly KeyPart[] | undefined;
    return {
      key: row.key as Digest,
      layerId: row.layer_id,
      kind: row.kind,
      slot: row.slot,
      createdMs: row.created_ms,
      durationMs: row.duration_ms,
      lastUsedMs: row.last_used_ms,
      uses: row.uses,
      get parts() {
        return (parts ??= readParts());
      },
    };
  }

  #parts(key: string): readonly KeyPart[] {
    const row = this.#database.get<{ parts: Uint8Array }>("SELECT parts FROM record_parts WHERE key = ?", key);
    const bytes = row && unsealBytes(row.parts);
    return bytes ? (JSON.parse(zstdDecompressSync(bytes).toString("utf8")) as KeyPart[]) : [];
  }
}

interface StoredResult {
  readonly manifest: Descriptor;
  readonly layerIds: readonly string[];
  /** Base64. */
  readonly manifestBytes: string;
  readonly configBytes: string;
}
