// Overlay mounts of directory faces: any number of lowers, writable or not. Layer directories are in overlay form (whiteouts as 0:0 devices
// or user.overlay attributes), and so is what a mount leaves in its upper directory: no metacopy, no redirects (trap T14, T23).
import { chmodSync, chownSync, closeSync, lstatSync, mkdirSync, openSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { randomName } from "../base/clock.ts";
import { isErrno } from "../base/fs-atomic.ts";
import { mount, MNT_DETACH, MS_RDONLY, umount, UMOUNT_NOFOLLOW, utimensNoFollow } from "../base/libc.ts";

export interface OverlayOptions {
  /** Bottom first; may be empty. */
  readonly lowerDirs: readonly string[];
  /** Takes the changes; undefined = read-only. Must be on the file system of `scratchDir`. */
  readonly upperDir?: string;
  /** Existing directory that the overlay appears on. */
  readonly target: string;
  /** A directory that does not exist yet, for work files; removed with the mount. */
  readonly scratchDir: string;
  /** Whether marks are user.overlay attributes: the form that user namespaces can write. */
  readonly isRootless: boolean;
}

/** The option string of mount(2) is one page, and one overlay takes at most 500 lowers: so many fit, whatever the paths are called. */
const LOWERS_PER_MOUNT = 160;

/** Bytes of options that fit beside ",volatile" into the page. A link for every layer costs as much as the mount itself, so links are for what does not fit. */
const PLAIN_DATA_SIZE = 4000;

/**
 * Mounts; disposing unmounts and removes the work files. What was written is in `upperDir` then, but not synced to disk:
 * who keeps it for longer than this machine is up must sync it.
 */
export function mountOverlay(options: OverlayOptions): Disposable {
  const held = new DisposableStack();
  try {
    mkdirSync(options.scratchDir, { mode: 0o700 });
    held.defer(() => rmSync(options.scratchDir, { recursive: true, force: true }));
    const lowerDirs = foldLowers(options, held);
    mountOne({ ...options, lowerDirs });
    held.defer(() => umount(options.target, MNT_DETACH | UMOUNT_NOFOLLOW));
    return held;
  } catch (error) {
    held.dispose();
    throw error;
  }
}

/** Bottom lowers beyond one mount's limit, seen through read-only overlays of their own. The kernel allows this one level of nesting. */
function foldLowers(options: OverlayOptions, held: DisposableStack): readonly string[] {
  const { lowerDirs, scratchDir, isRootless } = options;
  const groups: string[] = [];
  const foldedCount = Math.max(0, lowerDirs.length - LOWERS_PER_MOUNT / 2);
  if (lowerDirs.length <= LOWERS_PER_MOUNT) return lowerDirs;
  for (let start = 0; start < foldedCount; start += LOWERS_PER_MOUNT) {
    const target = join(scratchDir, `V${groups.length}`);
    mkdirSync(target);
    const links = join(scratchDir, `G${groups.length}`);
    mkdirSync(links);
    const group = lowerDirs.slice(start, Math.min(start + LOWERS_PER_MOUNT, foldedCount));
    mountOne({ lowerDirs: group, target, scratchDir: links, isRootless });
    held.defer(() => umount(target, MNT_DETACH | UMOUNT_NOFOLLOW));
    groups.push(target);
  }
  return [...groups, ...lowerDirs.slice(foldedCount)];
}

function mountOne(options: OverlayOptions): void {
  const { lowerDirs, upperDir, target, scratchDir, isRootless } = options;
  const workDir = join(scratchDir, "W");
  if (upperDir !== undefined) mkdirSync(workDir, { mode: 0o700 });
  const needsPadding = lowerDirs.length < (upperDir === undefined ? 2 : 1);
  const plain = overlayData(lowerDirs, upperDir === undefined ? undefined : { upperDir, workDir }, isRootless);
  const isPlain = !/[:,\\]/.test([...lowerDirs, upperDir ?? "", workDir].join(""));
  if (isPlain && !needsPadding && Buffer.byteLength(plain) <= PLAIN_DATA_SIZE) {
    mountVolatile(target, plain, upperDir === undefined);
    return;
  }
  // Links with short names: the paths themselves may be long, and may hold ":" and ",", which the option string cannot.
  const link = (name: string, path: string): void => symlinkSync(path, join(scratchDir, name));
  const base = openSync(scratchDir, "r");
  try {
    const short = (name: string): string => `/proc/self/fd/${base}/${name}`;
    for (const [index, path] of lowerDirs.entries()) link(index.toString(36), path);
    // The kernel wants one lower at least, and two where nothing is writable.
    const padding = ["E", "F"].slice(0, Math.max(0, (upperDir === undefined ? 2 : 1) - lowerDirs.length));
    for (const name of padding) mkdirSync(join(scratchDir, name), { mode: 0o755 });
    const lowers = [...lowerDirs.map((_path, index) => index.toString(36)).reverse(), ...padding].map(short);
    // No other mount's: strays.ts tells mounts apart by their options.
    const upperName = `U${randomName(8)}`;
    if (upperDir !== undefined) link(upperName, upperDir);
    const upper = upperDir === undefined ? undefined : { upperDir: short(upperName), workDir: short("W") };
    mountVolatile(target, overlayData(lowers.toReversed(), upper, isRootless), upperDir === undefined);
  } finally {
    closeSync(base);
  }
}

/** The option string; lowers bottom first. */
function overlayData(
  lowers: readonly string[],
  upper: { readonly upperDir: string; readonly workDir: string } | undefined,
  isRootless: boolean,
): string {
  return [
    `lowerdir=${lowers.toReversed().join(":")}`,
    ...(upper === undefined ? [] : [`upperdir=${upper.upperDir}`, `workdir=${upper.workDir}`]),
    // In the user form the kernel turns the other two off by itself, and refuses to be told.
    ...(isRootless ? ["userxattr", "index=off"] : ["index=off", "metacopy=off", "redirect_dir=off"]),
  ].join(",");
}

/** Without `volatile`, unmounting writes the whole file system's dirty pages to disk, and the process stands still meanwhile. */
function mountVolatile(target: string, data: string, isReadonly: boolean): void {
  if (isReadonly) {
    mount("overlay", target, "overlay", MS_RDONLY, data);
    return;
  }
  try {
    mount("overlay", target, "overlay", 0, `${data},volatile`);
  } catch (error) {
    // Kernels before 5.10.
    if (!isErrno(error, "EINVAL")) throw error;
    mount("overlay", target, "overlay", 0, data);
  }
}

/** Gives the root of an empty upper directory the owner, mode and times of the root below it, which it hides. */
export function adoptRoot(lowerDirs: readonly string[], upperDir: string): void {
  const top = lowerDirs.at(-1);
  if (top === undefined) return;
  const { mode, uid, gid, atimeNs, mtimeNs } = lstatSync(top, { bigint: true });
  chownSync(upperDir, Number(uid), Number(gid));
  chmodSync(upperDir, Number(mode) & 0o7777);
  utimensNoFollow(upperDir, { atimeNs, mtimeNs });
}
