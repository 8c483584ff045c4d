import fc from "fast-check";
import { expect, test } from "vitest";
import { FLAGS, readPlainFlags } from "../../../src/cli/build-flags.ts";
import { parseFlags } from "../../../src/cli/flag-parser.ts";

const names = Object.entries(FLAGS).flatMap(([name, { alias }]) => [`--${name}`, ...(alias ? [`-${alias}`] : [])]);
const values = [
  "",
  ".",
  "-",
  "--",
  "a",
  "a=b",
  "1",
  "0x10",
  "1e3",
  "true",
  "false",
  "plain",
  '"q"',
  "'",
  "-x",
  "--tag",
  "ä b",
  "a.b",
  "__proto__",
];
const word = fc.oneof(
  fc.constantFrom(...names),
  fc.constantFrom(...values),
  fc
    .tuple(fc.constantFrom(...names), fc.constantFrom("=", ""), fc.constantFrom(...values))
    .map((parts) => parts.join("")),
  fc.string({ maxLength: 4 }),
  fc.constantFrom("--no-push", "--constructor=1", "--tag.x=1", "-qt", "--toString"),
);

const flagAndValue = fc.tuple(fc.constantFrom(...names), fc.constantFrom(...values));

test("what the quick reader reads, yargs reads the same", async () => {
  let read = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(
          word.map((one) => [one]),
          flagAndValue,
        ),
        { maxLength: 4 },
      ),
      async (groups) => {
        const words = groups.flat();
        const quick = readPlainFlags(words);
        if (!quick) return;
        read++;
        const full = await parseFlags(words);
        expect(typeof full === "string" ? full : plain(full)).toEqual(plain(quick));
      },
    ),
    { numRuns: 1000 },
  );
  expect(read).toBeGreaterThan(100);
});

test("ordinary commands need no yargs", () => {
  for (const line of [
    "-t app .",
    "build.d -f x/Dockerfile --push",
    "--build-arg A=1 --build-arg=B --progress plain -q -o type=oci,dest=a.tar .",
  ])
    expect(readPlainFlags(line.split(" ")), line).toBeDefined();
});

/** yargs adds the program's name. */
function plain(given: object): object {
  return Object.fromEntries(Object.entries(given).filter(([name, value]) => name !== "$0" && value !== undefined));
}
