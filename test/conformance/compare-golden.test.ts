// tsbuild's images against what docker made of the same Dockerfiles, as `node test/compare/compare.ts --record` kept it: no docker is needed here.
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BASE, buildWords, copyBaseContext, copyContext, expectedFile, findCases } from "../compare/cases.ts";
import { differences } from "../compare/differences.ts";
import { explanationOf } from "../compare/explained.ts";
import { diffIdsOf, imageFacts, newLayers, type ImageFacts, type LayerFacts } from "../compare/image-facts.ts";
import { openRig, type Rig } from "../support/rig.ts";

const GO_ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

let rig: Rig;
let baseLayout: string;
let bases: ReadonlyMap<string, string>;
let baseLayers: readonly LayerFacts[];

beforeAll(async () => {
  rig = await openRig();
  const context = join(rig.root, "base");
  baseLayout = join(rig.root, "base-layout");
  copyBaseContext(context);
  await rig.must(["-q", "-t", BASE, "-o", `type=oci,tar=false,dest=${baseLayout}`, context]);
  bases = new Map(diffIdsOf(baseLayout).map((diffId) => [diffId, BASE]));
  baseLayers = newLayers(imageFacts(baseLayout, new Map()));
});
afterAll(() => rig[Symbol.asyncDispose]());

const recorded = findCases().filter((each) => each.isRecorded && existsSync(expectedFile(each)));

function factsOfDocker(path: string): ImageFacts {
  return JSON.parse(readFileSync(path, "utf8").replaceAll("amd64", GO_ARCHITECTURE)) as ImageFacts;
}

describe("as docker builds it", () => {
  test.for(recorded)("$name", async (each) => {
    const folder = join(rig.root, each.name);
    mkdirSync(folder);
    copyContext(each, join(folder, "context"));
    const layout = join(folder, "image");
    const words = ["-o", `type=oci,tar=false,dest=${layout}`, ...buildWords(each, join(folder, "context"), baseLayout)];
    await rig.must(words, { env: each.env });
    const found = differences(factsOfDocker(expectedFile(each)), imageFacts(layout, bases), baseLayers);
    expect(found.filter((difference) => explanationOf(each.name, difference) === undefined)).toEqual([]);
  });
});

test("the judge sees each kind of difference", () => {
  const facts = (change: Partial<ImageFacts>): ImageFacts => ({ config: {}, history: [], layers: [], ...change });
  const layer = (...paths: string[]): LayerFacts => Object.fromEntries(paths.map((path) => [path, "file"]));
  const where = (a: Partial<ImageFacts>, b: Partial<ImageFacts>) =>
    differences(facts(a), facts(b), [layer("/base")]).map((difference) => difference.where);
  expect(where({ config: { Env: ["A=1"] } }, { config: { Env: ["A=2"], User: "x" } })).toEqual([
    "config.Env[0]",
    "config.User",
  ]);
  expect(where({ history: [{ created_by: "RUN a" }] }, { history: [] })).toEqual(["history[0]"]);
  expect(where({ layers: [BASE, layer("/a", "/b")] }, { layers: [BASE, layer("/b", "/a")] })).toEqual([
    "layer 1 order of entries",
  ]);
  expect(where({ layers: [BASE, layer("/.wh.base")] }, { layers: [BASE, layer()] })).toEqual([
    "layer 1 /.wh.base",
    "tree /base",
  ]);
  expect(where({ layers: [layer("/d/.wh..wh..opq")] }, { layers: [layer("/d/.wh.x")] })).toHaveLength(2);
});
