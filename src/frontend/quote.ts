// Go's %q, because BuildKit's messages are written with it.

/** The text in double quotes, escaped as Go's strconv.Quote does. */
export function goQuote(text: string): string {
  return JSON.stringify(text).replace(/\\u([0-9a-f]{4})/g, (whole, hex: string) => {
    const code = Number.parseInt(hex, 16);
    if (code === 7) return "\\a";
    if (code === 11) return "\\v";
    return code < 0x80 ? `\\x${hex.slice(2)}` : whole;
  });
}
