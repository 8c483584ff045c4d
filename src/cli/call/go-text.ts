// Text as Go's encoding/json and text/tabwriter write it, for output that scripts written for docker buildx read.

/** Indented by two blanks, with a line end; characters that mean something in HTML are escaped. */
export function goJson(value: unknown): string {
  const text = JSON.stringify(value, null, 2);
  const escaped = text.replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `${escaped}\n`;
}

/** Rows with their cells below each other, `padding` blanks between columns; the last cell of a row ends it. */
export function columns(rows: readonly (readonly string[])[], padding: number): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.slice(0, -1).forEach((cell, at) => {
      widths[at] = Math.max(widths[at] ?? 0, runeCount(cell));
    });
  }
  const padded = (cell: string, at: number): string => cell + " ".repeat(widths[at]! + padding - runeCount(cell));
  return rows.map((row) => `${row.slice(0, -1).map(padded).join("")}${row.at(-1) ?? ""}\n`).join("");
}

function runeCount(text: string): number {
  return Array.from(text).length;
}
