// A store in a fresh directory, removed afterwards; and the little data that tests of the store are made of.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { OCI_CONFIG, OCI_LAYER, OCI_MANIFEST } from "../../../src/oci/media-type.ts";
import type { Descriptor } from "../../../src/oci/image.ts";
import { digestOf, type Digest } from "../../../src/oci/digest.ts";
import { openStore, type Store } from "../../../src/store/store.ts";

export interface TempStore extends Disposable {
  readonly root: string;
  readonly notices: string[];
  readonly store: Store;
  /** A second opening of the same store, as another process would have it. */
  open(mode?: "read" | "write"): Store;
}

export function tempStore(): TempStore {
  const root = mkdtempSync(join(tmpdir(), "tsbuild-store-"));
  const notices: string[] = [];
  const opened: Store[] = [];
  const open = (mode: "read" | "write" = "write"): Store => {
    const store = openStore(root, { mode, onNotice: (message) => notices.push(message) });
    opened.push(store);
    return store;
  };
  return {
    root,
    notices,
    store: open(),
    open,
    [Symbol.dispose]() {
      for (const store of opened) store[Symbol.dispose]();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

export function digestFor(text: string): Digest {
  return digestOf(text);
}

/** Writes files below `root`, with directories as needed. */
export function writeFiles(root: string, files: Readonly<Record<string, string | Uint8Array>>): string {
  mkdirSync(root, { recursive: true });
  for (const [name, data] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), data);
  }
  return root;
}

/** Stores an image of one layer with these bytes and returns its manifest's descriptor. */
export function putImage(store: Store, layer: Uint8Array): { readonly manifest: Descriptor; readonly layer: Digest } {
  const layerDigest = store.content.put(layer);
  const config = Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: [layerDigest] },
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: { mediaType: OCI_CONFIG, digest: store.content.put(config), size: config.length },
      layers: [{ mediaType: OCI_LAYER, digest: layerDigest, size: layer.byteLength }],
    }),
  );
  const digest = store.content.put(manifest);
  return { manifest: { mediaType: OCI_MANIFEST, digest, size: manifest.length }, layer: layerDigest };
}

/** All bytes of an iteration. */
export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}
