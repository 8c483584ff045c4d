// Reading along with a writer: whoever starts when gets the same bytes.
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Growth } from "../../../src/store/growth.ts";

function withFile<T>(work: (path: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "tsbuild-growth-"));
  const path = join(folder, "half");
  writeFileSync(path, "");
  return work(path).finally(() => rmSync(folder, { recursive: true }));
}

async function readAll(growth: Growth): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of growth.read()) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

test("readers that begin before, between and after the pieces all see the whole", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string({ maxLength: 9 }), { maxLength: 12 }), (pieces) =>
      withFile(async (path) => {
        const growth = new Growth(path);
        const readers: Promise<string>[] = [readAll(growth)];
        let length = 0;
        for (const piece of pieces) {
          appendFileSync(path, piece);
          growth.reached((length += Buffer.byteLength(piece)));
          readers.push(readAll(growth));
          await new Promise(setImmediate);
        }
        // Its last readers look for it where it is no more.
        renameSync(path, `${path}.whole`);
        growth.end(`${path}.whole`);
        readers.push(readAll(growth));
        expect(new Set(await Promise.all(readers))).toEqual(new Set([pieces.join("")]));
      }),
    ),
    { numRuns: 50 },
  );
});

test("what was given up fails for whoever reads along, and is not long enough", () =>
  withFile(async (path) => {
    const growth = new Growth(path);
    appendFileSync(path, "half");
    growth.reached(4);
    const read = readAll(growth);
    const [few, many] = [growth.atLeast(4), growth.atLeast(5)];
    growth.end(undefined);
    await expect(read).rejects.toThrow("was given up");
    expect(await Promise.all([few, many])).toEqual([true, false]);
  }));
