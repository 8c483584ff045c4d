// The layers of one build: those of base images, of the store, of caches, and those just made. How their faces are made: store-layer.ts.
// It decides nothing about caching or scheduling. Faces are kept by the store; what is here lives as long as one build.
import type { Digest } from "../oci/digest.ts";
import type { StoredLayer } from "../store/layers.ts";
import { treeDigest } from "../tree/digest.ts";
import type { CachedLayer, Layer, LayerManifest, RemoteBlob, Rootfs } from "./layer.ts";
import { StoreLayer, type FaceOptions } from "./store-layer.ts";

/** Layers of one build. */
export class LayerFaces {
  readonly #options: FaceOptions;
  readonly #layers = new Map<string, StoreLayer>();
  readonly #background = new Set<Promise<unknown>>();

  constructor(options: FaceOptions) {
    this.#options = options;
  }

  /** A layer of a base image. Nothing is fetched. */
  fromRemote(remote: RemoteBlob, diffId: Digest, createdAt: string): Layer {
    const { repository: reference, mediaType, digest, size } = remote;
    const origin = { reference, descriptor: { mediaType, digest, size } };
    const { layers } = this.#options.store;
    const row = layers.findByDiffId(diffId) ?? layers.obtainByDiffId({ diffId, createdAt, createdBy: "", origin });
    const layer = this.#layerOf(row);
    layer.remote = remote;
    return layer;
  }

  /** A layer that a cache has. Nothing is fetched. */
  fromCache({ blob, diffId, contentId, createdAt, createdBy }: CachedLayer): StoreLayer {
    const { store } = this.#options;
    const layer = store.transaction(() => {
      const { layers } = store;
      return this.#layerOf(
        layers.findByDiffId(diffId) ?? layers.create({ diffId, treeDigest: contentId, createdAt, createdBy }),
      );
    });
    layer.cached ??= blob;
    return layer;
  }

  /** A layer of the store by id; undefined where it has gone. */
  fromStore(id: string): StoreLayer | undefined {
    const known = this.#layers.get(id);
    if (known) return known;
    // Pinned first: a collector may be taking it away at this moment.
    const row = this.#options.pin(id) ? this.#options.store.layers.get(id) : undefined;
    return row && this.#layerOf(row);
  }

  /** Takes over the upper directory of a step that ran on `below`; its content is read in the background. */
  async fromUpper(upperDir: string, createdBy: string, below: Rootfs): Promise<Layer> {
    const { layers } = this.#options.store;
    const layer = this.#options.store.transaction(() => this.#layerOf(layers.create({ createdBy })));
    await layers.adoptDirectory(layer.id, upperDir);
    layer.below = below;
    const reading = layer.contentId();
    this.#background.add(reading);
    reading.catch(() => {});
    return layer;
  }

  /** A layer that is a list of entries; one with an equal list is the same layer. */
  fromManifest(manifest: LayerManifest, createdBy: string): Layer {
    const { layers } = this.#options.store;
    const digest = treeDigest(manifest.entries);
    const layer = this.#options.store.transaction(() => {
      return this.#layerOf(layers.findByTreeDigest(digest) ?? layers.create({ createdBy, treeDigest: digest }));
    });
    layer.manifest ??= manifest;
    return layer;
  }

  /** Whether the layers that were said to be durable still are. */
  isIntact(): boolean {
    return [...this.#layers.values()].every((layer) => layer.isIntact());
  }

  /** Ends when nothing is being read any more; fails where reading did. */
  async settled(): Promise<void> {
    const failed = (await Promise.allSettled(this.#background)).find((outcome) => outcome.status === "rejected");
    if (failed) throw failed.reason;
  }

  #layerOf(row: StoredLayer): StoreLayer {
    const known = this.#layers.get(row.id);
    if (known) return known;
    this.#options.pin(row.id);
    const layer = new StoreLayer(row, this.#options);
    this.#layers.set(row.id, layer);
    return layer;
  }
}
