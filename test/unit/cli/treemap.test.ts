import fc from "fast-check";
import { expect, test } from "vitest";
import { renderTreemap, squarify } from "../../../src/cli/treemap.ts";
import type { CacheEntry } from "../../../src/index.ts";

test("areas are as sizes, within the box, without overlap", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 1_000_000 }), { minLength: 1, maxLength: 40 }), (sizes) => {
      const items = sizes.map((size) => ({ size }));
      const box = { x: 10, y: 20, width: 300, height: 200 };
      const placed = squarify(items, box);
      const total = sizes.reduce((sum, size) => sum + size, 0);
      expect(placed).toHaveLength(sizes.filter((size) => size > 0).length);
      for (const { value, x, y, width, height } of placed) {
        expect(width * height).toBeCloseTo((value.size / total) * 60_000, 3);
        expect(x).toBeGreaterThanOrEqual(10 - 1e-6);
        expect(y).toBeGreaterThanOrEqual(20 - 1e-6);
        expect(x + width).toBeLessThanOrEqual(310 + 1e-6);
        expect(y + height).toBeLessThanOrEqual(220 + 1e-6);
      }
      for (const [at, one] of placed.entries())
        for (const two of placed.slice(at + 1)) {
          const across = Math.min(one.x + one.width, two.x + two.width) - Math.max(one.x, two.x);
          const down = Math.min(one.y + one.height, two.y + two.height) - Math.max(one.y, two.y);
          expect(Math.min(across, down)).toBeLessThan(1e-6);
        }
    }),
  );
});

test("the document names what is in it and escapes what steps are called", () => {
  const entry: CacheEntry = {
    kind: "layer",
    id: "l1",
    description: 'RUN echo "<&>" > /x',
    size: 5_000_000,
    createdMs: 0,
    lastUsedMs: 0,
    uses: 2,
    type: "regular",
    parents: [],
    durationMs: 0,
    isMutable: false,
    isInUse: false,
    isShared: false,
  };
  const small = Array.from({ length: 3 }, (_, i) => ({ ...entry, id: `s${i}`, size: 10, description: "" }));
  const svg = renderTreemap({ total: 5_000_030, images: [], entries: [entry, ...small] });
  expect(svg).toContain("tsbuild cache: 5MB in 4 things");
  expect(svg).toContain("RUN echo &quot;&lt;&amp;&gt;&quot; &gt; /x");
  expect(svg).toContain("3 small ones");
  expect(svg).not.toContain("NaN");
});
