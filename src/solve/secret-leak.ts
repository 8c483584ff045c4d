// A step that leaves a secret of its own in the image (pain 26): what it wrote is searched for the value before it becomes a layer. Loaded by steps that use secrets.
import { closeSync, readSync } from "node:fs";
import { baseName } from "../base/container-path.ts";
import { encodeName } from "../base/file-name.ts";
import { seekData, seekHole } from "../base/libc.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { openSource } from "../layer/file-bytes.ts";
import { Pace } from "../layer/pace.ts";
import { scanUpper } from "../layer/scan.ts";
import type { XattrNamespace } from "../layer/xattrs.ts";
import type { Tree } from "../tree/tree.ts";
import type { Entry, FileBytes } from "../tree/entry.ts";
import { lineForms, wholeForms } from "./secret-forms.ts";

export interface MountedSecret {
  readonly id: string;
  readonly value: Uint8Array;
}

/** Where a value was found. */
export interface SecretLeak {
  readonly id: string;
  /** In the image, "/"-separated, without leading slash. */
  readonly path: string;
  readonly part: "content" | "name" | "link target" | "attribute";
}

export interface LeakSearch {
  readonly upperDir: string;
  /** What the step ran on. */
  readonly below: Tree;
  readonly secrets: readonly MountedSecret[];
  readonly xattrNamespace: XattrNamespace;
  readonly signal: AbortSignal;
}

/** Shorter values are found by chance. */
const MIN_LENGTH = 8;
/** Lines of a private key that stand for it; shorter ones are its last line, or no line of it. */
const MIN_KEY_LINE = 32;
const CHUNK = 256 * 1024;

interface Needle {
  readonly id: string;
  readonly bytes: Buffer;
}

/** Fails with "command" where the upper directory of a step holds a secret that the step was given and that was not there below. */
export async function assertNoLeak(search: LeakSearch): Promise<void> {
  const leak = await findLeak(search);
  if (!leak) return;
  const where = leak.part === "content" ? "" : `the ${leak.part} of `;
  const message = `this RUN wrote the value of secret "${leak.id}" into ${where}/${leak.path}, and whoever has the image could read it there`;
  throw new BuildError("command", message, {
    help: `use the secret without keeping it, or remove that file in the same RUN; if it is meant to be in the image: --secret id=${leak.id},…,leak=allow`,
    details: { word: `id=${leak.id}` },
  });
}

export async function findLeak(search: LeakSearch): Promise<SecretLeak | undefined> {
  const needles = search.secrets.flatMap(needlesOf);
  if (needles.length === 0) return undefined;
  const { upperDir, below, xattrNamespace, signal } = search;
  const pace = new Pace({ signal });
  for (const entry of await scanUpper(upperDir, { xattrNamespace, depth: "names", signal })) {
    if (entry.type === "whiteout") continue;
    if (pace.isDue()) await pace.rest();
    for (const [part, find] of PARTS) {
      const needle = await find(entry, needles, pace);
      if (needle && !(await wasBelow(below, entry, { part, needle, pace })))
        return { id: needle.id, path: entry.path, part };
    }
  }
  return undefined;
}

type Find = (entry: Entry, needles: readonly Needle[], pace: Pace) => Promise<Needle | undefined> | Needle | undefined;

const PARTS: readonly (readonly [SecretLeak["part"], Find])[] = [
  ["name", ({ path }, needles) => among(needles, [encodeName(baseName(path))])],
  ["link target", ({ linkname = "" }, needles) => among(needles, [encodeName(linkname)])],
  ["attribute", ({ xattrs = {} }, needles) => among(needles, Object.values(xattrs))],
  // A second name of a file was searched with the first.
  [
    "content",
    ({ bytes, hardlink }, needles, pace) =>
      bytes === undefined || hardlink !== undefined ? undefined : searchBytes(bytes, needles, pace),
  ],
];

interface Hit {
  readonly part: SecretLeak["part"];
  readonly needle: Needle;
  readonly pace: Pace;
}

/** Whether the step found the value where it left it: a file that it only gave another mode, say. */
async function wasBelow(below: Tree, { path }: Entry, { part, needle, pace }: Hit): Promise<boolean> {
  const entry = await below.lstat(path);
  if (!entry) return false;
  if (part === "name") return true;
  if (part !== "content") {
    const texts = part === "attribute" ? Object.values(entry.xattrs ?? {}) : [encodeName(entry.linkname ?? "")];
    return among([needle], texts) !== undefined;
  }
  return entry.type === "file" && (await searchBytes(await below.locate(entry), [needle], pace)) !== undefined;
}

function needlesOf({ id, value }: MountedSecret): readonly Needle[] {
  const [whole, ...encoded] = wholeForms(value);
  if (whole === undefined || whole.length < MIN_LENGTH) return [];
  const isKey = whole.includes("-----BEGIN ") && whole.includes("PRIVATE KEY-----");
  const lines = isKey ? lineForms(whole).filter((line) => line.length >= MIN_KEY_LINE && line[0] !== 0x2d) : [];
  return [whole, ...encoded, ...lines].map((bytes) => ({ id, bytes }));
}

function among(needles: readonly Needle[], texts: readonly Uint8Array[]): Needle | undefined {
  return needles.find(({ bytes }) => texts.some((text) => Buffer.from(text).includes(bytes)));
}

async function searchBytes(place: FileBytes, needles: readonly Needle[], pace: Pace): Promise<Needle | undefined> {
  if (place.kind === "inline") return among(needles, [place.data]);
  const overlap = Math.max(...needles.map(({ bytes }) => bytes.length)) - 1;
  const buffer = Buffer.allocUnsafe(overlap + CHUNK);
  const fd = openSource(place.path);
  try {
    // Holes are passed over: a file may be larger than the disk.
    for (let at = seekData(fd, 0); at !== undefined; at = seekData(fd, at)) {
      const end = seekHole(fd, at) ?? at;
      let held = 0;
      while (at < end) {
        const count = readSync(fd, buffer, held, Math.min(CHUNK, end - at), at);
        if (count === 0) return undefined;
        const text = buffer.subarray(0, held + count);
        const needle = needles.find(({ bytes }) => text.includes(bytes));
        if (needle) return needle;
        held = Math.min(overlap, text.length);
        buffer.copyWithin(0, text.length - held, text.length);
        at += count;
        if (pace.isDue()) await pace.rest();
      }
    }
    return undefined;
  } finally {
    closeSync(fd);
  }
}
