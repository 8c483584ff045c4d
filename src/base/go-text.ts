// Values as Go's packages read them, where BuildKit's meaning depends on it.

/** Go's strconv.ParseBool; undefined where it fails. */
export function parseGoBool(text: string): boolean | undefined {
  if (/^(?:1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(?:0|f|F|FALSE|false|False)$/.test(text)) return false;
  return undefined;
}

/** The text in double quotes, escaped as Go's strconv.Quote does (its %q): BuildKit's messages are written with it. */
export function goQuote(text: string): string {
  return JSON.stringify(text).replace(/\\u([0-9a-f]{4})/g, (whole, hex: string) => {
    const code = Number.parseInt(hex, 16);
    if (code === 7) return "\\a";
    if (code === 11) return "\\v";
    return code < 0x80 ? `\\x${hex.slice(2)}` : whole;
  });
}

/** BuildKit's sentence for a RUN that cannot start or fails. */
export function processFailure(args: readonly string[], reason: string): string {
  return `process ${goQuote(args.join(" "))} did not complete successfully: ${reason}`;
}
