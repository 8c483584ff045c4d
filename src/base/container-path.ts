// Paths inside an image or a context: "/"-separated, no host semantics. Go's path.Clean is the reference, because BuildKit's results depend on it.

/** Go's `path.Clean`: shortest equivalent path; "" becomes ".". */
export function cleanPath(path: string): string {
  if (path === "") return ".";
  const rooted = path.startsWith("/");
  const out: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") out.push(part);
    else if (out.length > 0 && out[out.length - 1] !== "..") out.pop();
    else if (!rooted) out.push("..");
  }
  const joined = out.join("/");
  return rooted ? `/${joined}` : joined === "" ? "." : joined;
}

/** Absolute clean path of `path` seen from `base` (itself absolute). */
export function resolveIn(base: string, path: string): string {
  return cleanPath(path.startsWith("/") ? path : `${base}/${path}`);
}

/** Clean path without a leading slash, never above the root; the root is "". */
export function relativePath(path: string): string {
  const clean = cleanPath(`/${path}`);
  return clean.slice(1);
}

/** Parent of a relative path; the parent of a top-level name is "". */
export function parentPath(path: string): string {
  const cut = path.lastIndexOf("/");
  return cut < 0 ? "" : path.slice(0, cut);
}

/** Last element of a path. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Joins relative parts, skipping empty ones. */
export function joinRelative(...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join("/");
}

/** Order of paths in a layer: depth first, names by code unit within a directory ("a", "a/b", "a-b"). */
export function comparePaths(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x === y) continue;
    if (x === 47) return -1; // "/" ends a name, so it sorts before every character
    if (y === 47) return 1;
    return x - y;
  }
  return a.length - b.length;
}
