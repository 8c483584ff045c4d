// JSON as Go writes it, where digests are taken of it.

/** In Node since 22, but in no lib of TypeScript yet. */
const { rawJSON } = JSON as typeof JSON & { readonly rawJSON: (text: string) => object };

/** JSON as Go's encoder writes it: `<`, `>`, `&`, U+2028 and U+2029 escaped, a bigint as a number. Digests of images and of BuildKit's keys depend on it. */
export function encodeGoJson(value: unknown, indent = 0): Uint8Array {
  const exact = (_key: string, member: unknown): unknown =>
    typeof member === "bigint" ? rawJSON(member.toString()) : member;
  const text = JSON.stringify(value, exact, indent).replace(/[<>&\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
  return Buffer.from(text);
}
