// The fields of lstat(2) that change when a file does, as values and as rows of a typed array.

export interface FileStamp {
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly ino: bigint;
  readonly dev: bigint;
  readonly mode: bigint;
}

/** 64-bit numbers per stamp in a row. */
export const STAMP_FIELDS = 6;

/** Writes `stamp` as the row that starts at element `at`; times before 1970 wrap around. */
export function putStamp(rows: BigUint64Array, at: number, stamp: FileStamp): void {
  rows[at] = stamp.size;
  rows[at + 1] = stamp.mtimeNs;
  rows[at + 2] = stamp.ctimeNs;
  rows[at + 3] = stamp.ino;
  rows[at + 4] = stamp.dev;
  rows[at + 5] = stamp.mode;
}

/** The stamp of the row that starts at element `at`. */
export function stampAt(rows: BigUint64Array, at: number): FileStamp {
  return {
    size: rows[at]!,
    mtimeNs: BigInt.asIntN(64, rows[at + 1]!),
    ctimeNs: BigInt.asIntN(64, rows[at + 2]!),
    ino: rows[at + 3]!,
    dev: rows[at + 4]!,
    mode: rows[at + 5]!,
  };
}

/** Whether two looks at a path saw the same state of the same file. */
export function isSameStamp(a: FileStamp, b: FileStamp): boolean {
  return (
    a.size === b.size &&
    a.mtimeNs === b.mtimeNs &&
    a.ctimeNs === b.ctimeNs &&
    a.ino === b.ino &&
    a.dev === b.dev &&
    a.mode === b.mode
  );
}
