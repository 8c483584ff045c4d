// The filters of `prune` and `du` (reference Z07), as BuildKit's: `id=…`, `type==regular`, `description~=REGEX`, `parents~=…`, `until=24h`, `inuse`, `mutable`,
// `immutable`, `shared`, `private`. All of them have to be true.
import { nowMs } from "../base/clock.ts";
import { suggest } from "../base/suggest.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { CacheEntry, RecordType } from "./cache-entries.ts";

export type EntryFilter = (entry: CacheEntry) => boolean;

const TYPES: readonly RecordType[] = [
  "regular",
  "internal",
  "frontend",
  "source.local",
  "source.git.checkout",
  "exec.cachemount",
];

/** Facts that are true or not. */
const FACTS: Readonly<Record<string, (entry: CacheEntry) => boolean>> = {
  inuse: ({ isInUse }) => isInUse,
  mutable: ({ isMutable }) => isMutable,
  immutable: ({ isMutable }) => !isMutable,
  shared: ({ isShared }) => isShared,
  private: ({ isShared }) => !isShared,
};

/** Values of a field; a filter holds where one of them fits. */
const FIELDS: Readonly<Record<string, (entry: CacheEntry) => readonly string[]>> = {
  id: ({ id, kind, description }) => (kind === "mount" ? [id, description] : [id]),
  type: ({ type }) => [type],
  description: ({ description }) => [description],
  parents: ({ parents }) => parents,
};

const NAMES = [...Object.keys(FACTS), ...Object.keys(FIELDS), "until"];

/** Reads filters. Fails with "usage" where one is not understood: a filter that is ignored would remove too much. */
export function parseEntryFilters(texts: readonly string[]): EntryFilter {
  const filters = texts.map(parseOne);
  return (entry) => filters.every((filter) => filter(entry));
}

function parseOne(text: string): EntryFilter {
  const match = /^(!?)([a-z]+)(?:(~=|!=|==?)(.*))?$/s.exec(text.trim());
  const [, not = "", name = "", operator, value = ""] = match ?? [];
  if (name === "until" && operator === "=") return olderThan(value);
  const fact = FACTS[name];
  if (fact) return factFilter(text, fact, not === "!", operator, value);
  const field = FIELDS[name];
  if (!match || !field || operator === undefined || not !== "") throw unknownFilter(text, name);
  if (name === "type" && operator !== "~=") checkType(value);
  if (operator === "~=") {
    const pattern = regexOf(value, text);
    return (entry) => field(entry).some((each) => pattern.test(each));
  }
  if (operator === "!=") return (entry) => !field(entry).includes(value);
  // docker finds by the beginning of an id.
  if (name === "id") return (entry) => field(entry).some((each) => each.startsWith(value));
  return (entry) => field(entry).includes(value);
}

function factFilter(
  text: string,
  fact: (entry: CacheEntry) => boolean,
  isNegated: boolean,
  operator: string | undefined,
  value: string,
): EntryFilter {
  if (operator === undefined) return (entry) => fact(entry) !== isNegated;
  if (operator === "~=" || operator === "!=" || isNegated || !/^(true|false|1|0)$/.test(value))
    throw new BuildError("usage", `filter ${JSON.stringify(text)} is not understood`, {
      help: "a filter like inuse takes no value, or true or false",
    });
  const wanted = value === "true" || value === "1";
  return (entry) => fact(entry) === wanted;
}

function olderThan(value: string): EntryFilter {
  const ms = parseDuration(value);
  if (ms === undefined)
    throw new BuildError("usage", `invalid duration ${JSON.stringify(value)} in filter until`, {
      help: "write it like until=24h or until=1h30m",
    });
  return (entry) => nowMs() - entry.lastUsedMs >= ms;
}

function checkType(value: string): void {
  if (TYPES.some((type) => type === value)) return;
  const near = suggest(value, TYPES);
  throw new BuildError("usage", `unknown type ${JSON.stringify(value)} in a filter`, {
    help: near === undefined ? `the types are ${TYPES.join(", ")}` : `did you mean "${near}"?`,
  });
}

function regexOf(value: string, text: string): RegExp {
  try {
    return new RegExp(value);
  } catch (error) {
    throw new BuildError("usage", `the pattern of filter ${JSON.stringify(text)} is no regular expression`, {
      cause: error,
    });
  }
}

function unknownFilter(text: string, name: string): BuildError {
  const near = suggest(name, NAMES);
  return new BuildError("usage", `filter ${JSON.stringify(text)} is not understood`, {
    help: near === undefined || near === name ? `filters are ${NAMES.join(", ")}` : `did you mean "${near}"?`,
  });
}

/** Milliseconds of a Go duration (`48h`, `1h30m`, `90s`, also `7d`) or of seconds as a number; undefined where it is none. */
export function parseDuration(text: string): number | undefined {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined;
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  let total = 0;
  for (const [, number = "", unit = ""] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g))
    total += Number(number) * units[unit]!;
  return total;
}
