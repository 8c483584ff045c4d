// What must not be removed: the blobs that images need (through index, manifest, config and layers), and what leases pin. Reads manifests, decides nothing.
import { parseDigest, type Digest } from "../oci/digest.ts";
import type { Descriptor, Index, Manifest } from "../oci/image.ts";
import type { ContentStore } from "./content.ts";
import type { Database } from "./database.ts";

export interface Needs {
  /** Blobs of images that stay, and pinned blobs. */
  readonly blobs: ReadonlySet<Digest>;
  /** Of {@link blobs}, those of images that stay. */
  readonly images: ReadonlySet<Digest>;
  /** Of {@link blobs}, those that leases pin. */
  readonly pinned: ReadonlySet<Digest>;
  /** Pinned layers. */
  readonly layers: ReadonlySet<string>;
  /** Changes when an image or a pin does. */
  readonly version: string;
}

export interface NeedsContext {
  readonly database: Database;
  readonly content: ContentStore;
}

/** What is needed now, if the untagged images in `dropped` were gone. */
export function readNeeds(context: NeedsContext, dropped: ReadonlySet<Digest> = new Set()): Needs {
  const { database } = context;
  const images = new Set<Digest>();
  const pinned = new Set<Digest>();
  const layers = new Set<string>();
  for (const { name, digest } of database.all<{ name: string | null; digest: Digest }>(
    "SELECT name, digest FROM images",
  ))
    if (name !== null || !dropped.has(digest)) addImage(context, digest, images);
  for (const { kind, target } of database.all<{ kind: string; target: string }>("SELECT kind, target FROM pins")) {
    const digest = parseDigest(target);
    if (kind === "layer") layers.add(target);
    else if (digest !== undefined && kind === "image") addImage(context, digest, pinned);
    else if (digest !== undefined) pinned.add(digest);
  }
  return { blobs: images.union(pinned), images, pinned, layers, version: needsVersion(database) };
}

/** Cheap to ask inside a transaction: whether what {@link readNeeds} has read is still true. */
export function needsVersion(database: Database): string {
  const images = database.get<{ text: string | null }>(
    "SELECT group_concat(coalesce(name, '') || digest) AS text FROM images",
  );
  const pins = database.get<{ text: string | null }>("SELECT group_concat(kind || target) AS text FROM pins");
  return `${images?.text ?? ""}\n${pins?.text ?? ""}`;
}

function addImage(context: NeedsContext, digest: Digest, blobs: Set<Digest>): void {
  if (blobs.has(digest)) return;
  blobs.add(digest);
  const bytes = context.content.readIfIntact(digest);
  if (!bytes) return;
  const found = descriptorsIn(bytes);
  for (const { digest: child } of found.children) addImage(context, child, blobs);
  for (const { digest: leaf } of found.leaves) blobs.add(leaf);
}

/** What a manifest or an index points to; nothing where the bytes are neither. */
function descriptorsIn(bytes: Uint8Array): {
  readonly children: readonly Descriptor[];
  readonly leaves: readonly Descriptor[];
} {
  try {
    const document = JSON.parse(Buffer.from(bytes).toString("utf8")) as Partial<Manifest & Index>;
    const leaves = [document.config, ...(document.layers ?? [])].filter((leaf) => leaf !== undefined);
    return { children: document.manifests ?? [], leaves };
  } catch {
    return { children: [], leaves: [] };
  }
}

/** The blobs of one image that are here or would be. */
export function blobsOfImage(context: NeedsContext, digest: Digest): ReadonlySet<Digest> {
  const blobs = new Set<Digest>();
  addImage(context, digest, blobs);
  return blobs;
}
