// Every folder of fixtures/plan is a Dockerfile with the graph that it becomes (graph.txt) and, where BuildKit built it, the image that BuildKit made (image.json).
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { printGraph } from "../../../src/graph/print.ts";
import type { HistoryEntry, ImageConfig } from "../../../src/oci/image.ts";
import type { ImagePlan } from "../../../src/graph/image-plan.ts";
import { FIXTURES, planned, type RigOptions } from "./rig.ts";

interface RecordedImage extends Pick<ImageConfig, "architecture" | "os" | "author" | "config"> {
  readonly history: readonly HistoryEntry[];
  /** How many. */
  readonly layers: number;
}

const cases = readdirSync(FIXTURES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

function readJson(path: string): unknown {
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
}

function planCase(name: string): Promise<ImagePlan> {
  const folder = join(FIXTURES, name);
  const options = (readJson(join(folder, "options.json")) ?? {}) as RigOptions;
  return planned(readFileSync(join(folder, "Dockerfile"), "utf8"), options);
}

describe.each(cases)("%s", (name) => {
  test("becomes this graph", async () => {
    const { graph } = await planCase(name);
    await expect(printGraph(graph)).toMatchFileSnapshot(join(FIXTURES, name, "graph.txt"));
  });

  const recorded = readJson(join(FIXTURES, name, "image.json")) as RecordedImage | undefined;
  if (!recorded) return;
  test("has BuildKit's config and history (HI01–HI14, O01–O14, 1.12)", async () => {
    const plan = await planCase(name);
    expect(planImageOf(plan)).toEqual(recorded);
  });
});

function planImageOf(plan: ImagePlan): RecordedImage {
  const own = plan.history.map(({ createdBy, comment, vertex }): HistoryEntry => ({
    created_by: createdBy,
    comment,
    ...(vertex === undefined ? { empty_layer: true } : {}),
  }));
  const below = plan.baseHistory.map(({ created: _created, ...entry }) => entry);
  const { os, architecture } = plan.platform;
  return {
    ...(plan.author === undefined ? {} : { author: plan.author }),
    architecture,
    os,
    config: plan.config,
    history: [...below, ...own],
    layers:
      (plan.base?.config.rootfs.diff_ids.length ?? 0) +
      plan.history.filter(({ vertex }) => vertex !== undefined).length,
  };
}
