// Numbers for people.

/** `0.4s`. */
export function formatSeconds(ms: number): string {
  return `${(Math.max(0, ms) / 1000).toFixed(1)}s`;
}

/** Cuts text to `width` columns. */
export function fit(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

/** Early cut-off in a line: what a step that ran again has spared. */
export function keptText(count: number): string {
  const below = count === 0 ? "" : `: ${count} step${count === 1 ? "" : "s"} below kept`;
  return `re-ran, same result${below}`;
}
