// 100,000 files in a temporary directory: the first walk (everything is hashed) against the next one (nothing changed), each in a process of its own.
// `node bench/local-tree.ts`; the child form `node bench/local-tree.ts <root> <index>` walks once and prints a line.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const DIRECTORIES = 1_000;
const FILES = 100;

const [root, index] = process.argv.slice(2);
if (root !== undefined && index !== undefined) await walkOnce(root, index);
else measure();

async function walkOnce(from: string, indexPath: string): Promise<void> {
  const { openLocalTree } = await import("../src/source/local.ts");
  const start = performance.now();
  const tree = await openLocalTree({ root: from, indexPath });
  const opened = performance.now();
  const entries = await tree.walk("");
  const walked = performance.now();
  const { hashedFiles } = tree.counts;
  await tree[Symbol.asyncDispose]();
  const saved = performance.now();
  const ms = (a: number, b: number): string => `${(b - a).toFixed(0)} ms`;
  const rss = `${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MiB`;
  console.log(
    `total ${ms(start, saved)}: open ${ms(start, opened)}, walk ${ms(opened, walked)}, save ${ms(walked, saved)}; ` +
      `${entries.length} entries, ${hashedFiles} hashed, peak RSS ${rss}`,
  );
}

function measure(): void {
  const temp = mkdtempSync(join(tmpdir(), "tsbuild-bench-"));
  try {
    for (let d = 0; d < DIRECTORIES; d++) {
      const folder = join(temp, "context", `package-${d % 30}`, `module-${d}`);
      mkdirSync(folder, { recursive: true });
      for (let f = 0; f < FILES; f++)
        writeFileSync(join(folder, `file-${f}.ts`), `export const v${d}_${f} = 1;\n`.repeat(20 + (f % 40)));
    }
    const run = (label: string): void => {
      const args = [import.meta.filename, join(temp, "context"), join(temp, "index")];
      const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
      console.log(`${label}: ${stdout.trim()}${stderr}`);
    };
    run("first");
    for (let i = 0; i < 3; i++) run("nothing changed");
    writeFileSync(join(temp, "context", "package-3", "module-3", "file-7.ts"), "changed\n");
    run("one file changed");
  } finally {
    rmSync(temp, { recursive: true });
  }
}
