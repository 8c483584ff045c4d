// Mistakes that people make, each a folder of fixtures/mistakes: `context/` and `screen.txt`, which begins with the command and is all that a person then sees, with the exit
// code at the end (pain 17). Written anew with `vitest -u`; read them as somebody who has never seen this code.
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openMistakesWorld, type MistakesWorld } from "../../support/mistakes-world.ts";

const FIXTURES = join(import.meta.dirname, "../../../fixtures/mistakes");
const names = readdirSync(FIXTURES).sort();

let world: MistakesWorld;
beforeAll(async () => {
  world = await openMistakesWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

/** Copies a context, with the servers' real addresses. */
function contextOf(name: string): string {
  const folder = mkdtempSync(join(world.rig.root, "m-"));
  const context = join(FIXTURES, name, "context");
  if (existsSync(context)) cpSync(context, folder, { recursive: true });
  const dockerfile = join(folder, "Dockerfile");
  if (existsSync(dockerfile)) writeFileSync(dockerfile, world.toReal(readFileSync(dockerfile, "utf8")));
  return folder;
}

function wordsOf(command: string): string[] {
  return [...command.matchAll(/"([^"]*)"|\S+/g)].map(([word, quoted]) => quoted ?? word);
}

describe.concurrent("pain 17", () => {
  test.for(names)("%s", async (name, { expect }) => {
    const file = join(FIXTURES, name, "screen.txt");
    const [first = ""] = readFileSync(file, "utf8").split("\n", 1);
    const command = first.replace(/^\$ tsbuild /, "");
    expect(command, "the first line is $ tsbuild ARGUMENTS").not.toBe(first);
    const cwd = contextOf(name);
    const { code, stdout, stderr } = await world.run(name, wordsOf(world.toReal(command)), cwd);
    const shown = world.toFixture(stdout + stderr, cwd);
    await expect(`${first}\n${shown}[exit code ${code}]\n`).toMatchFileSnapshot(file);
    expect(code).not.toBe(0);
    expect(code).not.toBe(70);
    expect(shown).not.toMatch(/^ {4}at /m);
    expect(shown.split("\n").length, "one screen").toBeLessThanOrEqual(40);
    for (const line of shown.split("\n")) expect(line.length, line).toBeLessThanOrEqual(400);
  });
});

test("nothing stays behind", () => {
  expect(world.rig.leftovers()).toEqual([]);
});
