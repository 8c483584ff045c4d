// What every way of showing progress is: a consumer of the one stream of events. Chosen here by name; none of them knows the engine.
import { plainProgress } from "./plain.ts";
import { rawJsonProgress } from "./rawjson.ts";
import type { ProgressRenderer, ProgressTarget } from "./target.ts";
import { ttyProgress } from "./tty.ts";

export const PROGRESS_MODES = ["auto", "plain", "tty", "ci", "quiet", "rawjson", "none"] as const;
export type ProgressMode = (typeof PROGRESS_MODES)[number];

/** "auto" is "tty" on a terminal and "plain" elsewhere; the environment says which CI it is. */
export async function createRenderer(
  mode: ProgressMode,
  target: ProgressTarget,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<ProgressRenderer> {
  const actual = mode === "auto" ? (target.isTerminal ? "tty" : "plain") : mode;
  switch (actual) {
    case "plain":
      return plainProgress(target);
    case "tty":
      return ttyProgress(target);
    case "ci": {
      const { ciProgress } = await import("./ci.ts");
      return ciProgress(target, { environment });
    }
    case "rawjson":
      return rawJsonProgress(target);
    case "quiet":
    case "none":
      return { event: () => {}, end: () => {} };
  }
}
