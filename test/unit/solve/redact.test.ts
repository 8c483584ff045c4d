import fc from "fast-check";
import { expect, test } from "vitest";
import { Redactor } from "../../../src/solve/redact.ts";

const through = (redactor: Redactor, chunks: readonly string[]) =>
  Buffer.concat([...chunks.map((chunk) => redactor.push(Buffer.from(chunk))), redactor.end()]).toString();

test("S64: a secret split over chunks, in base64 and URL-encoded is masked", () => {
  const secret = Buffer.from("s3cr3t/value+x\n");
  const shown = through(new Redactor([secret]), [
    "a s3c",
    "r3t/val",
    "ue+x b ",
    secret.toString("base64"),
    " ",
    encodeURIComponent("s3cr3t/value+x"),
  ]);
  expect(shown).toBe("a *** b *** ***");
});

test.each([76, 64])("S64: a long secret in base64 of lines of %i characters is masked, line by line", (width) => {
  const text = Buffer.from(Array.from({ length: 200 }, (_, i) => (i * 37 + 11) % 251)).toString("base64");
  const lines = text.replace(new RegExp(`.{1,${width}}`, "g"), "$&\n");
  const shown = through(new Redactor([Buffer.from(text, "base64")]), lines.match(/[\s\S]{1,7}/g) ?? []);
  expect(shown).toMatch(/^(\*{3}\n){4,5}$/);
});

test("text without the secret passes unchanged however it is cut, and no cut lets the secret through", () => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[ab]{0,6}$/)), fc.boolean(), (chunks, isPlanted) => {
      const pieces = isPlanted ? [...chunks, "abba", ...chunks] : chunks;
      const shown = through(new Redactor([Buffer.from("abba")]), pieces);
      const whole = pieces.join("");
      expect(shown).not.toContain("abba");
      if (!whole.includes("abba")) expect(shown).toBe(whole);
    }),
  );
});
