// The structure as data: which folder may import which (type imports too), which file is the door to a package or an effect, and how big a room may get.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");

/** Folder → what it may import besides itself. Lowest first; arrows go down only. */
const BACK_ENDS = ["source", "layer", "sandbox", "store", "registry"];
const FOUNDATION = ["base", "oci", "diagnostics", "tree", "progress"];
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  grammar: [],
  oci: ["base"],
  diagnostics: ["base"],
  tree: ["base", "oci", "diagnostics"],
  progress: ["base", "oci", "diagnostics"],
  frontend: ["base", "diagnostics", "tree", "grammar"],
  graph: ["base", "oci", "diagnostics"],
  source: FOUNDATION,
  layer: FOUNDATION,
  // What a step asks for is described once, by the op.
  sandbox: [...FOUNDATION, "graph"],
  store: FOUNDATION,
  registry: FOUNDATION,
  // What BuildKit calls a step is made of its op.
  cache: [...FOUNDATION, "graph", "registry"],
  rootfs: [...FOUNDATION, "layer", "store", "registry"],
  plan: ["base", "oci", "diagnostics", "tree", "frontend", "grammar", "graph"],
  solve: [...FOUNDATION, "graph", ...BACK_ENDS, "rootfs"],
  export: [...FOUNDATION, "graph", "layer", "store", "registry", "rootfs"],
  engine: [...FOUNDATION, "frontend", "graph", ...BACK_ENDS, "cache", "rootfs", "plan", "solve", "export"],
  index: [...FOUNDATION, "cache", "frontend", "graph", "plan", "sandbox", "store", "engine"],
  cli: ["index", "base"],
  bin: ["cli", "base"],
};

/** Package or module → the only files (or folders) that may import it. */
const DOORS: Readonly<Record<string, readonly string[]>> = {
  moo: ["src/frontend/lexer.ts", "grammar/"],
  tar: ["src/layer/"],
  "p-queue": ["src/solve/scheduler.ts"],
  "xxhash-wasm": ["src/source/"],
  yargs: ["src/cli/"],
  koffi: ["src/base/libc.ts"],
  yaml: ["src/sandbox/cdi.ts"],
  "node:child_process": ["src/base/process.ts", "src/sandbox/", "src/bin/bundle.ts"],
  "node:sqlite": ["src/store/"],
  "node:http": ["src/registry/transport.ts", "src/source/"],
  "node:https": ["src/registry/transport.ts", "src/source/"],
};

/** Words that only some files may say: effects with one door. */
const EFFECTS: readonly { readonly pattern: RegExp; readonly doors: readonly string[] }[] = [
  { pattern: /\bDate\.now\(|\bnew Date\(|\bMath\.random\(/, doors: ["src/base/clock.ts"] },
  { pattern: /\bprocess\.(env|argv|exit|exitCode|stdout|stderr|stdin|cwd)\b/, doors: ["src/cli/", "src/bin"] },
  { pattern: /\bconsole\./, doors: ["src/cli/", "src/bin"] },
];

interface SourceText {
  readonly path: string;
  readonly text: string;
}

const files = [...collect("src"), ...collect("grammar")];

test("every import goes down", () => {
  const wrong: string[] = [];
  for (const file of files) {
    const from = folderOf(file.path);
    const allowed = MAY_IMPORT[from];
    if (!allowed) wrong.push(`${file.path}: folder "${from}" has no row in the table`);
    for (const specifier of importsOf(file)) {
      if (!specifier.startsWith(".")) continue;
      const to = folderOf(relative(ROOT, resolve(ROOT, dirname(file.path), specifier)));
      if (to !== from && !allowed?.includes(to))
        wrong.push(`${file.path} imports ${specifier}: ${from} may not use ${to}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("each package and each effect has one door", () => {
  const wrong: string[] = [];
  const isBehind = (path: string, doors: readonly string[]) => doors.some((door) => path.startsWith(door));
  for (const file of files) {
    for (const specifier of importsOf(file)) {
      const doors = DOORS[specifier];
      if (doors && !isBehind(file.path, doors))
        wrong.push(`${file.path} imports ${specifier}; its door is ${doors.join(", ")}`);
    }
    const code = withoutComments(file.text);
    for (const { pattern, doors } of EFFECTS) {
      const match = isBehind(file.path, doors) ? null : pattern.exec(code);
      if (match) wrong.push(`${file.path} says "${match[0]}"; its door is ${doors.join(", ")}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("imports make no cycle", () => {
  const edges = new Map<string, readonly string[]>();
  for (const file of files) {
    const targets = importsOf(file).filter((specifier) => specifier.startsWith("."));
    edges.set(
      file.path,
      targets.map((specifier) => relative(ROOT, resolve(ROOT, dirname(file.path), specifier))),
    );
  }
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): string | undefined => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path].join(" → ");
    if (done.has(path)) return undefined;
    for (const next of edges.get(path) ?? []) {
      const cycle = visit(next, [...trail, path]);
      if (cycle !== undefined) return cycle;
    }
    done.add(path);
    return undefined;
  };
  expect(new Set([...edges.keys()].map((path) => visit(path, [])).filter((cycle) => cycle !== undefined))).toEqual(
    new Set(),
  );
});

test("no room grows past 400 lines, none is a drawer", () => {
  expect(files.filter((file) => file.text.split("\n").length > 401).map((file) => file.path)).toEqual([]);
  expect(
    files.filter((file) => /\/(utils?|helpers?|common|lib)(\/|\.ts$)/.test(file.path)).map((file) => file.path),
  ).toEqual([]);
});

test("every file says what it is for", () => {
  expect(files.filter((file) => !/^(#!.*\n)?\/\/ \S/.test(file.text)).map((file) => file.path)).toEqual([]);
});

function collect(folder: string): SourceText[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path: relative(ROOT, path), text: readFileSync(path, "utf8") }));
}

/** First folder below src, the file's own name for files directly in src, "grammar" for the top-level folder. */
function folderOf(path: string): string {
  const [top, second = ""] = path.split("/");
  return top === "src" ? second.replace(/\.ts$/, "") : (top ?? "");
}

function importsOf(file: SourceText): string[] {
  const found = file.text.matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^;"']*?from\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)|(?:^|\n)import\s*["']([^"']+)["']/g,
  );
  return [...found].map((match) => match[1] ?? match[2] ?? match[3] ?? "");
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1");
}
