// OCI layouts, as a directory or a tar, and docker's archive (image-spec image-layout.md; reference N09). Blobs are not copied into a directory that can share them.
import { copyFile, link, mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { comparePaths } from "../base/container-path.ts";
import { writeFileAtomic } from "../base/fs-atomic.ts";
import { packLayer } from "../layer/pack.ts";
import { digestAlgorithm, digestHex, digestOf, type Digest } from "../oci/digest.ts";
import type { Descriptor, Index } from "../oci/image.ts";
import { OCI_INDEX } from "../oci/media-type.ts";
import { familiarReference, parseReference } from "../oci/reference.ts";
import type { Entry } from "../tree/entry.ts";
import { encodeGoJson, type AssembledImage } from "./assemble.ts";

export interface ArchiveOptions {
  readonly image: AssembledImage;
  /** Normalised references. */
  readonly names: readonly string[];
  readonly descriptorAnnotations: Readonly<Record<string, string>>;
  /** RFC 3339. */
  readonly createdAt: string;
  /** Host path of a layer's blob. */
  readonly blobPath: (digest: Digest) => string;
  /** Adds docker's manifest.json. */
  readonly isDocker: boolean;
}

/** A file of the layout: bytes made here, or a blob of the store. */
type LayoutFile =
  { readonly path: string; readonly data: Uint8Array } | { readonly path: string; readonly blob: Descriptor };

/** The layout as tar, sorted, without times. */
export function archiveTar(options: ArchiveOptions, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const entries: Entry[] = layoutFiles(options).map((file) => {
    const common = { path: file.path, type: "file", mode: 0o644, uid: 0, gid: 0, mtimeNs: 0n } as const;
    if ("data" in file) {
      const sha256 = digestHex(digestOf(file.data));
      return { ...common, size: file.data.length, sha256, bytes: { kind: "inline", data: file.data } };
    }
    const { digest, size } = file.blob;
    return { ...common, size, sha256: digestHex(digest), bytes: { kind: "host", path: options.blobPath(digest) } };
  });
  const folders = ["blobs", "blobs/sha256"].map((path): Entry => ({
    path,
    type: "dir",
    mode: 0o755,
    uid: 0,
    gid: 0,
    size: 0,
    mtimeNs: 0n,
  }));
  const all = [...folders, ...entries].sort((a, b) => comparePaths(a.path, b.path));
  return packLayer(all, { locate: (entry) => entry.bytes!, ...(signal ? { signal } : {}) });
}

/** The layout as a directory. Blobs that are there already stay; an index.json there is replaced. */
export async function writeLayoutDirectory(options: ArchiveOptions, dest: string): Promise<void> {
  await mkdir(join(dest, "blobs", "sha256"), { recursive: true });
  const files = layoutFiles(options);
  // The index last: whoever finds it finds all it names.
  for (const file of [
    ...files.filter(({ path }) => path !== "index.json"),
    ...files.filter(({ path }) => path === "index.json"),
  ]) {
    const path = join(dest, file.path);
    if ("data" in file) writeFileAtomic(path, file.data);
    else if ((await sizeOf(path)) !== file.blob.size) await shareBlob(options.blobPath(file.blob.digest), path);
  }
}

/** A hard link where the file system allows it, else a copy. */
async function shareBlob(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  try {
    await link(from, to);
  } catch {
    await copyFile(from, to);
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}

function layoutFiles({ image, names, descriptorAnnotations, createdAt, isDocker }: ArchiveOptions): LayoutFile[] {
  const files = new Map<string, LayoutFile>();
  const add = (file: LayoutFile): void => {
    if (!files.has(file.path)) files.set(file.path, file);
  };
  add({ path: "oci-layout", data: Buffer.from('{"imageLayoutVersion":"1.0.0"}') });
  for (const { descriptor } of image.layers) add({ path: blobName(descriptor.digest), blob: descriptor });
  add({ path: blobName(image.configDescriptor.digest), data: image.config });
  add({ path: blobName(image.manifestDescriptor.digest), data: image.manifest });
  add({ path: "index.json", data: encodeGoJson(layoutIndex(image, names, descriptorAnnotations, createdAt)) });
  if (isDocker) {
    const Config = blobName(image.configDescriptor.digest);
    const RepoTags = names.map((name) => familiarName(name));
    const Layers = image.layers.map((layer) => blobName(layer.descriptor.digest));
    add({ path: "manifest.json", data: encodeGoJson([{ Config, RepoTags, Layers }]) });
  }
  return [...files.values()];
}

function layoutIndex(
  image: AssembledImage,
  names: readonly string[],
  annotations: Readonly<Record<string, string>>,
  createdAt: string,
): Index {
  const described = (name: string | undefined): Descriptor => ({
    ...image.manifestDescriptor,
    annotations: {
      ...(name === undefined
        ? {}
        : { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tagOf(name) }),
      "org.opencontainers.image.created": createdAt,
      ...annotations,
    },
  });
  const manifests = names.length === 0 ? [described(undefined)] : names.map(described);
  return { schemaVersion: 2, mediaType: OCI_INDEX, manifests };
}

function blobName(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

function tagOf(name: string): string {
  return parseReference(name)?.tag ?? "latest";
}

function familiarName(name: string): string {
  const reference = parseReference(name);
  return reference ? familiarReference(reference) : name;
}
