// Looks for the values of secrets in bytes: of a file however large, of a name, of an attribute.
import { closeSync, readSync } from "node:fs";
import { seekData, seekHole } from "../base/libc.ts";
import { openSource } from "../layer/file-bytes.ts";
import type { Pace } from "../layer/pace.ts";
import type { FileBytes } from "../tree/entry.ts";
import { base64Cores, lineForms, plainForms } from "./secret-forms.ts";

/** One form of one secret. */
export interface Needle {
  readonly id: string;
  readonly bytes: Buffer;
  /** Set where line ends may cut the form: all of it. `bytes` is then a part of it. */
  readonly whole?: string;
}

/** Shorter values are found by chance. */
const MIN_LENGTH = 8;
/** Lines of a private key that stand for it; shorter ones are its last line, or no line of it. */
const MIN_KEY_LINE = 32;
/** Two pieces in a row of which one is uncut: base64 has lines of 64 or 76 characters. */
const PIECE = 24;
const CHUNK = 256 * 1024;

export function needlesOf(id: string, value: Uint8Array): Needle[] {
  const plain = plainForms(value);
  const [whole] = plain;
  if (whole === undefined || whole.length < MIN_LENGTH) return [];
  const isKey = whole.includes("-----BEGIN ") && whole.includes("PRIVATE KEY-----");
  const lines = isKey ? lineForms(whole).filter((line) => line.length >= MIN_KEY_LINE && line[0] !== 0x2d) : [];
  return [
    ...[...plain, ...lines].map((bytes) => ({ id, bytes })),
    ...base64Cores(value).flatMap((core) => wrapped(id, core)),
  ];
}

/** A form that lines may cut is known by a piece that they did not cut. */
function wrapped(id: string, core: Buffer): Needle[] {
  if (core.length <= 2 * PIECE) return [{ id, bytes: core }];
  const whole = core.toString("latin1");
  return [0, 1].map((at) => ({ id, bytes: core.subarray(at * PIECE, (at + 1) * PIECE), whole }));
}

/** Which of the needles `text` holds. */
export function searchText(text: Uint8Array, needles: readonly Needle[]): Needle[] {
  const bytes = Buffer.from(text.buffer, text.byteOffset, text.byteLength);
  return needles.filter((needle) => holds(bytes, 0, needle, (from, to) => bytes.subarray(from, to)));
}

/** Which of the needles a file's bytes hold. Holes are passed over: a file may be larger than the disk. */
export async function searchBytes(place: FileBytes, needles: readonly Needle[], pace: Pace): Promise<Needle[]> {
  if (place.kind === "inline") return searchText(place.data, needles);
  const overlap = Math.max(...needles.map(({ bytes }) => bytes.length)) - 1;
  const buffer = Buffer.allocUnsafe(overlap + CHUNK);
  const found = new Set<Needle>();
  const fd = openSource(place.path);
  const around: Around = (from, to) => {
    const bytes = Buffer.alloc(to - from);
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, from));
  };
  try {
    for (let at = seekData(fd, 0); at !== undefined; at = seekData(fd, at)) {
      const end = seekHole(fd, at) ?? at;
      let held = 0;
      while (at < end && found.size < needles.length) {
        const count = readSync(fd, buffer, held, Math.min(CHUNK, end - at), at);
        if (count === 0) return [...found];
        const text = buffer.subarray(0, held + count);
        for (const needle of needles)
          if (!found.has(needle) && holds(text, at - held, needle, around)) found.add(needle);
        held = Math.min(overlap, text.length);
        buffer.copyWithin(0, text.length - held, text.length);
        at += count;
        if (pace.isDue()) await pace.rest();
      }
    }
    return [...found];
  } finally {
    closeSync(fd);
  }
}

/** The bytes from one place to another, or as many of them as there are. */
type Around = (from: number, to: number) => Buffer;

/** `start`: where in the file `text` begins. */
function holds(text: Buffer, start: number, { bytes, whole }: Needle, around: Around): boolean {
  for (let at = text.indexOf(bytes); at >= 0; at = text.indexOf(bytes, at + 1)) {
    if (whole === undefined) return true;
    // Line ends and what the lines are indented by.
    const reach = 2 * whole.length + 256;
    const near = around(Math.max(0, start + at - reach), start + at + reach).toString("latin1");
    if (near.replace(/[\r\n\t ]+/g, "").includes(whole)) return true;
  }
  return false;
}
