// Rows of fixtures/reference/rows.txt, and which of them the name of a test names: "S01", "K01–K08", "T1, A07", "E05 E06".

/** One thing that a builder has to do. */
export interface ReferenceRow {
  readonly id: string;
  readonly words: string;
  /** Not built yet: its test shows that it is refused. */
  readonly isLater: boolean;
}

/** Reads the list. Throws where a line is of no known form, or an id comes twice. */
export function parseRows(text: string): ReferenceRow[] {
  const rows: ReferenceRow[] = [];
  const seen = new Set<string>();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const [, id, later, words] = /^([A-Z]{1,3}\d{1,2}|\d\.\d+) (later: )?(?!later:)(\S.*)$/.exec(line) ?? [];
    if (id === undefined || words === undefined) throw new Error(`no row: ${line}`);
    if (seen.has(id)) throw new Error(`row ${id} comes twice`);
    seen.add(id);
    rows.push({ id, words, isLater: later !== undefined });
  }
  return rows;
}

/** Ids in the name of a test. A range has the ids between its ends, written with as many digits as its first. */
export function rowsNamed(name: string): ReadonlySet<string> {
  const found = new Set<string>();
  for (const [id] of name.matchAll(/(?<![\w.])(?:[A-Z]{1,3}\d{1,2}|\d\.\d{2})(?![\w.]|-\d)/g)) found.add(id);
  for (const [, letters = "", from = "", to = ""] of name.matchAll(/\b([A-Z]{1,3})(\d{1,2})–\1?(\d{1,2})\b/g)) {
    for (let number = Number(from); number <= Number(to); number++)
      found.add(letters + String(number).padStart(from.length, "0"));
  }
  return found;
}

/** Row → the tests that name it, in the order of the list. */
export function coverage(
  rows: readonly ReferenceRow[],
  testNames: readonly string[],
): ReadonlyMap<ReferenceRow, readonly string[]> {
  const byId = new Map<string, string[]>();
  for (const name of testNames) for (const id of rowsNamed(name)) byId.set(id, [...(byId.get(id) ?? []), name]);
  return new Map(rows.map((row) => [row, byId.get(row.id) ?? []]));
}
