// What a generator knows of the stage that it writes: enough to make most instructions work, not so much that none fails.
import type { ContextFile } from "../fuzz-case.ts";
import type { Random } from "../random.ts";
import type { Style } from "./style.ts";

export type Kind = "file" | "directory" | "link";

export interface Draft {
  readonly random: Random;
  readonly style: Style;
  readonly context: readonly ContextFile[];
  readonly globals: string[];
  readonly stages: Stage[];
  /** Names of contexts that the flags give: of files, and of an image. */
  readonly contexts: { readonly files: string | undefined; readonly image: string | undefined };
}

export interface Stage {
  readonly index: number;
  readonly name: string | undefined;
  readonly isScratch: boolean;
  /** Variables whose value is certain. */
  readonly known: Map<string, string>;
  /** Variables that are declared, whatever their value. */
  readonly declared: Set<string>;
  /** What is probably there. */
  readonly paths: Map<string, Kind>;
  readonly triggers: string[];
  workdir: string;
  shell: string | undefined;
  hasCommand: boolean;
}

const BASE_PATHS: readonly (readonly [string, Kind])[] = [
  ["/etc/passwd", "file"],
  ["/opt/owned", "directory"],
  ["/opt/owned/deep", "directory"],
  ["/home/app", "directory"],
  ["/tmp", "directory"],
  ["/run", "directory"],
  ["/var/run", "link"],
  ["/share", "link"],
  ["/dead", "link"],
  ["/usr/share/doc", "directory"],
  ["/usr/share/doc/one", "file"],
  ["/usr/share/doc/two", "file"],
  ["/usr/share/doc/same", "file"],
];

export function newStage(index: number, name: string | undefined, from: Stage | "base" | "scratch"): Stage {
  const parent = typeof from === "string" ? undefined : from;
  return {
    index,
    name,
    isScratch: parent ? parent.isScratch : from === "scratch",
    known: new Map(parent?.known),
    declared: new Set(parent?.declared),
    paths: new Map(parent ? parent.paths : from === "base" ? BASE_PATHS : []),
    triggers: [],
    workdir: parent?.workdir ?? "/",
    shell: parent?.shell,
    hasCommand: parent?.hasCommand ?? false,
  };
}

const NEW_PATHS = [
  "/a",
  "/a/b",
  "/a/b/c",
  "/d",
  "/d/e.txt",
  "/w",
  "/w/x",
  "/srv/data",
  "/l",
  "/opt/owned/n",
  "/opt/new",
  "/share/n",
];

/** Absolute path of something of this kind that is there; undefined = there is none. */
export function existing(random: Random, stage: Stage, kind: Kind): string | undefined {
  const paths = [...stage.paths].flatMap(([path, its]) => (its === kind ? [path] : []));
  return paths.length === 0 ? undefined : random.pick(paths);
}

/** A path that may or may not be there. */
export function anyPath(random: Random, stage: Stage): string {
  return random.chance(0.5) && stage.paths.size > 0 ? random.pick([...stage.paths.keys()]) : random.pick(NEW_PATHS);
}

/** A path that nothing known stands at, and no file above it. */
export function freshPath(random: Random, stage: Stage): string {
  const base = random.pick([
    "",
    "",
    "/a",
    "/a/b",
    "/d",
    "/w",
    "/srv/data",
    "/opt/owned",
    "/var/run",
    "/share",
    stage.workdir,
  ]);
  const folder = [...stage.paths].some(([path, kind]) => kind === "file" && isWithin(base, path)) ? "" : base;
  return `${folder === "/" ? "" : folder}/${random.pick(["n", "o", "p", "q"])}${random.between(1, 99)}`;
}

export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === "/" ? "/" : `${folder}/`);
}

export function note(stage: Stage, path: string, kind: Kind | "gone"): void {
  if (kind !== "directory")
    for (const known of stage.paths.keys()) if (isWithin(known, path)) stage.paths.delete(known);
  if (kind !== "gone") stage.paths.set(path, kind);
}
