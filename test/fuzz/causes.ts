// Which instruction made the place where two images differ: each entry of a history is an instruction of the Dockerfile, and a layer, or none.
import type { Outcome } from "./builders.ts";
import type { Circumstances } from "./explained.ts";
import { lineageOf, type Written } from "./lineage.ts";
import { treeAfter } from "./trees.ts";

export interface Cause {
  readonly instruction: Written;
  /** Index of its entry in the history. */
  readonly entry: number;
  /** The entry's `created_by`, with variables expanded. */
  readonly created: string;
  /** Index of the layer that it made; undefined = none. */
  readonly layer: number | undefined;
  /** Of the file that differs; "" = it is no file. */
  readonly path: string;
}

/** The instruction that made `layer N PATH`, `tree PATH` or `history[N]`; undefined = none of the Dockerfile, or not certain. */
export function causeOf(where: string, { each, docker, tsbuild }: Circumstances): Cause | undefined {
  const causes = causesOf(lineageOf(each), tsbuild);
  const history = /^history\[(\d+)\]/.exec(where);
  if (history) return causes.get(Number(history[1]));
  const file = /^(?:layer (\d+)|tree) (\/.*)$/s.exec(where);
  if (!file) return undefined;
  const path = file[2]!;
  const layer = file[1] === undefined ? lastLayerWith(path, docker, tsbuild) : Number(file[1]);
  const found = [...causes.values()].find((cause) => cause.layer === layer);
  return found && { ...found, path };
}

function lastLayerWith(path: string, ...outcomes: readonly Outcome[]): number {
  return Math.max(
    ...outcomes.map(({ facts }) =>
      (facts?.layers ?? []).findLastIndex((layer) => typeof layer !== "string" && path in layer),
    ),
  );
}

/** Index in the history → instruction. Empty where the two do not go together. */
function causesOf(lineage: readonly Written[], { facts }: Outcome): ReadonlyMap<number, Cause> {
  const history = facts?.history ?? [];
  // Below the instructions is the base image, above them what the flag --label adds.
  for (const added of [0, 1]) {
    const start = history.length - added - lineage.length;
    const isMade = (instruction: Written, at: number): boolean =>
      String(history[start + at]?.["created_by"]).startsWith(instruction.name);
    if (start < 0 || !lineage.every(isMade)) continue;
    const causes = new Map<number, Cause>();
    for (const [at, instruction] of lineage.entries()) {
      const made = history[start + at]!;
      const layer = made["empty_layer"] === true ? undefined : layersBefore(history, start + at);
      causes.set(start + at, { instruction, entry: start + at, created: String(made["created_by"]), layer, path: "" });
    }
    return causes;
  }
  return new Map();
}

function layersBefore(history: readonly Readonly<Record<string, unknown>>[], count: number): number {
  return history.slice(0, count).filter((entry) => entry["empty_layer"] !== true).length;
}

/** Sources and destination of a COPY or ADD as its history has them; the destination absolute, and behind the symbolic links that it names. */
export function copiedWords(
  { entry, created, layer }: Cause,
  { tsbuild, base }: Circumstances,
): { readonly sources: readonly string[]; readonly dest: string } {
  const words = created
    .replace(/ # buildkit$/, "")
    .split(" ")
    .filter((word, at) => at > 0 && !word.startsWith("--"));
  const history = tsbuild.facts?.history.map((entry) => String(entry["created_by"])) ?? [];
  const workdir = history.slice(0, entry).findLast((text) => text.startsWith("WORKDIR "));
  const tree = treeAfter(tsbuild, base, layer ?? 0);
  const dest = resolved(tree, joined(workdir?.slice("WORKDIR ".length) ?? "/", words.at(-1) ?? ""));
  return { sources: words.slice(0, -1), dest };
}

function joined(folder: string, path: string): string {
  return path.startsWith("/") ? path : `${folder}/${path}`;
}

/** The path without "." and "..", and without the symbolic links that `tree` has on the way. */
export function resolved(tree: ReadonlyMap<string, string>, path: string, depth = 0): string {
  const parts: string[] = [];
  const names = path.split("/");
  for (const [at, name] of names.entries()) {
    if (name === "..") parts.pop();
    else if (name !== "" && name !== ".") parts.push(name);
    const target = / -> (.*?)(?: time of the context)?$/.exec(linkAt(tree, parts))?.[1];
    if (target === undefined || depth > 20) continue;
    const rest = names.slice(at + 1).join("/");
    return resolved(tree, `${joined(`/${parts.slice(0, -1).join("/")}`, target)}/${rest}`, depth + 1);
  }
  return `/${parts.join("/")}`;
}

function linkAt(tree: ReadonlyMap<string, string>, parts: readonly string[]): string {
  const text = tree.get(`/${parts.join("/")}`) ?? "";
  return text.startsWith("link ") ? text : "";
}
