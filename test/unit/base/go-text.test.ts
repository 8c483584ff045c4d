import { expect, test } from "vitest";
import { goQuote } from "../../../src/base/go-text.ts";

// By Go's strconv.Quote.
test.each([
  ['say "hi" \\ there', String.raw`"say \"hi\" \\ there"`],
  ["\u0007\b\f\n\r\t\v\u0000\u001b\u007f", String.raw`"\a\b\f\n\r\t\v\x00\x1b\x7f"`],
  ["é 漢 😀", '"é 漢 😀"'],
  ["\u00a0\u200b\u2028\u{e0001}", String.raw`"\u00a0\u200b\u2028\U000e0001"`],
])("goQuote(%j)", (text, quoted) => {
  expect(goQuote(text)).toBe(quoted);
});
