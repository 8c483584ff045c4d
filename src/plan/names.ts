// Names of steps as BuildKit shows them (reference 1.14, H07). Never identity.
import { redactUsers } from "../base/url-text.ts";
import { expandWord, type ExpandOptions, type VariableScope } from "../frontend/expand.ts";
import { formatPlatform, parsePlatform, type Platform } from "../oci/platform.ts";

/** The part of a stage's names that all its steps share. */
export interface StepNaming {
  /** "" where the Dockerfile has one stage only. */
  readonly stage: string;
  /** FROM of an image, ADD, COPY, RUN and WORKDIR, triggers included. */
  readonly total: number;
  readonly platform: Platform | undefined;
}

/** `[build 2/5] RUN make`: `index` counts from 1. */
export function stepName(naming: StepNaming, index: number, text: string, env: ReadonlyMap<string, string>): string {
  if (naming.total === 0) return text;
  const total = String(naming.total);
  const platform =
    naming.platform === undefined ? [] : [`${formatPlatform(naming.platform)}${crossTarget(naming.platform, env)}`];
  const stage = naming.stage === "" ? [] : [naming.stage];
  return `[${[...platform, ...stage, `${String(index).padStart(total.length)}/${total}`].join(" ")}] ${text}`;
}

/** `->arm64` where the stage says that it builds for another platform. */
function crossTarget(own: Platform, env: ReadonlyMap<string, string>): string {
  const [os, architecture] = [env.get("TARGETOS") ?? own.os, env.get("TARGETARCH")];
  const text = env.get("TARGETPLATFORM") ?? (architecture === undefined ? undefined : `${os}/${architecture}`);
  const target = text === undefined ? undefined : parsePlatform(text);
  if (!target) return "";
  if (target.os !== own.os) return `->${formatPlatform(target)}`;
  if (target.architecture === own.architecture) return "";
  return `->${formatPlatform(target).slice(target.os.length + 1)}`;
}

/** The instruction with its variables put in and its keyword in upper case; RUN keeps quotes and unset variables. Credentials in URLs are hidden. */
export function instructionText(original: string, scope: VariableScope, escape: string): string {
  const isRun = /^\s*run\b/i.test(original);
  const options: ExpandOptions = isRun ? { escape, quotes: "keep", keepUnset: true } : { escape };
  const expansion = expandWord(original.trim(), scope, options);
  const text = expansion.error === undefined ? expansion.value : original.trim();
  return redactUsers(text.replace(/^\S+/, (keyword) => keyword.toUpperCase()));
}

/** ` (first line...)` of a heredoc that a RUN consists of. */
export function heredocSummary(content: string): string {
  const lines = content.trim().split(/\r?\n/);
  return ` (${lines[0] ?? ""}${lines.length > 1 ? "..." : ""})`;
}
