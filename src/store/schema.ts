// The tables, as migrations: entry n takes a database from user_version n to n + 1. Entries are never edited after a release, only added.

/** SQL of each migration, oldest first. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE layers (
    id TEXT PRIMARY KEY, tree_digest TEXT, diff_id TEXT, uncompressed_size INTEGER, disk_size INTEGER,
    has_dir INTEGER NOT NULL DEFAULT 0, has_entries INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL, created_by TEXT NOT NULL, origin TEXT,
    last_used_ms INTEGER NOT NULL, uses INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX layers_by_tree ON layers (tree_digest) WHERE tree_digest IS NOT NULL;
  CREATE INDEX layers_by_diff ON layers (diff_id) WHERE diff_id IS NOT NULL;
  CREATE TABLE layer_blobs (
    layer_id TEXT NOT NULL, compression TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (layer_id, compression)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX layer_blobs_by_digest ON layer_blobs (digest);
  CREATE TABLE blob_sources (
    digest TEXT NOT NULL, repository TEXT NOT NULL, seen_ms INTEGER NOT NULL,
    PRIMARY KEY (digest, repository)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE records (
    key TEXT PRIMARY KEY, layer_id TEXT NOT NULL, kind TEXT NOT NULL, slot TEXT NOT NULL,
    created_ms INTEGER NOT NULL, duration_ms REAL NOT NULL, last_used_ms INTEGER NOT NULL, uses INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX records_by_slot ON records (slot, created_ms);
  CREATE INDEX records_by_layer ON records (layer_id);
  CREATE TABLE record_parts (key TEXT PRIMARY KEY, parts BLOB NOT NULL) STRICT;
  CREATE TABLE durations (op_key TEXT PRIMARY KEY, duration_ms REAL NOT NULL, last_used_ms INTEGER NOT NULL) STRICT;
  CREATE TABLE results (key TEXT PRIMARY KEY, value BLOB NOT NULL, last_used_ms INTEGER NOT NULL) STRICT;
  CREATE TABLE facts (
    kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, stored_ms INTEGER NOT NULL, last_used_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
  ) STRICT;
  CREATE INDEX facts_by_use ON facts (kind, last_used_ms);

  CREATE TABLE images (
    name TEXT UNIQUE, digest TEXT NOT NULL, descriptor TEXT NOT NULL, created_ms INTEGER NOT NULL, last_used_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX images_by_digest ON images (digest);

  CREATE TABLE pins (
    lease TEXT NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL, PRIMARY KEY (kind, target, lease)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX pins_by_lease ON pins (lease);

  CREATE TABLE mounts (
    name TEXT PRIMARY KEY, pool TEXT NOT NULL, cache_id TEXT NOT NULL, is_ready INTEGER NOT NULL DEFAULT 0,
    is_superseded INTEGER NOT NULL DEFAULT 0, created_ms INTEGER NOT NULL, last_used_ms INTEGER NOT NULL,
    uses INTEGER NOT NULL DEFAULT 0, disk_size INTEGER, measured_ms INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX mounts_by_pool ON mounts (pool, created_ms);
  `,
  // Which records were taken away, when and why, so that the miss that follows can be told from one that was never there.
  `
  CREATE TABLE evictions (key TEXT PRIMARY KEY, evicted_ms INTEGER NOT NULL, reason TEXT NOT NULL) STRICT;
  CREATE INDEX evictions_by_time ON evictions (evicted_ms);
  `,
  // The account of a ceiling (room.ts): what the store was found to hold, and what live builds have written or may write since.
  `
  CREATE TABLE room (id INTEGER PRIMARY KEY CHECK (id = 1), total INTEGER NOT NULL, measured_ms INTEGER NOT NULL) STRICT;
  CREATE TABLE claims (
    lease TEXT PRIMARY KEY, started_ms INTEGER NOT NULL, open INTEGER NOT NULL DEFAULT 0,
    landed INTEGER NOT NULL DEFAULT 0, is_waiting INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  `,
];
