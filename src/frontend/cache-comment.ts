// `# tsbuild: no-cache` and `# tsbuild: ttl=24h` directly above an instruction, also several, separated by semicolons: whether its result may be taken from the cache.
// Ours; to every other builder a comment.
import { parseLifetime } from "../base/lifetime.ts";
import { suggest } from "../base/suggest.ts";

export interface CacheComment {
  readonly isIgnored: boolean;
  /** Milliseconds; of several lifetimes the shortest. */
  readonly ttlMs: number | undefined;
  /** As written, for explanations: `# tsbuild: ttl=24h`. */
  readonly text: string;
  readonly problems: readonly CommentProblem[];
}

export interface CommentProblem {
  readonly message: string;
  readonly help: string;
}

const WORDS = ["no-cache", "ttl"];

/** What the comments of an instruction say; undefined where none of them is for us. */
export function parseCacheComment(comments: readonly string[]): CacheComment | undefined {
  const texts = comments.flatMap((comment) => /^tsbuild:(.*)$/i.exec(comment.trim())?.[1]?.trim() ?? []);
  if (texts.length === 0) return undefined;
  let isIgnored = false;
  let ttlMs: number | undefined;
  const problems: CommentProblem[] = [];
  for (const word of texts.flatMap((text) => text.split(";")).map((text) => text.trim())) {
    const [, name = "", value] = /^([^=]*?)\s*(?:=\s*(.*))?$/.exec(word) ?? [];
    if (name === "no-cache" && value === undefined) isIgnored = true;
    else if (name === "ttl") {
      const ms = parseLifetime(value ?? "");
      if (ms !== undefined) ttlMs = Math.min(ms, ttlMs ?? ms);
      else
        problems.push({
          message: `ttl takes a lifetime, not ${JSON.stringify(value ?? "")}`,
          help: "write it as ttl=24h",
        });
    } else problems.push(unknownWord(word, name));
  }
  return { isIgnored, ttlMs, text: `# tsbuild: ${texts.join("; ")}`, problems };
}

function unknownWord(word: string, name: string): CommentProblem {
  const near = word === "no-cache=" || name === "no-cache" ? "no-cache" : suggest(name, WORDS);
  const help = near === undefined ? "write no-cache or ttl=24h" : `did you mean ${near === "ttl" ? "ttl=24h" : near}?`;
  return { message: `unknown word ${JSON.stringify(word)} in a tsbuild comment`, help };
}
