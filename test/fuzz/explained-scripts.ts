// Differences of scripts in heredocs that are meant.
import type { Difference } from "../compare/differences.ts";
import type { Outcome } from "./builders.ts";
import { causeOf } from "./causes.ts";
import type { Circumstances, Explanation } from "./explained.ts";
import { isNewNameOfOldFile } from "./explained-files.ts";
import type { Written } from "./lineage.ts";
import { linkTarget, treeAfter } from "./trees.ts";

export const EXPLAINED_SCRIPTS: readonly Explanation[] = [
  {
    row: "H05",
    why: "BuildKit 0.25 looks for #! before it takes the tabs of <<- away; newer BuildKit and tsbuild afterwards (T41), and then a script's shell is one level deeper",
    holds: (difference, circumstances) =>
      isTextInHistory(difference, circumstances) || isShellLevel(difference, circumstances),
  },
];

function isTextInHistory({ where, docker = "", tsbuild = "" }: Difference, circumstances: Circumstances): boolean {
  return (
    where.startsWith("history") &&
    isTabbedScript(causeOf(where, circumstances)?.instruction) &&
    /^"RUN .*#!/.test(docker) &&
    /\/dev\/pipes\/\w+ # buildkit"$/.test(tsbuild)
  );
}

function isTabbedScript(run: Written | undefined): boolean {
  return run?.name === "RUN" && run.text.includes("<<-") && /^\t+#!/.test(run.body[0] ?? "");
}

/** A file with such a script's environment, or a new name of one, that differs in nothing else. */
function isShellLevel(difference: Difference, circumstances: Circumstances): boolean {
  const { docker, tsbuild } = difference;
  const cause = causeOf(difference.where, circumstances);
  const sameLevel = withoutLevels(circumstances);
  if (docker === undefined || tsbuild === undefined || cause?.layer === undefined || !sameLevel) return false;
  if (linkTarget(tsbuild) !== undefined)
    return isNewNameOfOldFile(difference, { ...circumstances, tsbuild: sameLevel });
  const text = treeAfter(sameLevel, circumstances.base, cause.layer + 1).get(cause.path);
  return docker !== tsbuild && docker === text && docker === withoutLevel(tsbuild);
}

/** What tsbuild made, where each file of such a script, in a later layer too, has the level that it has in docker; undefined = there is none. */
function withoutLevels(circumstances: Circumstances): Outcome | undefined {
  const { tsbuild } = circumstances;
  const written = new Map<string, string>();
  const layers = tsbuild.facts?.layers.map((layer, at) => {
    if (typeof layer === "string") return layer;
    const isScript = isTabbedScript(causeOf(`layer ${at} /`, circumstances)?.instruction);
    if (isScript) for (const [path, text] of Object.entries(layer)) written.set(path, text);
    const entries = Object.entries(layer).map(([path, text]) => {
      return [path, written.get(path) === text ? withoutLevel(text) : text] as const;
    });
    return Object.fromEntries(entries);
  });
  const isThere = [...written.values()].some((text) => text !== withoutLevel(text));
  return isThere ? { ...tsbuild, facts: tsbuild.facts && layers && { ...tsbuild.facts, layers } } : undefined;
}

/** With the level that the shell of a step has, for that of a shell in it. */
function withoutLevel(text: string): string {
  return text.replace(/(?<=\\nSHLVL=)2(?=\\n)/, "1");
}
