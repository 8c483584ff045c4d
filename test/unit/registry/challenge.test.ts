// WWW-Authenticate and scopes: the grammar, and that nothing a server sends can upset the parser.
import fc from "fast-check";
import { expect, test } from "vitest";
import { mergeScopes, parseChallenges } from "../../../src/registry/challenge.ts";

const plain = (header: string | undefined) =>
  parseChallenges(header).map(({ scheme, parameters }) => ({ scheme, ...Object.fromEntries(parameters) }));

test("RG04: reads one bearer challenge with commas inside of a quoted scope", () => {
  expect(
    plain(
      'Bearer realm="https://auth.example.org/token",service="r",scope="repository:a/b:pull,push",error="invalid_token"',
    ),
  ).toEqual([
    {
      scheme: "bearer",
      realm: "https://auth.example.org/token",
      service: "r",
      scope: "repository:a/b:pull,push",
      error: "invalid_token",
    },
  ]);
});

test("RG04: reads several challenges of one header, unquoted values, spaces around =, escapes, token68", () => {
  expect(plain('Negotiate abc==, Basic realm="a \\"b\\" c", BEARER realm = https://t/x , service=s')).toEqual([
    { scheme: "negotiate" },
    { scheme: "basic", realm: 'a "b" c' },
    { scheme: "bearer", realm: "https://t/x", service: "s" },
  ]);
  expect(plain("Basic")).toEqual([{ scheme: "basic" }]);
  expect(plain(undefined)).toEqual([]);
});

test("RG04: the first of two equal parameters counts", () => {
  expect(plain('Bearer realm="https://good/",realm="https://evil/"')[0]).toMatchObject({ realm: "https://good/" });
});

test("RG04: any list of challenges that is written down is read back", () => {
  const token = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
  const value = fc.string({ unit: fc.constantFrom(...'ab ,="\\:/?'.split("")), maxLength: 12 });
  const challenge = fc.record({
    scheme: token,
    parameters: fc.uniqueArray(fc.tuple(token, value), { selector: ([name]) => name, maxLength: 4 }),
  });
  fc.assert(
    fc.property(fc.array(challenge, { maxLength: 3 }), (challenges) => {
      const quote = (text: string) => `"${text.replace(/["\\]/g, "\\$&")}"`;
      const header = challenges
        .map(({ scheme, parameters }) =>
          `${scheme} ${parameters.map(([name, text]) => `${name}=${quote(text)}`).join(",")}`.trim(),
        )
        .join(", ");
      expect(plain(header)).toEqual(
        challenges.map(({ scheme, parameters }) => ({ scheme, ...Object.fromEntries(parameters) })),
      );
    }),
  );
});

test("RG04: arbitrary text ends, without an error", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => {
      expect(Array.isArray(parseChallenges(text))).toBe(true);
    }),
  );
});

test("RG08: scopes are merged per repository and sorted", () => {
  expect(
    mergeScopes(["repository:b:pull", "repository:a:push,pull", "repository:b:push", "repository:b:pull"]),
  ).toEqual(["repository:a:pull,push", "repository:b:pull,push"]);
});
