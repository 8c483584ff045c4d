// Patterns of COPY and .dockerignore, read without tsbuild's own matcher: an explanation must not hang on what it explains.

/** As Go's filepath.Match, where [!a] is either character, for one name, or for a path where "**" is any number of names. */
export function matches(pattern: string, path: string): boolean {
  // A set that is not closed matches nothing.
  if (/(?<!\\)\[[^\]]*$/.test(pattern)) return false;
  const source = pattern.replace(/\*\*\/?|\*|\?|\[\^?([^\]]*)\]|\\.|[^*?[\\]/gsu, (piece, set?: string) => {
    if (piece.startsWith("**")) return piece.endsWith("/") ? "(?:.*/)?" : ".*";
    if (piece === "*") return "[^/]*";
    if (piece === "?") return "[^/]";
    if (set !== undefined) return `[${piece.startsWith("[^") ? "^" : ""}${set.replace(/[\\\]]/g, "\\$&")}]`;
    return piece.at(-1)!.replace(/[.+^${}()|[\]\\/*?]/, "\\$&");
  });
  return new RegExp(`^${source}$`, "su").test(path);
}

/** Whether the last pattern that matches the path, or a directory that it is in, is no exception. */
export function isExcluded(patterns: readonly string[], path: string): boolean {
  const parts = path.split("/");
  const paths = parts.map((_, at) => parts.slice(0, at + 1).join("/"));
  const last = patterns.findLast((pattern) => paths.some((each) => matches(pattern.replace(/^!/, ""), each)));
  return last?.startsWith("!") === false;
}
