// PAX extended header records, read (POSIX.1-2024 pax, "pax Extended Header"). Values are bytes: names need not be UTF-8, attributes are not text at all.
import { BuildError } from "../diagnostics/build-error.ts";

/** What the records of one header say, as far as anybody here needs it. */
export interface PaxRecords {
  readonly path?: Buffer;
  readonly linkpath?: Buffer;
  readonly size?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Decimal seconds. */
  readonly mtime?: string;
  readonly xattrs?: Readonly<Record<string, Uint8Array>>;
  readonly isSparse?: boolean;
}

type Mutable = { -readonly [K in keyof PaxRecords]: PaxRecords[K] };

const XATTR_PREFIX = "SCHILY.xattr.";
const NANOSECONDS = 1_000_000_000n;

/** Records of one extended header; of two with the same key the last holds. Fails with "content". */
export function readPax(content: Buffer): PaxRecords {
  const records: Mutable = {};
  const xattrs: Record<string, Uint8Array> = {};
  for (let at = 0; at < content.length;) {
    const blank = content.indexOf(" ", at);
    const digits = blank < 0 ? "" : content.toString("latin1", at, blank);
    const end = at + Number(digits);
    const equals = content.indexOf("=", blank);
    const isSound =
      /^[1-9]\d{0,8}$/.test(digits) &&
      end <= content.length &&
      content[end - 1] === 10 &&
      equals > blank &&
      equals < end;
    if (!isSound) throw malformed("has no sound length");
    const key = content.toString("utf8", blank + 1, equals);
    const value = content.subarray(equals + 1, end - 1);
    if (key.startsWith(XATTR_PREFIX)) xattrs[key.slice(XATTR_PREFIX.length)] = new Uint8Array(value);
    else setRecord(records, key, value);
    at = end;
  }
  if (Object.keys(xattrs).length > 0) records.xattrs = xattrs;
  return records;
}

function setRecord(records: Mutable, key: string, value: Buffer): void {
  if (key.startsWith("GNU.sparse.")) records.isSparse = true;
  switch (key) {
    case "path":
    case "linkpath":
      if (value.includes(0)) throw malformed(`"${key}" has a zero byte`);
      // An empty value takes a record back.
      if (value.length === 0) delete records[key];
      else records[key] = value;
      break;
    case "size":
    case "uid":
    case "gid":
      if (value.length === 0) delete records[key];
      else records[key] = wholeNumber(key, value.toString("latin1"));
      break;
    case "mtime":
      if (value.length === 0) delete records.mtime;
      else if (/^-?\d{1,18}(\.\d*)?$/.test(value.toString("latin1"))) records.mtime = value.toString("latin1");
      else throw malformed(`"mtime" is no time`);
      break;
    default:
  }
}

function wholeNumber(key: string, text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) throw malformed(`"${key}" is no number`);
  return value;
}

/** Nanoseconds of decimal seconds; digits beyond the ninth are dropped. */
export function timeOf(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  const [whole = "", fraction = ""] = text.replace("-", "").split(".");
  const ns = BigInt(whole) * NANOSECONDS + BigInt(fraction.slice(0, 9).padEnd(9, "0"));
  return text.startsWith("-") ? -ns : ns;
}

function malformed(what: string): BuildError {
  return new BuildError("content", `the tar archive has an extended header record that is wrong: it ${what}`);
}
