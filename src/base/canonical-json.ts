// One text per value: keys sorted by code unit, no white space, undefined members left out. What digests are taken of.

/** Canonical JSON of plain data (no functions, bigints become decimal strings). */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) => {
    if (typeof member === "bigint") return member.toString();
    if (member === null || typeof member !== "object" || Array.isArray(member)) return member;
    const record = member as Record<string, unknown>;
    const sorted: Record<string, unknown> = {};
    for (const key of Object.keys(record).sort()) sorted[key] = record[key];
    return sorted;
  });
}
