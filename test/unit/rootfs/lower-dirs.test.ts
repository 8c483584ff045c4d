// Directories for overlayfs: each once.
import { expect, test } from "vitest";
import type { Layer } from "../../../src/rootfs/layer.ts";
import { lowerDirsOf } from "../../../src/rootfs/lower-dirs.ts";

function layer(id: string): Layer {
  return { id, directory: () => Promise.resolve(`/layers/${id}`) } as Layer;
}

test("a layer that is there twice is mounted once, where it is topmost", async () => {
  const layers = ["base", "a", "b", "a", "c", "a"].map(layer);
  expect(await lowerDirsOf(layers)).toEqual(["/layers/base", "/layers/b", "/layers/c", "/layers/a"]);
});
