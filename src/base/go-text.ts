// Values as Go's packages read them, where BuildKit's meaning depends on it.

/** Go's strconv.ParseBool; undefined where it fails. */
export function parseGoBool(text: string): boolean | undefined {
  if (/^(?:1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(?:0|f|F|FALSE|false|False)$/.test(text)) return false;
  return undefined;
}

/** The text in double quotes, escaped as Go's strconv.Quote does (its %q): what cannot be printed is not as it is. Messages of BuildKit and texts of images' histories are written with it. */
export function goQuote(text: string): string {
  const quoted = text.replace(/["\\]|[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, (character) => {
    const known = GO_ESCAPES[character];
    if (known !== undefined) return known;
    const code = character.codePointAt(0)!;
    if (code < 0x80) return `\\x${code.toString(16).padStart(2, "0")}`;
    return code > 0xffff ? `\\U${code.toString(16).padStart(8, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
  return `"${quoted}"`;
}

const GO_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\u0007": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
};

/** BuildKit's sentence for a RUN that cannot start or fails. */
export function processFailure(args: readonly string[], reason: string): string {
  return `process ${goQuote(args.join(" "))} did not complete successfully: ${reason}`;
}
