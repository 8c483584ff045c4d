// Cases for the fuzzer's explanations: what both builders say of a Dockerfile, and which row explains a difference in it.
import { expect, test } from "vitest";
import type { Difference } from "../../compare/differences.ts";
import type { ImageFacts, LayerFacts } from "../../compare/image-facts.ts";
import type { Outcome } from "../../fuzz/builders.ts";
import { explain, type Circumstances, type Explanation } from "../../fuzz/explained.ts";
import type { ContextFile } from "../../fuzz/fuzz-case.ts";

export interface Scene {
  readonly parts: readonly string[];
  readonly files?: readonly ContextFile[];
  readonly ignore?: readonly string[];
  readonly args?: readonly string[];
  /** `created_by` of the instructions, for both; docker's where it has others. "" before the text = no layer. */
  readonly history?: readonly string[];
  readonly dockerHistory?: readonly string[];
  /** New layers of tsbuild, and of docker. */
  readonly layers?: readonly [tsbuild: readonly LayerFacts[], docker: readonly LayerFacts[]];
  readonly base?: LayerFacts;
  readonly before?: Outcome["steps"];
}

function outcome(given: Partial<Outcome>): Outcome {
  return { facts: undefined, digest: "", error: "", steps: new Map(), ...given };
}

function factsOf(history: readonly string[], layers: readonly LayerFacts[]): ImageFacts {
  const entries = history.map((text) => ({
    created_by: text,
    ...(/^(COPY|ADD|RUN|WORKDIR) /.test(text) ? {} : { empty_layer: true }),
  }));
  return { config: {}, history: [{ created_by: "the base" }, ...entries], layers: ["busybox", ...layers] };
}

function rowOf(scene: Scene, difference: Partial<Difference>): string | undefined {
  const {
    parts,
    files = [],
    ignore = [],
    args = [],
    history = [],
    dockerHistory = history,
    layers = [[], []],
    base = {},
    before,
  } = scene;
  const circumstances: Circumstances = {
    each: { parts, lineEnd: "\n", files, ignore, args },
    docker: outcome({ facts: factsOf(dockerHistory, layers[1]) }),
    tsbuild: outcome({ facts: factsOf(history, layers[0]) }),
    before: before && outcome({ steps: before }),
    base: [base],
  };
  return explain({ where: "build", docker: undefined, tsbuild: undefined, ...difference }, circumstances)?.split(
    ":",
  )[0];
}

export function text(content: string): ContextFile {
  return { kind: "file", path: content, mode: "0644", text: "" };
}

export type Shows = (
  row: string,
  scene: Scene,
  holds: Partial<Difference>,
  ...misses: readonly (Partial<Difference> | Scene)[]
) => void;

/** What `cases` show of `explanations`, each of which has to have a case. */
export function describeCases(explanations: readonly Explanation[], cases: (shows: Shows) => void): void {
  const shown = new Set<string>();
  // Holds for the first difference, and for none of the others; or for the one in the first scene and not in the others.
  cases((row, scene, holds, ...misses) => {
    shown.add(row);
    test(row, () => {
      expect(rowOf(scene, holds)).toBe(row);
      for (const miss of misses)
        expect("parts" in miss ? rowOf(miss, holds) : rowOf(scene, miss), JSON.stringify(miss)).toBeUndefined();
    });
  });
  test("every explanation has its case here", () => {
    expect(explanations.map(({ row }) => row).toSorted()).toEqual([...shown].toSorted());
  });
}
