// Makes a failing case small: takes away what is not needed for it to fail, coarse first, until nothing more goes or the budget is spent.
import type { FuzzCase } from "./fuzz-case.ts";

/** The smallest case found for which `fails` holds; it is asked at most `budget` times. */
export async function shrink(
  start: FuzzCase,
  fails: (each: FuzzCase) => Promise<boolean>,
  budget: number,
): Promise<FuzzCase> {
  let [best, left] = [start, budget];
  const attempt = async (each: FuzzCase): Promise<boolean> => {
    if (left <= 0) return false;
    left -= 1;
    if (!(await fails(each))) return false;
    best = each;
    return true;
  };
  for (const key of ["args", "ignore", "files", "parts"] as const)
    await shrinkList<unknown>(
      () => best[key],
      (list) => attempt({ ...best, [key]: list }),
    );
  if (best.lineEnd === "\r\n") await attempt({ ...best, lineEnd: "\n" });
  for (let at = best.parts.length - 1; at >= 0; at--)
    await shrinkList(
      () => (best.parts[at] ?? "").split(/(?<=[ \n])/),
      (words) => attempt({ ...best, parts: best.parts.with(at, words.join("")) }),
    );
  return best;
}

/** Halves, quarters, …, single items. `without` says whether the rest still fails, and then `items` gives the rest. */
async function shrinkList<T>(
  items: () => readonly T[],
  without: (rest: readonly T[]) => Promise<boolean>,
): Promise<void> {
  for (let size = items().length; size >= 1; size = Math.floor(size / 2))
    for (let at = items().length - size; at > -size; at -= size) {
      const start = Math.max(0, at);
      if (items().length > 0) await without(items().toSpliced(start, Math.min(size, at + size)));
    }
}
