// The forms in which a secret's value turns up in what a step prints or writes. What was compressed, encrypted or cut is not among them.

/** Shorter pieces of base64 stand in ordinary text, too. */
const MIN_INNER_LENGTH = 8;

/** The whole value: as it is, without a last line end, in base64, inside of a longer base64 (`user:value`), URL-encoded. */
export function wholeForms(value: Uint8Array): Buffer[] {
  const bytes = Buffer.from(value);
  const whole = Buffer.from(bytes.toString("latin1").replace(/[\r\n]+$/, ""), "latin1");
  if (whole.length === 0) return [];
  const base64 = whole.toString("base64");
  const texts = [
    bytes.toString("base64"),
    base64,
    base64.replace(/=+$/, ""),
    ...innerBase64(whole),
    encodeURIComponent(whole.toString("utf8")),
  ];
  // RFC 4648 section 5: the alphabet for URLs and file names.
  const urlSafe = texts.map((text) => text.replaceAll("+", "-").replaceAll("/", "_"));
  return [whole, ...[...texts, ...urlSafe].map((text) => Buffer.from(text))];
}

/** What base64 makes of the value wherever in a longer text it stands: a character is 6 bits, so there are three ways, and the first and last character may depend on what is beside it. */
function innerBase64(whole: Buffer): string[] {
  return [0, 1, 2]
    .map((shift) => {
      const text = Buffer.concat([Buffer.alloc(shift), whole]).toString("base64");
      return text.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + whole.length) * 8) / 6));
    })
    .filter((text) => text.length >= MIN_INNER_LENGTH);
}

/** Each line of the value. */
export function lineForms(value: Uint8Array): Buffer[] {
  return Buffer.from(value)
    .toString("latin1")
    .split(/\r?\n/)
    .map((line) => Buffer.from(line, "latin1"));
}
