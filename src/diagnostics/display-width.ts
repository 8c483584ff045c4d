// How many terminal columns text takes, and text that cannot do anything else to a terminal than take them. Pure.

const tab = "    ";

/** Tabs as four blanks, control characters as their pictures, so that neither moves the cursor or sends a command. */
export function displayText(text: string): string {
  return text.replaceAll("\t", tab).replace(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, (char) => {
    const code = char.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? "\u2421" : "\ufffd";
  });
}

/** Columns of a text without control characters: 2 for East Asian wide and emoji, 0 for marks that join the character before. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const char of text) width += charWidth(char);
  return width;
}

const zeroWidth = /^(?:\p{Mn}|\p{Me}|\p{Cf})$/u;
const emoji = /^\p{Emoji_Presentation}$/u;

// Unicode East_Asian_Width W and F, in rows
const wideRanges: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0x33ff],
  [0x3400, 0x4dbf],
  [0x4e00, 0x9fff],
  [0xa000, 0xa4cf],
  [0xa960, 0xa97f],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff01, 0xff60],
  [0xffe0, 0xffe6],
  [0x20000, 0x3fffd],
];

function charWidth(char: string): number {
  const code = char.codePointAt(0)!;
  if (code < 0x300) return 1;
  if (zeroWidth.test(char)) return 0;
  return emoji.test(char) || wideRanges.some(([low, high]) => code >= low && code <= high) ? 2 : 1;
}
