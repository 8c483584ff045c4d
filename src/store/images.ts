// Names of images and what they point to, in the database and, in the same transaction, in the layout's index.json for other tools (reference N09;
// image-spec annotations.md). The full name is the ref.name, because one layout holds images of many repositories.
import { existsSync } from "node:fs";
import { nowMs } from "../base/clock.ts";
import { readFileIfExists, writeFileAtomic } from "../base/fs-atomic.ts";
import { parseDigest, type Digest } from "../oci/digest.ts";
import type { Descriptor, Index } from "../oci/image.ts";
import { OCI_INDEX } from "../oci/media-type.ts";
import type { ContentStore } from "./content.ts";
import type { Database } from "./database.ts";
import { storeError } from "./layout.ts";
import { seal, unseal } from "./sealed.ts";

export interface StoredImage {
  /** Normalised reference text; undefined = untagged. */
  readonly name?: string;
  readonly manifest: Descriptor;
  readonly createdMs: number;
  readonly lastUsedMs: number;
}

interface ImageRow {
  readonly name: string | null;
  readonly descriptor: string;
  readonly created_ms: number;
  readonly last_used_ms: number;
}

const REF_NAME = "org.opencontainers.image.ref.name";
const IMAGE_NAME = "io.containerd.image.name";
const TOUCH_MS = 10 * 60_000;

export class ImageTable {
  readonly #database: Database;
  readonly #content: ContentStore;
  readonly #root: string;

  constructor(options: { readonly database: Database; readonly content: ContentStore; readonly root: string }) {
    this.#database = options.database;
    this.#content = options.content;
    this.#root = options.root;
  }

  get(name: string): StoredImage | undefined {
    return imageOf(this.#database.get<ImageRow>("SELECT * FROM images WHERE name = ?", name));
  }

  /** All named images, by name. */
  list(): readonly StoredImage[] {
    return this.#select("WHERE name IS NOT NULL ORDER BY name");
  }

  /** Images that nobody has named, or whose name went to another image, the newest first. */
  untagged(): readonly StoredImage[] {
    return this.#select("WHERE name IS NULL ORDER BY created_ms DESC, rowid DESC");
  }

  /** Gives the image a name; what had that name before becomes untagged. Durable when it returns. Its blobs must be in the content store. */
  set(name: string, manifest: Descriptor): void {
    const previous = this.get(name);
    if (previous && sameDescriptor(previous.manifest, manifest)) {
      this.#touch(name, previous);
      return;
    }
    this.#content.sync();
    this.#publish(() => {
      const now = nowMs();
      const old = this.get(name);
      this.#database.run("DELETE FROM images WHERE name = ?", name);
      this.#database.run("DELETE FROM images WHERE name IS NULL AND digest = ?", manifest.digest);
      this.#insert(name, manifest, now, now);
      if (old && old.manifest.digest !== manifest.digest) this.#keepUntagged(old);
    });
  }

  /** Keeps an image without a name. */
  addUntagged(manifest: Descriptor): void {
    this.#content.sync();
    this.#publish(() => this.#keepUntagged({ manifest, createdMs: nowMs(), lastUsedMs: nowMs() }));
  }

  /** Takes the name away; the image goes with its last name. Returns whether there was such a name. */
  remove(name: string): boolean {
    return this.#publish(() => this.#database.run("DELETE FROM images WHERE name = ?", name) > 0);
  }

  /** Forgets an image with all its names. */
  removeManifest(digest: Digest): boolean {
    return this.#publish(() => this.#database.run("DELETE FROM images WHERE digest = ?", digest) > 0);
  }

  /** Forgets untagged images. */
  removeUntagged(digests: ReadonlySet<Digest>): void {
    if (digests.size === 0) return;
    this.#publish(() => {
      for (const digest of digests) this.#database.run("DELETE FROM images WHERE name IS NULL AND digest = ?", digest);
    });
  }

  /** Takes names from index.json that the database has lost: after damage, when it starts empty. */
  recover(): void {
    const bytes = readFileIfExists(this.#content.indexPath);
    const index = bytes && parseIndex(bytes);
    if (!index) return;
    this.#database.transaction(() => {
      for (const { annotations = {}, ...descriptor } of index.manifests) {
        if (parseDigest(descriptor.digest) === undefined || !this.#content.has(descriptor.digest)) continue;
        const name = annotations[IMAGE_NAME] ?? annotations[REF_NAME];
        const own = Object.entries(annotations).filter(([key]) => key !== IMAGE_NAME && key !== REF_NAME);
        const manifest = own.length === 0 ? descriptor : { ...descriptor, annotations: Object.fromEntries(own) };
        if (name !== undefined && this.get(name)) continue;
        if (name === undefined) this.#keepUntagged({ manifest, createdMs: nowMs(), lastUsedMs: nowMs() });
        else this.#insert(name, manifest, nowMs(), nowMs());
      }
    });
  }

  /** Writes index.json anew where it is missing or names other images than the database does. */
  repairIndex(): void {
    const text = this.#indexText();
    const path = this.#content.indexPath;
    if (existsSync(path) && readFileIfExists(path)?.toString("utf8") === text) return;
    this.#publish(() => undefined);
  }

  #select(where: string): readonly StoredImage[] {
    return this.#database.all<ImageRow>(`SELECT * FROM images ${where}`).flatMap((row) => imageOf(row) ?? []);
  }

  #insert(name: string | null, manifest: Descriptor, createdMs: number, lastUsedMs: number): void {
    this.#database.run(
      "INSERT INTO images (name, digest, descriptor, created_ms, last_used_ms) VALUES (?, ?, ?, ?, ?)",
      name,
      manifest.digest,
      seal(JSON.stringify(manifest)),
      createdMs,
      lastUsedMs,
    );
  }

  #keepUntagged(image: StoredImage): void {
    const { digest } = image.manifest;
    if (this.#database.get("SELECT 1 FROM images WHERE digest = ?", digest)) return;
    this.#insert(null, image.manifest, image.createdMs, image.lastUsedMs);
  }

  #touch(name: string, image: StoredImage): void {
    const now = nowMs();
    if (now - image.lastUsedMs < TOUCH_MS) return;
    this.#database.later(`image ${name}`, "UPDATE images SET last_used_ms = ? WHERE name = ?", now, name);
  }

  /** Changes the table and writes index.json before the transaction ends, so that the last writer of both is the same. */
  #publish<T>(change: () => T): T {
    return this.#database.durably(() => {
      const result = change();
      try {
        writeFileAtomic(this.#content.indexPath, this.#indexText());
      } catch (error) {
        throw storeError(error, this.#root);
      }
      return result;
    });
  }

  #indexText(): string {
    const manifests = [...this.list(), ...this.untagged()].map(({ name, manifest }) => {
      if (name === undefined) return manifest;
      return { ...manifest, annotations: { ...manifest.annotations, [IMAGE_NAME]: name, [REF_NAME]: name } };
    });
    const index: Index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests };
    return `${JSON.stringify(index, undefined, 2)}\n`;
  }
}

function parseIndex(bytes: Uint8Array): Index | undefined {
  try {
    const index = JSON.parse(Buffer.from(bytes).toString("utf8")) as Index;
    return Array.isArray(index.manifests) ? index : undefined;
  } catch {
    return undefined;
  }
}

function imageOf(row: ImageRow | undefined): StoredImage | undefined {
  const text = row && unseal(row.descriptor);
  if (text === undefined) return undefined;
  return {
    ...(row!.name === null ? {} : { name: row!.name }),
    manifest: JSON.parse(text) as Descriptor,
    createdMs: row!.created_ms,
    lastUsedMs: row!.last_used_ms,
  };
}

function sameDescriptor(a: Descriptor, b: Descriptor): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
