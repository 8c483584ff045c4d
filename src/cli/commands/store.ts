// Commands on the store: du, prune.
import { BuildError, type DiskUsage } from "../../index.ts";
import { openEngine } from "../open-engine.ts";
import { formatBytes } from "../../base/size-text.ts";
import type { Terminal } from "../terminal.ts";
import { parseSize } from "../values.ts";

export async function du(words: readonly string[], terminal: Terminal): Promise<number> {
  if (words.some((word) => word !== "--json"))
    throw new BuildError("usage", `unknown argument: ${words[0]}`, { help: "usage: tsbuild du [--json]" });
  await using engine = await openEngine(terminal);
  const usage = await engine.diskUsage();
  if (words.includes("--json")) terminal.print(`${JSON.stringify(usage, undefined, 2)}\n`);
  else terminal.print(summary(usage));
  return 0;
}

/** Sums by kind, the largest first. */
function summary(usage: DiskUsage): string {
  const sums = new Map<string, { count: number; size: number }>();
  for (const { kind, size } of usage.items) {
    const sum = sums.get(kind) ?? { count: 0, size: 0 };
    sums.set(kind, { count: sum.count + 1, size: sum.size + size });
  }
  const rows = [...sums].sort(([, a], [, b]) => b.size - a.size);
  const lines = rows.map(
    ([kind, { count, size }]) => `${kind.padEnd(12)} ${String(count).padStart(8)} ${formatBytes(size).padStart(10)}\n`,
  );
  return `${lines.join("")}${"total".padEnd(12)} ${"".padStart(8)} ${formatBytes(usage.total).padStart(10)}\n`;
}

export async function prune(words: readonly string[], terminal: Terminal): Promise<number> {
  const usage = "usage: tsbuild prune [--all] [--max-size SIZE] [--older-than HOURS] [--dry-run]";
  let all = false;
  let dryRun = false;
  let maxSize: number | undefined;
  let olderThanMs: number | undefined;
  for (let at = 0; at < words.length; at++) {
    const [name = "", inline] = words[at]!.split("=", 2);
    const value = (): string => {
      const text = inline ?? words[++at];
      if (text === undefined) throw new BuildError("usage", `flag needs an argument: ${name}`, { help: usage });
      return text;
    };
    if (name === "--all" || name === "-a") all = true;
    else if (name === "--dry-run") dryRun = true;
    else if (name === "--max-size") maxSize = parseSize("--max-size", value());
    else if (name === "--older-than") {
      const hours = Number(value());
      if (!Number.isFinite(hours) || hours < 0)
        throw new BuildError("usage", "--older-than takes a number of hours", { help: usage });
      olderThanMs = hours * 3_600_000;
    } else throw new BuildError("usage", `unknown argument: ${words[at]}`, { help: usage });
  }
  await using engine = await openEngine(terminal);
  const { freed } = await engine.prune({
    all,
    dryRun,
    ...(maxSize === undefined ? {} : { maxSize }),
    ...(olderThanMs === undefined ? {} : { olderThanMs }),
  });
  terminal.print(`${dryRun ? "would free" : "freed"} ${formatBytes(freed)}\n`);
  return 0;
}
