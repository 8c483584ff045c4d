// Comments that describe: `# NAME text` above a FROM or an ARG (reference K20, K41, K47).

/** The text behind `name` in the first comment that begins with it; undefined where there is none. */
export function descriptionIn(comments: readonly string[], name: string): string | undefined {
  return comments.find((comment) => comment.startsWith(`${name} `))?.slice(name.length + 1);
}
