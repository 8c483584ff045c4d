// Why a step ran, as data and in words. The solver finds out, the log prints one line, `tsbuild why` prints all of it. Pure.
import { isoOfMs } from "../base/clock.ts";

/** What happened to one file of those that a step can see. */
export interface FileChange {
  readonly path: string;
  /** `content changed, 3 -> 5 bytes`, `mode 0644 -> 0755`, `added`. */
  readonly change: string;
}

/** One part of a step's key that is not what it was. */
export type KeyChange =
  /** A text of the Dockerfile: the command of a RUN, a heredoc. */
  | { readonly kind: "text"; readonly what: string; readonly before: string; readonly after: string }
  /** A variable, a flag, a mount's options. Without both texts it has changed and its values are not shown. */
  | { readonly kind: "value"; readonly what: string; readonly before?: string; readonly after?: string }
  /** The base image, as `reference@digest`. */
  | { readonly kind: "image"; readonly before: string; readonly after: string }
  /** An earlier step that the step builds on made something else, is new, or is there no more. */
  | { readonly kind: "step"; readonly step: string; readonly how: "result" | "new" | "removed" }
  /** Files of the context, of a stage, of a download: those that differ, at most 20, and how many more. */
  | { readonly kind: "files"; readonly of: string; readonly files: readonly FileChange[]; readonly more: number };

export type MissCause =
  | { readonly kind: "never-built"; readonly isNewInstruction: boolean }
  /** The user asked for it; `by` is the flag or the comment. */
  | { readonly kind: "asked"; readonly by: string }
  | { readonly kind: "expired"; readonly by: string; readonly ttlMs: number; readonly ageMs: number }
  | { readonly kind: "evicted"; readonly atMs: number; readonly reason: "pruned" | "ceiling" | "age" }
  /** It was made once, and its files or its record are gone without anyone having asked for that. */
  | { readonly kind: "lost" }
  | { readonly kind: "failed-before" }
  /** The parts that differ, in the order in which the key has them: the first one is the reason. */
  | { readonly kind: "changed"; readonly changes: readonly KeyChange[] };

/** Files that one line names. */
const FILES_IN_LINE = 3;
/** Characters of a value in one line. */
const VALUE_LENGTH = 60;

const EVICTIONS = {
  pruned: "removed by prune",
  ceiling: "evicted by GC to stay below --cache-max-size",
  age: "evicted by GC for its age",
} as const;

/** The reason in one line: of several changes the first. */
export function missLine(cause: MissCause): string {
  switch (cause.kind) {
    case "never-built":
      return cause.isNewInstruction ? "the instruction is new" : "never built before";
    case "asked":
      return `asked for by ${cause.by}`;
    case "expired":
      return `expired: ${formatDuration(cause.ageMs)} old, ${cause.by} allows ${formatDuration(cause.ttlMs)}`;
    case "evicted":
      return `${EVICTIONS[cause.reason]} (${isoOfMs(cause.atMs)})`;
    case "lost":
      return "what it made is no longer in the store";
    case "failed-before":
      return "it failed the last time";
    case "changed":
      return cause.changes[0] ? changeLine(cause.changes[0]) : "its key changed";
  }
}

/** Everything that is known of the reason, a line each. */
export function missLines(cause: MissCause): readonly string[] {
  return cause.kind === "changed" ? cause.changes.flatMap(changeLines) : [missLine(cause)];
}

function changeLine(change: KeyChange): string {
  switch (change.kind) {
    case "text": {
      const [before, after] = narrowed(change.before, change.after);
      return `${change.what} changed: ${quoted(before)} -> ${quoted(after)}`;
    }
    case "value":
      return valueLine(change);
    case "image":
      return `base image changed: ${change.before} -> ${change.after}`;
    case "step":
      return stepLine(change);
    case "files": {
      const { files, more } = change;
      const rest = more + Math.max(0, files.length - FILES_IN_LINE);
      const named = files.slice(0, FILES_IN_LINE).map(({ path, change: how }) => `${path}: ${how}`);
      if (named.length === 0) return `files of ${change.of} changed`;
      return (
        named.join("; ") + (rest > 0 ? `; and ${rest} more` : "") + (isContext(change.of) ? "" : ` (${change.of})`)
      );
    }
  }
}

function valueLine({ what, before, after }: KeyChange & { readonly kind: "value" }): string {
  if (before === undefined && after === undefined) return `${what} changed`;
  if (before === undefined) return `${what} is new: ${quoted(after!)}`;
  if (after === undefined) return `${what} is gone, it was ${quoted(before)}`;
  const [was, is] = narrowed(before, after);
  return `${what} changed: ${quoted(was)} -> ${quoted(is)}`;
}

function stepLine({ step, how }: KeyChange & { readonly kind: "step" }): string {
  const name = clipped(step, VALUE_LENGTH);
  return { result: `the result of ${name} changed`, new: `${name} is new`, removed: `${name} is gone` }[how];
}

function changeLines(change: KeyChange): readonly string[] {
  if (change.kind === "text" && (change.before.includes("\n") || change.after.includes("\n")))
    return [`${change.what} changed:`, ...lineDiff(change.before, change.after).map((line) => `  ${line}`)];
  if (change.kind === "text") return [`${change.what} changed:`, `  - ${change.before}`, `  + ${change.after}`];
  if (change.kind === "value" && change.before !== undefined && change.after !== undefined)
    return [`${change.what} changed: ${JSON.stringify(change.before)} -> ${JSON.stringify(change.after)}`];
  if (change.kind === "step")
    return [
      {
        result: `the result of ${change.step} changed`,
        new: `${change.step} is new`,
        removed: `${change.step} is gone`,
      }[change.how],
    ];
  if (change.kind !== "files" || change.files.length === 0) return [changeLine(change)];
  const more = change.more > 0 ? [`  and ${change.more} more`] : [];
  return [`files of ${change.of}:`, ...change.files.map(({ path, change: how }) => `  ${path}: ${how}`), ...more];
}

function isContext(of: string): boolean {
  return of === "the build context";
}

/** What differs of two texts, with a little around it. */
function narrowed(before: string, after: string): readonly [before: string, after: string] {
  if (Math.max(before.length, after.length) <= VALUE_LENGTH) return [before, after];
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start++;
  const from = Math.max(0, start - 12);
  const cut = (text: string): string => (from > 0 ? "…" : "") + clipped(text.slice(from), VALUE_LENGTH);
  return [cut(before), cut(after)];
}

function clipped(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

function quoted(text: string): string {
  return JSON.stringify(clipped(text, VALUE_LENGTH + 2));
}

/** Lines that only one of the texts has between what both begin and end with, at most 20. */
function lineDiff(before: string, after: string): readonly string[] {
  const [old, now] = [before.split("\n"), after.split("\n")];
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start++;
  let end = 0;
  while (end < Math.min(old.length, now.length) - start && old.at(-1 - end) === now.at(-1 - end)) end++;
  const lines = [
    ...old.slice(start, old.length - end).map((line) => `- ${line}`),
    ...now.slice(start, now.length - end).map((line) => `+ ${line}`),
  ];
  return lines.length <= 20 ? lines : [...lines.slice(0, 20), `and ${lines.length - 20} more lines`];
}

/** `25h`, `90m`, `45s`, `3d`: the largest unit that says enough. */
export function formatDuration(ms: number): string {
  const units = [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["m", 60_000],
  ] as const;
  const unit = units.find(([, size]) => ms >= 2 * size);
  return unit ? `${Math.floor(ms / unit[1])}${unit[0]}` : `${Math.floor(ms / 1000)}s`;
}
