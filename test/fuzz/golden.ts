// What docker made of some seeds, kept so that it can be compared without docker: fixtures/fuzz/seed-N.json, one line for each file of a layer.
// Where a difference is explained, tsbuild's image is kept, and the reason beside it.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "../compare/cases.ts";
import type { ImageFacts } from "../compare/image-facts.ts";
import { dockerfileText, type FuzzCase } from "./fuzz-case.ts";

export const GOLDEN_FOLDER: string = join(PROJECT, "fixtures/fuzz");

export interface Golden {
  readonly seed: number;
  /** What the seed means: the case as text, so that a changed generator is seen. */
  readonly input: readonly string[];
  /** Rows and reasons of differences from docker that are meant. */
  readonly explained: readonly string[];
  /** null = the build fails. */
  readonly image: ImageFacts | null;
}

/** The Dockerfile, what else the builders are given, and the names in the context. */
export function inputText(each: FuzzCase): string[] {
  return [
    ...dockerfileText(each).split("\n").slice(0, -1),
    ...each.args,
    ...each.ignore.map((line) => `.dockerignore ${line}`),
    ...each.files.map((file) => `${file.kind} ${file.path}`),
  ];
}

export function writeGolden(golden: Golden): void {
  mkdirSync(GOLDEN_FOLDER, { recursive: true });
  writeFileSync(join(GOLDEN_FOLDER, `seed-${golden.seed}.json`), `${JSON.stringify(golden, null, 1)}\n`);
}

export function readGoldens(): Golden[] {
  if (!existsSync(GOLDEN_FOLDER)) return [];
  return readdirSync(GOLDEN_FOLDER)
    .map((name) => JSON.parse(readFileSync(join(GOLDEN_FOLDER, name), "utf8")) as Golden)
    .toSorted((a, b) => a.seed - b.seed);
}
