// OCI layouts, as a directory or a tar, and docker's archive (image-spec image-layout.md; reference N09). A directory's files are the user's own: blobs are cloned where the file system can, else copied, never shared with the store.
import { chmod, constants, copyFile, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { randomName } from "../base/clock.ts";
import { comparePaths } from "../base/container-path.ts";
import { isErrno, writeFileAtomic } from "../base/fs-atomic.ts";
import { encodeGoJson } from "../base/go-json.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { makeDirectories } from "../base/make-directories.ts";
import { packLayer } from "../layer/pack.ts";
import { digestAlgorithm, digestHex, digestOf, type Digest } from "../oci/digest.ts";
import type { Descriptor, Index } from "../oci/image.ts";
import { OCI_INDEX } from "../oci/media-type.ts";
import { familiarReference, parseReference } from "../oci/reference.ts";
import type { Entry } from "../tree/entry.ts";
import type { AssembledImage } from "./assemble.ts";
import { exportFailure } from "./failure.ts";

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

const IMAGE_NAME = "io.containerd.image.name";
const REF_NAME = "org.opencontainers.image.ref.name";
const UNNAMED_TAG = "latest";

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

/** The layout as a directory. What is there already stays; of the images in its index.json only those with the same names are replaced. Fails with "export". */
export async function writeLayoutDirectory(options: ArchiveOptions, dest: string): Promise<void> {
  try {
    makeDirectories(join(dest, "blobs", "sha256"));
    // The index comes last: whoever finds it finds all it names.
    const others = await otherImages(options, dest);
    const files = layoutFiles(options, others).sort(
      (a, b) => Number(a.path === "index.json") - Number(b.path === "index.json"),
    );
    for (const file of files) {
      const path = join(dest, file.path);
      if ("data" in file) writeFileAtomic(path, file.data);
      else if ((await sizeOf(path)) !== file.blob.size) await copyBlob(options.blobPath(file.blob.digest), path);
    }
  } catch (error) {
    throw exportFailure(error, `cannot write the OCI layout ${dest}`);
  }
}

/** Images of the layout in `dest` that keep their place in its index. */
async function otherImages({ names, image }: ArchiveOptions, dest: string): Promise<readonly Descriptor[]> {
  const text = await readFile(join(dest, "index.json"), "utf8").catch((error: unknown) => {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  });
  if (text === undefined) return [];
  const manifests = readManifests(text);
  if (!manifests)
    throw new BuildError("export", `${join(dest, "index.json")} is no image index`, {
      help: "choose an empty directory, or remove the file",
    });
  return manifests.filter(({ digest, annotations }) => {
    const name = annotations?.[IMAGE_NAME];
    if (name !== undefined) return !names.includes(name);
    const tags = names.length === 0 ? [UNNAMED_TAG] : names.map(tagOf);
    return digest !== image.manifestDescriptor.digest && !tags.some((tag) => annotations?.[REF_NAME] === tag);
  });
}

function readManifests(text: string): readonly Descriptor[] | undefined {
  try {
    const { manifests } = JSON.parse(text) as Partial<Index>;
    return Array.isArray(manifests) ? (manifests as readonly Descriptor[]) : undefined;
  } catch {
    return undefined;
  }
}

/** A file of its own, which appears whole. */
async function copyBlob(from: string, to: string): Promise<void> {
  const temp = `${to}.${randomName(4)}.tmp`;
  try {
    await copyFile(from, temp, constants.COPYFILE_FICLONE);
    await chmod(temp, 0o644);
    await rename(temp, to);
  } catch (error) {
    await rm(temp, { force: true });
    throw error;
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}

/** `others` only of a directory. */
function layoutFiles(options: ArchiveOptions, others?: readonly Descriptor[]): LayoutFile[] {
  const { image, names, isDocker } = options;
  const files = new Map<string, LayoutFile>();
  const add = (file: LayoutFile): void => {
    if (!files.has(file.path)) files.set(file.path, file);
  };
  add({ path: "oci-layout", data: Buffer.from('{"imageLayoutVersion":"1.0.0"}') });
  for (const { descriptor } of image.layers) add({ path: blobName(descriptor.digest), blob: descriptor });
  add({ path: blobName(image.configDescriptor.digest), data: image.config });
  add({ path: blobName(image.manifestDescriptor.digest), data: image.manifest });
  add({ path: "index.json", data: encodeGoJson(layoutIndex(options, others)) });
  if (isDocker) {
    const Config = blobName(image.configDescriptor.digest);
    const RepoTags = names.map((name) => familiarName(name));
    const Layers = image.layers.map((layer) => blobName(layer.descriptor.digest));
    add({ path: "manifest.json", data: encodeGoJson([{ Config, RepoTags, Layers }]) });
  }
  return [...files.values()];
}

function layoutIndex(options: ArchiveOptions, others: readonly Descriptor[] | undefined): Index {
  const { image, names, descriptorAnnotations, createdAt } = options;
  const { platform, ...descriptor } = image.manifestDescriptor;
  // A directory is looked into by tag, so an image without a name has one there, as with buildx.
  const unnamed = others === undefined ? {} : { [REF_NAME]: UNNAMED_TAG };
  const described = (name: string | undefined): Descriptor => ({
    ...descriptor,
    annotations: {
      ...(name === undefined ? unnamed : { [IMAGE_NAME]: name, [REF_NAME]: tagOf(name) }),
      "org.opencontainers.image.created": createdAt.replace(/\.\d+Z$/, "Z"),
      ...descriptorAnnotations,
    },
    ...(platform === undefined ? {} : { platform }),
  });
  const own = names.length === 0 ? [described(undefined)] : names.map(described);
  return { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [...(others ?? []), ...own] };
}

function blobName(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

function tagOf(name: string): string {
  return parseReference(name)?.tag ?? "latest";
}

/** As docker shows a name: without what is the default. */
export function familiarName(name: string): string {
  const reference = parseReference(name);
  return reference ? familiarReference(reference) : name;
}
