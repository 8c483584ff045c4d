// `npm run build`: the bundle in dist/ with lazy chunks, and the types of the public API. koffi stays outside: it brings a native library.
// What a build in which nothing changed loads is joined into one file, dist/hot.js: opening forty chunks takes longer than what such a build does.
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { build, type BuildOptions, type Metafile, type Plugin } from "esbuild";

const OUT = "dist";

/** What such a build loads without being told to by a static import. */
const HOT = ["src/cli/main.ts", "src/cli/commands/build.ts", "src/store/sweep.ts"];

/** Node's modules that take a millisecond or more to load, and that such a build imports but does not use. */
const LATE: ReadonlySet<string> = new Set([
  "node:child_process",
  "node:fs/promises",
  "node:net",
  "node:worker_threads",
]);

/** Bundled CommonJS packages ask for `require`. */
const BANNER =
  'import { createRequire as tsbuildRequire } from "node:module"; const require = tsbuildRequire(import.meta.url);';

const COMMON = {
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node24",
  minifySyntax: true,
  legalComments: "none",
  logLevel: "warning",
  banner: { js: BANNER },
} satisfies BuildOptions;

rmSync(OUT, { recursive: true, force: true });
const { metafile } = await build({
  ...COMMON,
  entryPoints: ["src/bin.ts", "src/index.ts", "src/source/hash-worker.ts"],
  outdir: OUT,
  splitting: true,
  external: ["koffi"],
  metafile: true,
});
await joinHotPath(metafile.outputs);
const { status } = spawnSync("tsc", ["-p", "src"], { stdio: "inherit" });
process.exitCode = status ?? 1;

/** Moves the hot chunks' code into hot.js and leaves re-exports in their places, so that the other chunks find what they share with it. */
async function joinHotPath(outputs: Metafile["outputs"]): Promise<void> {
  const hot = hotChunks(outputs);
  const names = hot.map((path, index) =>
    outputs[path]!.exports.map((name) => ({ name, alias: name === "default" ? `c${index}` : `c${index}_${name}` })),
  );
  const list = (index: number, write: (one: { name: string; alias: string }) => string): string =>
    names[index]!.map(write).join(", ");
  const main = entryOf(outputs, "src/cli/main.ts");
  await build({
    ...COMMON,
    stdin: {
      contents: [
        ...hot.map(
          (path, index) =>
            `export { ${list(index, ({ name, alias }) => `${name} as ${alias}`)} } from "./${basename(path)}";`,
        ),
        `export { main } from "./${basename(main)}";`,
      ].join("\n"),
      resolveDir: OUT,
    },
    outfile: join(OUT, "hot.js"),
    plugins: [hotFiles(new Set(hot.map((path) => basename(path))))],
  });
  for (const [index, path] of hot.entries())
    writeFileSync(path, `export { ${list(index, ({ name, alias }) => `${alias} as ${name}`)} } from "./hot.js";\n`);
  const bin = join(OUT, "bin.js");
  writeFileSync(bin, readFileSync(bin, "utf8").replace(basename(main), "hot.js"));
}

/** The chunks that the hot entries import, directly or through others. */
function hotChunks(outputs: Metafile["outputs"]): readonly string[] {
  const found = new Set<string>();
  const visit = (path: string): void => {
    if (found.has(path)) return;
    found.add(path);
    for (const { path: next, kind, external } of outputs[path]?.imports ?? [])
      if (kind === "import-statement" && external !== true) visit(next);
  };
  for (const entry of HOT) visit(entryOf(outputs, entry));
  return [...found];
}

function entryOf(outputs: Metafile["outputs"], source: string): string {
  const found = Object.entries(outputs).find(([, { entryPoint }]) => entryPoint === source);
  if (!found) throw new Error(`there is no chunk of ${source}`);
  return found[0];
}

/** Leaves all other chunks outside, and reads Node's modules without the wrappers that ESM makes of them: those touch every export, and with it half of Node. */
function hotFiles(hot: ReadonlySet<string>): Plugin {
  const importOfNode = /^import (?:(\w+)|\* as (\w+)|\{([^}]*)\}) from "(node:[\w/]+)";$/gm;
  return {
    name: "hot",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /./ }, ({ path }) => (hot.has(basename(path)) ? undefined : { path, external: true }));
      onLoad({ filter: /\.js$/ }, ({ path }) => ({
        contents: readFileSync(path, "utf8")
          .replace(BANNER, "")
          // For the order alone, which hot.js has.
          .replace(/^import "\.[^"]+";$/gm, "")
          .replace(importOfNode, (_all, one?: string, whole?: string, some?: string, name?: string) =>
            readOfNode(name!, one ?? whole, some),
          ),
      }));
    },
  };
}

/** Declares what `import { some } from "name"` does. What few builds need is read when it is first called. */
function readOfNode(name: string, whole: string | undefined, some = ""): string {
  const read = `process.getBuiltinModule("${name}")`;
  if (whole !== undefined || !LATE.has(name))
    return `const ${whole ?? `{${some.replaceAll(" as ", ": ")}}`} = ${read};`;
  return some
    .split(",")
    .map((one) => one.trim().split(" as "))
    .map(([from, to = from]) => {
      const { [from!]: member } = process.getBuiltinModule(name) as Record<string, unknown>;
      if (typeof member !== "function") throw new Error(`${name}.${from} is read late`);
      return `function ${to}(...args) { const it = ${read}.${from}; return new.target ? new it(...args) : it(...args); }`;
    })
    .join("\n");
}
