// `npm run build`: one bundle per entry with lazy chunks in dist/, and the types of the public API. koffi stays outside: it brings a native library.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { build } from "esbuild";

rmSync("dist", { recursive: true, force: true });
await build({
  entryPoints: ["src/bin.ts", "src/index.ts", "src/source/hash-worker.ts"],
  outdir: "dist",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node24",
  external: ["koffi"],
  minifySyntax: true,
  legalComments: "none",
  logLevel: "warning",
  // Bundled CommonJS packages ask for `require`.
  banner: {
    js: 'import { createRequire as tsbuildRequire } from "node:module"; const require = tsbuildRequire(import.meta.url);',
  },
});
const { status } = spawnSync("tsc", ["-p", "src"], { stdio: "inherit" });
process.exitCode = status ?? 1;
