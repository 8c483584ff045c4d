// Layers of equal files with other times are one layer of the store. Its list has to say what its directory is, times included: otherwise a layer that is
// whole is taken for damaged, set aside and made again (pain 13).
import { createHash } from "node:crypto";
import { lstatSync, mkdtempSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { LayerFaces } from "../../../src/rootfs/layer-faces.ts";
import type { LayerManifest } from "../../../src/rootfs/layer.ts";
import { tempStore, type TempStore } from "../../support/store/temp-store.ts";

const CONTENT = Buffer.from("equal");

function manifest(seconds: number, ready: () => Promise<unknown> = () => Promise.resolve()): LayerManifest {
  const sha256 = createHash("sha256").update(CONTENT).digest("hex");
  const [uid, gid] = [process.getuid!(), process.getgid!()];
  const mtimeNs = BigInt(seconds) * 1_000_000_000n;
  return {
    entries: [{ path: "file", type: "file", mode: 0o644, uid, gid, size: CONTENT.length, mtimeNs, sha256 }],
    place: async () => {
      await ready();
      return { kind: "inline", data: CONTENT };
    },
  };
}

/** The layers of one build, as another process would have them. */
function openFaces({ root, open }: TempStore): LayerFaces {
  const claim = { bytes: 0, atLeast: () => Promise.resolve(), again: () => Promise.resolve() };
  return new LayerFaces({
    store: open(),
    xattrNamespace: "user",
    openRemote: () => expect.fail("nothing is elsewhere"),
    openCached: () => expect.fail("nothing is elsewhere"),
    onCachedLost: () => expect.fail("nothing is elsewhere"),
    makeScratchDir: () => mkdtempSync(join(root, "leases", "scratch-")),
    pin: () => true,
    claim: () => Promise.resolve({ ...claim, [Symbol.asyncDispose]: () => Promise.resolve() }),
    onEvent: () => {},
    signal: new AbortController().signal,
  });
}

/** A build that finds the layer later takes its directory as it is. */
async function expectWhole(temp: TempStore, id: string): Promise<void> {
  const before = temp.store.layers.directory(id)!;
  const { ino } = statSync(before);
  expect(await openFaces(temp).fromStore(id)!.directory()).toBe(before);
  expect(statSync(before).ino).toBe(ino);
  expect(readdirSync(join(temp.root, "tmp"))).toEqual([]);
  const [entry] = temp.store.layers.readEntries(id)!;
  expect(entry).toMatchObject({ mtimeNs: lstatSync(join(before, "file"), { bigint: true }).mtimeNs });
}

test("pain 13: of two builds that make a layer's directory at the same time, with other times, the list is of the one that stays", async () => {
  using temp = tempStore();
  const both = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
  const made = [1000, 2000].map((seconds, at) => {
    const meet = (): Promise<unknown> => {
      both[at]!.resolve();
      return Promise.all(both.map(({ promise }) => promise));
    };
    return openFaces(temp).fromManifest(manifest(seconds, meet), "COPY");
  });
  const [one, two] = await Promise.all(made.map((layer) => layer.directory()));
  expect(one).toBe(two);
  await expectWhole(temp, made[0]!.id);
});

test("pain 13: packing a layer from files with other times leaves the list to the directory that is there", async () => {
  using temp = tempStore();
  const first = openFaces(temp).fromManifest(manifest(1000), "COPY");
  await first.directory();
  const second = openFaces(temp).fromManifest(manifest(2000), "COPY");
  expect(second.id).toBe(first.id);
  await second.packed({ compression: "gzip" });
  await expectWhole(temp, first.id);
});
