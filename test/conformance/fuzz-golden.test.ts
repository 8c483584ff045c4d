// Seeds of the differential fuzzer against what docker made of them, as `npm run fuzz:diff -- --record` kept it: no docker is needed here.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "../compare/cases.ts";
import { differences } from "../compare/differences.ts";
import type { ImageFacts } from "../compare/image-facts.ts";
import { tsbuildBuilder } from "../fuzz/builders.ts";
import { generateCase } from "../fuzz/generate/generate.ts";
import { inputText, readGoldens } from "../fuzz/golden.ts";
import { preparePlace, type Place } from "../fuzz/place.ts";

const GO_ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

const folder = temporaryFolder();
let place: Place;

beforeAll(async () => {
  place = await preparePlace(folder.path, "as recorded");
});
afterAll(() => folder[Symbol.dispose]());

const goldens = readGoldens();

describe.concurrent("random Dockerfiles, as docker builds them", () => {
  test.for(goldens)("seed $seed", async ({ seed, input, image }) => {
    const fuzzCase = generateCase(seed);
    expect(inputText(fuzzCase)).toEqual(input);
    const home = join(folder.path, `seed-${seed}`);
    mkdirSync(home);
    const { facts, error } = await tsbuildBuilder(place)(fuzzCase, home);
    if (image === null) return expect(facts, "an image where docker makes none").toBeUndefined();
    if (facts === undefined) throw new Error(error);
    const expected = JSON.parse(JSON.stringify(image).replaceAll("amd64", GO_ARCHITECTURE)) as ImageFacts;
    expect(differences(expected, facts, place.base)).toEqual([]);
  });
});

test("there are goldens, and most are images", () => {
  expect(goldens.length).toBeGreaterThanOrEqual(50);
  expect(goldens.filter(({ image }) => image !== null).length).toBeGreaterThan(goldens.length / 2);
});
