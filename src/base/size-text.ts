// Sizes as people write and read them.

/** Bytes of `64m`, `1.5GiB`, `1024`, as docker reads them: one of Go's numbers and a unit, a power of 1024. Undefined where it is no size. */
export function parseBytes(text: string): number | undefined {
  const match = /^(.*[\d.]) ?(?:b|([kmgtp])(?:i?b)?)?$/i.exec(text);
  const number = match?.[1]!.replaceAll(/(?<=\d)_(?=\d)/g, "");
  if (number === undefined || !/^\+?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i.test(number)) return undefined;
  const power = " kmgtp".indexOf(match?.[2]?.toLowerCase() ?? " ");
  return Math.trunc(Number(number) * 1024 ** power);
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
