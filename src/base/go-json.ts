// JSON as Go writes it, where digests are taken of it.

/** JSON as Go's encoder writes it: `<`, `>`, `&`, U+2028 and U+2029 escaped. Digests of images and of BuildKit's keys depend on it. */
export function encodeGoJson(value: unknown, indent = 0): Uint8Array {
  const text = JSON.stringify(value, undefined, indent).replace(/[<>&\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
  return Buffer.from(text);
}
