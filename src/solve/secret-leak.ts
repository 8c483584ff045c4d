// A step that leaves a secret of its own in the image (pain 26): what it wrote is searched for the value before it becomes a layer. Loaded by steps that use secrets.
import { decodeName, encodeName } from "../base/file-name.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { displayText } from "../diagnostics/display-width.ts";
import { Pace } from "../layer/pace.ts";
import { scanUpper } from "../layer/scan.ts";
import type { XattrNamespace } from "../layer/xattrs.ts";
import type { Tree } from "../tree/tree.ts";
import type { Entry } from "../tree/entry.ts";
import { Redactor } from "./redact.ts";
import { needlesOf, searchBytes, searchText, type Needle } from "./secret-search.ts";

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

/** Fails with "command" where the upper directory of a step holds a secret that the step was given and that was not there below. */
export async function assertNoLeak(search: LeakSearch): Promise<void> {
  const leak = await findLeak(search);
  if (!leak) return;
  const where = leak.part === "content" ? "" : `the ${leak.part} of `;
  const message = `this RUN wrote the value of secret "${leak.id}" into ${where}/${masked(leak.path, search.secrets)}, and whoever has the image could read it there`;
  throw new BuildError("command", message, {
    help: `use the secret without keeping it, or remove that file in the same RUN; if it is meant to be in the image: --secret id=${leak.id},…,leak=allow`,
    details: { word: `id=${leak.id}` },
  });
}

/** The path may be what holds the value. */
function masked(path: string, secrets: readonly MountedSecret[]): string {
  const redactor = new Redactor(secrets.map(({ value }) => value));
  return displayText(decodeName(Buffer.concat([redactor.push(encodeName(path)), redactor.end()])));
}

export async function findLeak(search: LeakSearch): Promise<SecretLeak | undefined> {
  const needles = search.secrets.flatMap(({ id, value }) => needlesOf(id, value));
  if (needles.length === 0) return undefined;
  const { upperDir, below, xattrNamespace, signal } = search;
  const pace = new Pace({ signal });
  for (const entry of await scanUpper(upperDir, { xattrNamespace, depth: "names", signal })) {
    if (entry.type === "whiteout") continue;
    if (pace.isDue()) await pace.rest();
    for (const { part, find } of PARTS) {
      const found = await find(entry, needles, pace);
      if (found.length === 0) continue;
      // What the step found where it left it is not its doing: a file that it only gave another mode, say.
      const old = await below.lstat(entry.path);
      const before = old ? await find(await located(below, old), found, pace) : [];
      const needle = found.find((each) => !before.includes(each));
      if (needle) return { id: needle.id, path: entry.path, part };
    }
  }
  return undefined;
}

interface Part {
  readonly part: SecretLeak["part"];
  readonly find: (
    entry: Entry,
    needles: readonly Needle[],
    pace: Pace,
  ) => Promise<readonly Needle[]> | readonly Needle[];
}

const PARTS: readonly Part[] = [
  { part: "name", find: ({ path }, needles) => inLastName(path, needles) },
  { part: "link target", find: ({ linkname = "" }, needles) => searchText(encodeName(linkname), needles) },
  {
    part: "attribute",
    find: ({ xattrs = {} }, needles) =>
      Object.entries(xattrs).flatMap(([name, value]) => [
        ...searchText(encodeName(name), needles),
        ...searchText(value, needles),
      ]),
  },
  {
    part: "content",
    find: ({ bytes, hardlink }, needles, pace) =>
      // A second name of a file was searched with the first.
      bytes === undefined || hardlink !== undefined ? [] : searchBytes(bytes, needles, pace),
  },
];

async function located(below: Tree, entry: Entry): Promise<Entry> {
  const { hardlink: _, ...file } = entry;
  return entry.type === "file" ? { ...file, bytes: await below.locate(entry) } : entry;
}

/** A value with slashes in it may be several names. Where it stands in the directories alone, they have been searched. */
function inLastName(path: string, needles: readonly Needle[]): readonly Needle[] {
  const text = encodeName(path);
  const parent = text.lastIndexOf("/");
  return searchText(text, needles).filter(({ bytes }) => text.lastIndexOf(bytes) + bytes.length > parent + 1);
}
