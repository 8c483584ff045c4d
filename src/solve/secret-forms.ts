// The forms in which a secret's value turns up in what a step prints or writes. What was compressed, encrypted or cut is not among them.

/** Shorter pieces of base64 stand in ordinary text, too. */
const MIN_INNER_LENGTH = 8;
/** Characters in a line of `base64` and of `openssl base64`. */
const BASE64_LINES = [76, 64];

/** The whole value without its last line end: as it is, with other line ends, as a JSON string has it, URL-encoded, in hexadecimal. The first is the value. */
export function plainForms(value: Uint8Array): Buffer[] {
  const whole = trimmed(value);
  if (whole.length === 0) return [];
  const latin1 = whole.toString("latin1");
  const unix = latin1.replaceAll("\r\n", "\n");
  const text = whole.toString("utf8");
  const hex = whole.toString("hex");
  return distinct([
    whole,
    Buffer.from(unix, "latin1"),
    Buffer.from(unix.replaceAll("\n", "\r\n"), "latin1"),
    ...[JSON.stringify(text).slice(1, -1), encodeURIComponent(text.toWellFormed()), hex, hex.toUpperCase()].map(
      (form) => Buffer.from(form),
    ),
  ]);
}

/** What base64 makes of the value wherever in a longer text it stands (`user:value`), in both alphabets (RFC 4648 sections 4 and 5); every base64 of the value holds one of these. */
export function base64Cores(value: Uint8Array): Buffer[] {
  return distinct(bothAlphabets(innerBase64(trimmed(value))).map((text) => Buffer.from(text)));
}

/** For output, of which nothing is to be left over: base64 with its last characters, and its lines. */
export function base64Texts(value: Uint8Array): Buffer[] {
  const texts = [value, trimmed(value)].map((bytes) => Buffer.from(bytes).toString("base64"));
  const lines = texts.flatMap((text) =>
    BASE64_LINES.flatMap((width) => text.match(new RegExp(`.{1,${width}}`, "g")) ?? []),
  );
  const whole = [...texts, ...texts.map((text) => text.replace(/=+$/, "")), ...lines];
  return distinct(
    bothAlphabets(whole.filter((text) => text.length >= MIN_INNER_LENGTH)).map((text) => Buffer.from(text)),
  );
}

/** Each line of the value. */
export function lineForms(value: Uint8Array): Buffer[] {
  return Buffer.from(value)
    .toString("latin1")
    .split(/\r?\n/)
    .map((line) => Buffer.from(line, "latin1"));
}

function trimmed(value: Uint8Array): Buffer {
  return Buffer.from(
    Buffer.from(value)
      .toString("latin1")
      .replace(/[\r\n]+$/, ""),
    "latin1",
  );
}

/** A character is 6 bits, so there are three ways, and the first and last character may depend on what is beside it. */
function innerBase64(whole: Buffer): string[] {
  return [0, 1, 2]
    .map((shift) => {
      const text = Buffer.concat([Buffer.alloc(shift), whole]).toString("base64");
      return text.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + whole.length) * 8) / 6));
    })
    .filter((text) => text.length >= MIN_INNER_LENGTH);
}

function bothAlphabets(texts: readonly string[]): string[] {
  return [...texts, ...texts.map((text) => text.replaceAll("+", "-").replaceAll("/", "_"))];
}

function distinct(forms: readonly Buffer[]): Buffer[] {
  return [...new Map(forms.map((form) => [form.toString("latin1"), form])).values()];
}
