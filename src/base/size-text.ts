// Sizes as people write and read them.

/** Bytes of `64m`, `1.5g`, `1024`, as docker reads them: units are powers of 1024. Undefined where it is no size. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([bkmgtp]?)(?:i?b)?$/i.exec(text.trim());
  if (!match) return undefined;
  const power = "bkmgtp".indexOf(match[2]!.toLowerCase() || "b");
  return Math.floor(Number(match[1]) * 1024 ** power);
}

/** `1.23kB`, `45.6MB`: decimal units, three significant digits, as docker prints them. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : Number(value.toPrecision(3))}${units[unit]}`;
}
