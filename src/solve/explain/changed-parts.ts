// Which named parts of a key are not what they were, and how that is said. Pure.
import type { KeyPart } from "../../progress/events.ts";
import type { KeyChange } from "../../progress/miss.ts";

export interface PartChange {
  readonly name: string;
  readonly before: KeyPart | undefined;
  readonly after: KeyPart | undefined;
  /** In words, for parts that are what they say; those that stand for files or layers say more when they are looked into. */
  readonly change: KeyChange;
}

/** Differences in the order of the key, then what is gone. A name that comes twice is compared in order. */
export function changedParts(before: readonly KeyPart[], after: readonly KeyPart[]): readonly PartChange[] {
  const [old, now] = [numbered(before), numbered(after)];
  const changes: PartChange[] = [];
  for (const [id, part] of now) {
    const was = old.get(id);
    if (was?.value !== part.value) changes.push(changeOf(was, part));
  }
  for (const [id, part] of old) if (!now.has(id)) changes.push(changeOf(part, undefined));
  return changes;
}

function numbered(parts: readonly KeyPart[]): ReadonlyMap<string, KeyPart> {
  const counts = new Map<string, number>();
  return new Map(
    parts.map((part) => {
      const count = counts.get(part.name) ?? 0;
      counts.set(part.name, count + 1);
      return [`${part.name} ${count}`, part];
    }),
  );
}

function changeOf(before: KeyPart | undefined, after: KeyPart | undefined): PartChange {
  const name = (after ?? before)!.name;
  return { name, before, after, change: describe(name, before?.value, after?.value) };
}

function describe(name: string, before: string | undefined, after: string | undefined): KeyChange {
  if (name === "command" && before !== undefined && after !== undefined) {
    const [was, is] = commandTexts(before, after);
    return { kind: "text", what: "command", before: was, after: is };
  }
  if (name.startsWith("source ") && before !== undefined && after !== undefined) {
    const [was, is] = [inlineFile(before), inlineFile(after)];
    if (was && is && was.name === is.name)
      return { kind: "text", what: `heredoc ${is.name}`, before: was.text, after: is.text };
  }
  if (name.startsWith("heredoc ") && before !== undefined && after !== undefined)
    return { kind: "text", what: name, before, after };
  const what = name.startsWith("env ") ? `variable ${name.slice(4)}` : name;
  const isHidden = (value: string | undefined): boolean => value === undefined || isOpaque(name, value);
  if (isHidden(before) && isHidden(after)) return { kind: "value", what };
  return {
    kind: "value",
    what,
    ...(before === undefined ? {} : { before }),
    ...(after === undefined ? {} : { after }),
  };
}

/** Values that say nothing, or are not to be shown. */
function isOpaque(name: string, value: string): boolean {
  return value.startsWith("*** ") || /^(secret|ssh) /.test(name);
}

/** Two lists of arguments as people wrote them: without the shell, where that is the same. */
function commandTexts(before: string, after: string): readonly [string, string] {
  const [was, is] = [argumentsOf(before), argumentsOf(after)];
  if (!was || !is) return [before, after];
  const isShell = was.length === 3 && is.length === 3 && was[0] === is[0] && was[1] === is[1];
  return isShell ? [was[2]!, is[2]!] : [was.join(" "), is.join(" ")];
}

function argumentsOf(value: string): readonly string[] | undefined {
  try {
    return JSON.parse(value) as string[];
  } catch {
    // Cut, because it was long.
    return undefined;
  }
}

/** A source that stands in the Dockerfile itself. */
function inlineFile(value: string): { readonly name: string; readonly text: string } | undefined {
  const words = value.startsWith("[") ? argumentsOf(value) : undefined;
  return words?.length === 2 ? { name: words[0]!, text: words[1]! } : undefined;
}
