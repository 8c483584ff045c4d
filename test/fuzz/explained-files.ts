// Differences of layers and of the final tree that are meant.
import type { Difference } from "../compare/differences.ts";
import type { LayerFacts } from "../compare/image-facts.ts";
import type { Outcome } from "./builders.ts";
import { causeOf, copiedWords, type Cause } from "./causes.ts";
import type { Circumstances, Explanation } from "./explained.ts";
import { flagValues, type Written } from "./lineage.ts";
import { isExcluded, matches } from "./patterns.ts";
import { linkTarget, treeAfter } from "./trees.ts";

export const EXPLAINED_FILES: readonly Explanation[] = [
  {
    row: "T04",
    why: "a new name of an old file: docker writes a second copy of it and leaves out the old name, which is as it was; tsbuild's layer has all names of one file",
    holds: (difference, circumstances) =>
      isNewNameOfOldFile(difference, circumstances) || isOldNameOfLinkedFile(difference, circumstances),
  },
  {
    row: "T25",
    why: "docker's daemon applies its umask to --chmod of directories that it makes for a destination; tsbuild's modes are those that were given",
    holds: isMasked,
  },
  {
    row: "C14",
    why: "--exclude leaves out what a wildcard matches, as it is documented; BuildKit 0.25 copies it (moby/buildkit#5489)",
    holds: isExcludedByName,
  },
  {
    row: "T03",
    why: "docker's layers have no extended attribute but security.capability; tsbuild's have the user's own, as BuildKit copied them",
    holds: ({ where, docker, tsbuild }, { each }) => {
      const path = /^(?:layer \d+|tree) (\/.*)$/s.exec(where)?.[1];
      const value = / user\.fuzz=([0-9a-f]+)/.exec(tsbuild ?? "")?.[1];
      return (
        path !== undefined &&
        value !== undefined &&
        docker === tsbuild!.replace(` user.fuzz=${value}`, "") &&
        each.files.some((file) => file.kind === "file" && hexOf(file.xattr) === value)
      );
    },
  },
];

/** Such a directory, in the layer that makes it or, as it was, in a later one. */
function isMasked(difference: Difference, circumstances: Circumstances): boolean {
  if (isMadeMasked(difference, circumstances)) return true;
  const cause = causeOf(difference.where, circumstances);
  if (cause?.layer === undefined) return false;
  const { path, layer: last } = cause;
  const { docker: theirs, tsbuild: ours, base } = circumstances;
  const [docker, tsbuild] = [treeAfter(theirs, base, last).get(path), treeAfter(ours, base, last).get(path)];
  if (docker !== difference.docker || tsbuild !== difference.tsbuild) return false;
  const earlier = Array.from({ length: last }, (_, at) => `layer ${at} ${path}`);
  return earlier.some((where) => isMadeMasked({ where, docker, tsbuild }, circumstances));
}

/** A directory that was not there, for which docker's mode is that of --chmod without what umask 022 takes. */
function isMadeMasked({ where, docker = "", tsbuild = "" }: Difference, circumstances: Circumstances): boolean {
  const cause = causeOf(where, circumstances);
  const chmod = / --chmod=(\d+) /.exec(cause?.created ?? "")?.[1];
  // A directory is made with the lower bits only.
  const given = chmod === undefined ? undefined : octal(Number.parseInt(chmod, 8) & 0o777);
  if (cause?.layer === undefined || given === undefined || !/^(COPY|ADD)$/.test(cause.instruction.name)) return false;
  const { dest } = copiedWords(cause, circumstances);
  const isMade = !treeAfter(circumstances.tsbuild, circumstances.base, cause.layer).has(cause.path);
  const masked = octal(Number.parseInt(given, 8) & ~0o022);
  return (
    isMade &&
    (dest === cause.path || dest.startsWith(`${cause.path}/`)) &&
    tsbuild.startsWith(`directory ${given} `) &&
    docker === tsbuild.replace(given, masked)
  );
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

/** What a source with a wildcard matches, and a pattern of --exclude leaves out: there for docker only, at the destination. */
function isExcludedByName({ where, docker, tsbuild }: Difference, circumstances: Circumstances): boolean {
  const cause = causeOf(where, circumstances);
  if (docker === undefined || cause === undefined || !/^(COPY|ADD)$/.test(cause.instruction.name)) return false;
  const { sources, dest } = copiedWords(cause, circumstances);
  const lost = sources.flatMap((source) => excludedOf(source, cause.instruction, circumstances));
  // What keeps nothing makes no destination either; linked, it makes it anew.
  if (cause.path === dest || dest.startsWith(`${cause.path}/`))
    return lost.length > 0 && docker.startsWith("directory") && (tsbuild ?? "directory").startsWith("directory");
  const folder = dest === "/" ? dest : `${dest}/`;
  return tsbuild === undefined && cause.path.startsWith(folder) && lost.includes(cause.path.slice(folder.length));
}

/** Paths below the destination. */
function excludedOf(source: string, copy: Written, { each, base }: Circumstances): string[] {
  const patterns = flagValues(copy, "--exclude");
  const parts = source.split("/").filter((part) => !/^\.{0,2}$/.test(part));
  const wild = parts.findIndex((part) => /[*?[]/.test(part));
  if (patterns.length === 0 || wild === -1) return [];
  const [from] = flagValues(copy, "--from");
  const tree = from === undefined ? each.files.map(({ path }) => path) : [...pathsOf(base)];
  const found = new Set<string>();
  for (const path of tree) {
    const names = path.split("/").filter((name) => name !== "");
    const match = names.slice(0, parts.length);
    if (!parts.every((part, at) => match[at] !== undefined && matches(part, match[at]))) continue;
    if (!isExcluded(patterns, match.slice(wild).join("/"))) continue;
    // A file keeps its name, a directory gives what is in it.
    const below = names.slice(match.length);
    if (below.length === 0) found.add(match.at(-1)!);
    for (const [at] of below.entries()) found.add(below.slice(0, at + 1).join("/"));
  }
  return [...found];
}

function hexOf(text = ""): string {
  return Buffer.from(text).toString("hex");
}

function pathsOf(layers: readonly LayerFacts[]): Set<string> {
  return new Set(layers.flatMap((layer) => Object.keys(layer)));
}

/** An entry of tsbuild's layer that changes nothing, and is there for a name that the layer's RUN links to it, or stands above nothing else. */
function isOldNameOfLinkedFile({ where, docker, tsbuild }: Difference, circumstances: Circumstances): boolean {
  const { tsbuild: side, base } = circumstances;
  const cause = causeOf(where, circumstances);
  if (!where.startsWith("layer") || cause?.layer === undefined || docker !== undefined || tsbuild === undefined)
    return false;
  const { layer, path } = cause;
  if (!isUnchanged(side, base, layer, path)) return false;
  if (!tsbuild.startsWith("directory")) return isLinkedBy(cause, circumstances);
  const inside = Object.entries(layerAt(side, layer)).filter(([other]) => other.startsWith(`${path}/`));
  const files = inside.filter(([, text]) => !text.startsWith("directory"));
  return (
    files.length > 0 &&
    inside.every(([other]) => isUnchanged(side, base, layer, other)) &&
    files.every(([other]) => isLinkedBy({ ...cause, path: other }, circumstances))
  );
}

function layerAt({ facts }: Outcome, at: number): LayerFacts {
  const layer = facts?.layers[at];
  return typeof layer === "object" ? layer : {};
}

/** All names that a layer has for the file at `path`. */
function sameFile(entries: readonly (readonly [string, string])[], path: string): string[] {
  const first = (name: string, text: string): string => linkTarget(text) ?? name;
  const own = entries.find(([name]) => name === path);
  return own ? entries.flatMap(([name, text]) => (first(name, text) === first(...own) ? name : [])) : [];
}

/** But for the time: a file that was only touched is left out, too. And but for what docker never has (T03). */
function isUnchanged(side: Outcome, base: readonly LayerFacts[], layer: number, path: string): boolean {
  const [below, above] = [treeAfter(side, base, layer).get(path), treeAfter(side, base, layer + 1).get(path)];
  return below !== undefined && withoutTime(below) === withoutTime(above ?? "");
}

function withoutTime(text: string): string {
  return text.replace(/ user\.fuzz=\w+/, "").replace(/ time of the context$/, "");
}

/** The same file; a hard link for one builder, a file of its own, or of older names, for the other. */
export function isNewNameOfOldFile({ where, docker, tsbuild }: Difference, circumstances: Circumstances): boolean {
  const { docker: theirs, tsbuild: ours, base } = circumstances;
  const cause = causeOf(where, circumstances);
  if (docker === undefined || tsbuild === undefined || cause?.layer === undefined) return false;
  const count = where.startsWith("layer") ? cause.layer + 1 : Number.POSITIVE_INFINITY;
  const [a, b] = [treeAfter(theirs, base, count).get(cause.path), treeAfter(ours, base, count).get(cause.path)];
  if (a === undefined || withoutTime(a) !== withoutTime(b ?? "")) return false;
  // What docker links, tsbuild may have apart only because a layer of tsbuild's says the old name again.
  if (linkTarget(tsbuild) !== undefined) return isLinkedBy(cause, circumstances);
  return linkTarget(docker) !== undefined && namesAgain(theirs, ours, base, cause.path);
}

/** Whether the step makes a hard link to a file that was there, and this is one of that file's names. */
function isLinkedBy(cause: Cause, { tsbuild, base }: Circumstances): boolean {
  if (cause.instruction.name !== "RUN") return false;
  const old = treeAfter(tsbuild, base, cause.layer!);
  const names = sameFile(Object.entries(layerAt(tsbuild, cause.layer!)), cause.path);
  const text = [cause.instruction.text, ...cause.instruction.body].join("\n");
  const made = namesMade(text).map((name) => name.slice(name.lastIndexOf("/")));
  return names.some((name) => old.has(name)) && names.some((name) => made.some((end) => name.endsWith(end)));
}

/** As a script has them: what `ln` makes, and what `mv` makes of that. */
function namesMade(script: string): string[] {
  const made: string[] = [];
  for (const [, tool, from, to] of script.matchAll(/\b(ln|mv) (?!-)(\S+) ([^\s;"]+)/g))
    if (tool === "ln" || made.includes(from!)) made.push(to!);
  return made;
}

function namesAgain(theirs: Outcome, ours: Outcome, base: readonly LayerFacts[], path: string): boolean {
  const at = (ours.facts?.layers ?? []).findLastIndex((layer) => typeof layer !== "string" && path in layer);
  const layer = theirs.facts?.layers[at];
  return at !== -1 && typeof layer === "object" && !(path in layer) && isUnchanged(ours, base, at, path);
}
