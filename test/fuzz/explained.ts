// Differences from docker that are meant, each with its row and its reason. Everything else that the fuzzer finds is a fault.
// "docker" here is docker 28.5 with BuildKit 0.25 and containerd's snapshots; rows are those of the reference.
import type { Difference } from "../compare/differences.ts";
import type { LayerFacts } from "../compare/image-facts.ts";
import type { Outcome } from "./builders.ts";
import type { FuzzCase } from "./fuzz-case.ts";
import { linkTarget, treeAfter } from "./trees.ts";

export interface Circumstances {
  readonly each: FuzzCase;
  readonly docker: Outcome;
  readonly tsbuild: Outcome;
  /** What the layers hold that are only a name in the facts. */
  readonly base: readonly LayerFacts[];
}

interface Explanation {
  readonly row: string;
  readonly why: string;
  readonly holds: (difference: Difference, circumstances: Circumstances) => boolean;
}

const EXPLANATIONS: readonly Explanation[] = [
  {
    row: "HI13",
    why: "BuildKit 0.25 writes HEALTHCHECK as a pointer; newer BuildKit and tsbuild write its fields",
    holds: ({ where, docker }) => where.startsWith("history") && docker?.startsWith('"HEALTHCHECK &') === true,
  },
  {
    row: "O07",
    why: "BuildKit 0.25 keeps an absolute WORKDIR as it is written; newer BuildKit and tsbuild clean it",
    holds: ({ where, docker = "", tsbuild = "" }) =>
      /^(config\.config\.WorkingDir|history\[\d+\]\.created_by)$/.test(where) &&
      /^"(WORKDIR )?\//.test(docker) &&
      cleaned(docker) === tsbuild,
  },
  {
    row: "H05",
    why: "BuildKit 0.25 looks for #! before it takes the tabs of <<- away; newer BuildKit and tsbuild afterwards (T41)",
    holds: ({ where, docker = "", tsbuild = "" }) =>
      where.startsWith("history") && /^"RUN .*#!/.test(docker) && /\/dev\/pipes\/\w+ # buildkit"$/.test(tsbuild),
  },
  {
    row: "T01",
    why: "what was written again as it was: docker's layer leaves it out, tsbuild's names it; the trees are equal",
    holds: isWrittenAgain,
  },
  {
    row: "T04",
    why: "a new name of an old file: docker writes a second copy of it, tsbuild both names of one file",
    holds: isNewNameOfOldFile,
  },
  {
    row: "T05",
    why: "a name that begins with .wh. would delete a file of the image; tsbuild refuses it, docker writes the image",
    holds: ({ where, docker, tsbuild }) =>
      where === "build" &&
      docker === "an image" &&
      tsbuild?.includes('names that begin with ".wh." mark deletions') === true,
  },
  {
    row: "Q32",
    why: "what is made from scratch has no base of this run: docker's cache knows the step from an earlier run",
    holds: ({ where, docker }, { each }) =>
      where.startsWith("cache ") &&
      docker === "cached" &&
      each.parts.some((part) => /^\s*FROM\s[\s\S]*\bscratch\b/i.test(part)),
  },
  {
    row: "T25",
    why: "docker's daemon applies its umask to --chmod of directories that it makes for a destination; tsbuild's modes are those that were given",
    holds: ({ where, docker = "", tsbuild = "" }, { each }) =>
      /^(layer|tree) /.test(where) &&
      each.parts.some((part) => part.includes("--chmod=")) &&
      docker === tsbuild.replace(/^directory (\d+)/, (_, mode: string) => `directory ${masked(mode)}`),
  },
  {
    row: "T32",
    why: "BuildKit 0.25 does not find a dangling link that COPY --exclude comes upon (moby/buildkit#4946)",
    holds: ({ where, docker, tsbuild }, { each }) =>
      where === "build" &&
      tsbuild === "an image" &&
      /--exclude[\s\S]*failed to calculate checksum of ref \S+: "[^"]*": not found/.test(docker ?? "") &&
      each.files.some(({ kind }) => kind === "symlink"),
  },
  {
    row: "C07",
    why: "a wildcard may match nothing; BuildKit sends only what some pattern matches and then misses the directory that the wildcard is in",
    holds: ({ where, docker, tsbuild }, { each }) =>
      where === "build" &&
      tsbuild === "an image" &&
      /lstat \/[^:]*: no such file or directory/.test(docker ?? "") &&
      each.parts.some((part) => /(COPY|ADD)\b[\s\S]*\w\/\S*[*?[]/i.test(part)),
  },
  {
    row: "C14",
    why: "--exclude leaves out what a wildcard matches, as it is documented; BuildKit 0.25 copies it (moby/buildkit#5489)",
    holds: ({ where, docker, tsbuild }, { each }) =>
      /^(layer|tree) /.test(where) &&
      docker !== undefined &&
      // Linked, it also makes the destination anew.
      (tsbuild === undefined || (docker === "directory 0755 0:0" && tsbuild.startsWith("directory"))) &&
      each.parts.some((part) => /--exclude=[\s\S]*[*?[]/.test(part)),
  },
  {
    row: "T38",
    why: "BuildKit needs /etc/passwd to be there for a user by number, too; tsbuild takes the number",
    holds: ({ where, docker, tsbuild }) =>
      where === "build" && tsbuild === "an image" && /unable to find user \d+: invalid argument/.test(docker ?? ""),
  },
  {
    row: "V24",
    why: "BuildKit 0.25 loses what stands before ${name:-word} in a port; tsbuild keeps it",
    holds: ({ where, tsbuild }, { each }) =>
      (/^config\.config\.ExposedPorts|^history/.test(where) ||
        (where === "build" && tsbuild?.includes("[InvalidPort]") === true)) &&
      each.parts.some((part) => /EXPOSE\b[\s\S]*\S\$\{\w+:?[-+?#%/]/i.test(part)),
  },
  {
    row: "C13",
    why: "BuildKit 0.25 has --parents only in its labs syntax",
    holds: ({ where, docker }) => where === "build" && docker?.includes("unknown flag: --parents") === true,
  },
  {
    row: "F07",
    why: "BuildKit 0.25 lets what one child of a stage adds to a map show in the other children",
    holds: ({ where, docker, tsbuild }, { each }) =>
      /^config\.config\.(ExposedPorts|Volumes|Labels)\b/.test(where) &&
      docker !== undefined &&
      tsbuild === undefined &&
      each.parts.filter((part) => /^\s*FROM/i.test(part)).length > 2,
  },
];

/** Row and reason; undefined = not explained. */
export function explain(difference: Difference, circumstances: Circumstances): string | undefined {
  const found = EXPLANATIONS.find(({ holds }) => holds(difference, circumstances));
  return found && `${found.row}: ${found.why}`;
}

/** The JSON text of a path, or of an instruction that has one. */
function cleaned(text: string): string {
  return text.replace(/\/[^"]*/, (path) => {
    const parts: string[] = [];
    for (const part of path.split("/")) {
      if (part === "..") parts.pop();
      else if (part !== "" && part !== ".") parts.push(part);
    }
    return `/${parts.join("/")}`;
  });
}

/** Octal, without what umask 022 takes. */
function masked(mode: string): string {
  return (Number.parseInt(mode, 8) & ~0o022).toString(8).padStart(4, "0");
}

function isWrittenAgain({ where, docker, tsbuild }: Difference, { tsbuild: side, base }: Circumstances): boolean {
  const layer = layerOf(where);
  if (layer === undefined || docker !== undefined || tsbuild === undefined) return false;
  return isUnchanged(side, base, layer.at, layer.path);
}

/** But for the time: a file that was only touched is left out, too. */
function isUnchanged(side: Outcome, base: readonly LayerFacts[], layer: number, path: string): boolean {
  const [below, above] = [treeAfter(side, base, layer).get(path), treeAfter(side, base, layer + 1).get(path)];
  return below !== undefined && withoutTime(below) === withoutTime(above ?? "");
}

function withoutTime(text: string): string {
  return text.replace(/ time of the context$/, "");
}

/** The same file; a hard link for one builder, a file of its own, or of older names, for the other. */
function isNewNameOfOldFile(
  { where, docker, tsbuild }: Difference,
  { docker: theirs, tsbuild: ours, base }: Circumstances,
): boolean {
  if (docker === undefined || tsbuild === undefined) return false;
  const layer = layerOf(where);
  const path = layer?.path ?? /^tree (\/.*)$/s.exec(where)?.[1];
  if (path === undefined) return false;
  const count = layer ? layer.at + 1 : Number.POSITIVE_INFINITY;
  const [a, b] = [treeAfter(theirs, base, count).get(path), treeAfter(ours, base, count).get(path)];
  if (a === undefined || withoutTime(a) !== withoutTime(b ?? "")) return false;
  // What docker links, tsbuild may have apart only because a layer of tsbuild's names the file again as it was.
  return linkTarget(tsbuild) !== undefined || namesAgain(theirs, ours, base, path);
}

function namesAgain(theirs: Outcome, ours: Outcome, base: readonly LayerFacts[], path: string): boolean {
  const at = (ours.facts?.layers ?? []).findLastIndex((layer) => typeof layer !== "string" && path in layer);
  const layer = theirs.facts?.layers[at];
  return at !== -1 && typeof layer === "object" && !(path in layer) && isUnchanged(ours, base, at, path);
}

function layerOf(where: string): { readonly at: number; readonly path: string } | undefined {
  const found = /^layer (\d+) (\/.*)$/s.exec(where);
  return found ? { at: Number(found[1]), path: found[2]! } : undefined;
}
