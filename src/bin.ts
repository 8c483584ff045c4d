// The process's entry: turns the compile cache on before anything is loaded, then hands over to the command line.
import { enableCompileCache } from "node:module";
import { homedir } from "node:os";

// The launcher's word to this process, not to git and whatever else it starts.
if (process.env["MALLOC_ARENA_MAX"] === "1") delete process.env["MALLOC_ARENA_MAX"];
enableCompileCache(`${process.env["XDG_CACHE_HOME"] ?? `${homedir()}/.cache`}/tsbuild/compiled`);
const { main } = await import("./cli/main.ts");
await main(process.argv.slice(2));
