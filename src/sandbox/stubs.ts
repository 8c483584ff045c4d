// Mount points that a root file system lacks: made before a step, taken away after it, so that neither they nor the touched times of their
// parents are part of its changes (reference S60–S62, T21). Made by us, not by the runtime, so that every runtime leaves the same.
import { closeSync, lstatSync, mkdirSync, openSync, readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { isErrno } from "../base/fs-atomic.ts";
import { lgetxattr, llistxattr, utimensNoFollow } from "../base/libc.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { resolveInRoot } from "./root-path.ts";

export interface MountPoint {
  /** Absolute path in the container, as asked for. */
  readonly target: string;
  readonly isDirectory: boolean;
}

/** Something made for a mount, relative to the root. */
interface Stub {
  readonly path: string;
  readonly inode: bigint;
}

/** A directory above a stub as it was before; relative to the root. */
interface Ancestor {
  readonly path: string;
  readonly fingerprint: string;
}

export class MountStubs {
  readonly #rootfs: string;
  readonly #upperDir: string;
  readonly #stubs: Stub[] = [];
  readonly #ancestors = new Map<string, Ancestor>();

  /** `rootfs` is the mounted view that writes to `upperDir`. */
  constructor(rootfs: string, upperDir: string) {
    this.#rootfs = rootfs;
    this.#upperDir = upperDir;
  }

  /** Makes `target` exist, parents included, and returns where it is with links followed. Throws BuildError `command` where it cannot be a mount point. */
  prepare({ target, isDirectory }: MountPoint): string {
    const { existing, missing, stats } = this.#resolve(target);
    if (missing.length === 0) {
      checkKind(target, stats.isDirectory(), isDirectory);
      return `/${existing}`;
    }
    this.#remember(existing);
    let path = existing;
    for (const [index, name] of missing.entries()) {
      const isLast = index === missing.length - 1;
      const parent = path;
      path = path === "" ? name : `${path}/${name}`;
      const full = join(this.#rootfs, path);
      keepTimes(join(this.#rootfs, parent), () => {
        if (isDirectory || !isLast) mkdirSync(full, { mode: 0o755 });
        else closeSync(openSync(full, "wx", 0o644));
      });
      this.#stubs.push({ path, inode: lstatSync(join(this.#upperDir, path), { bigint: true }).ino });
    }
    return `/${path}`;
  }

  /** Permission bits of the directory that is at `target` now; undefined = there is none. */
  directoryMode(target: string): number | undefined {
    const { missing, stats } = this.#resolve(target);
    return missing.length === 0 && stats.isDirectory() ? stats.mode & 0o7777 : undefined;
  }

  has(target: string): boolean {
    return this.#resolve(target).missing.length === 0;
  }

  /** Removes from the upper directory, once it is unmounted, what {@link prepare} made and the step left empty, and copies of parents that nothing changed. */
  remove(): void {
    for (const { path, inode } of this.#stubs.toReversed()) {
      const found = this.#inUpper(path);
      if (found?.ino !== inode) continue;
      const full = join(this.#upperDir, path);
      keepTimes(dirname(full), () => {
        if (found.isDirectory()) removeIfEmpty(full);
        else if (found.isFile() && found.size === 0n) unlinkSync(full);
      });
    }
    const deepestFirst = [...this.#ancestors.values()].sort((a, b) => b.path.length - a.path.length);
    for (const { path, fingerprint } of deepestFirst) {
      const full = join(this.#upperDir, path);
      if (!this.#inUpper(path)?.isDirectory() || isOpaque(full) || fingerprintOf(full) !== fingerprint) continue;
      keepTimes(dirname(full), () => removeIfEmpty(full));
    }
  }

  #resolve(target: string): ReturnType<typeof resolveInRoot> {
    try {
      return resolveInRoot(this.#rootfs, target);
    } catch (error) {
      if (isErrno(error, "ENOTDIR") || isErrno(error, "ELOOP"))
        throw badTarget(target, (error as Error).message, error);
      throw error;
    }
  }

  /** Making something in a directory of a lower layer copies it up, and all directories above it. */
  #remember(existing: string): void {
    for (let path = existing; path !== ""; path = path.includes("/") ? dirname(path) : "") {
      if (this.#ancestors.has(path) || this.#inUpper(path)) continue;
      this.#ancestors.set(path, { path, fingerprint: fingerprintOf(join(this.#rootfs, path)) });
    }
  }

  /** What is at `path` of the upper directory, unless the step has put a link in the way. */
  #inUpper(path: string): ReturnType<typeof lstatBig> {
    const parts = path.split("/");
    for (let depth = 1; depth < parts.length; depth++) {
      const parent = lstatBig(join(this.#upperDir, ...parts.slice(0, depth)));
      if (!parent?.isDirectory()) return undefined;
    }
    return lstatBig(join(this.#upperDir, path));
  }
}

/** Runs `change` in a directory and gives it back the times it had, to the nanosecond. */
export function keepTimes(directory: string, change: () => void): void {
  const { atimeNs, mtimeNs } = lstatSync(directory, { bigint: true });
  change();
  utimensNoFollow(directory, { atimeNs, mtimeNs });
}

function checkKind(target: string, isExistingDirectory: boolean, isDirectory: boolean): void {
  if (isExistingDirectory === isDirectory) return;
  const word = (is: boolean): string => (is ? "a directory" : "a file");
  throw badTarget(
    target,
    `it is ${word(isExistingDirectory)} in the image, and what is mounted is ${word(isDirectory)}`,
  );
}

function badTarget(target: string, reason: string, cause?: unknown): BuildError {
  return new BuildError("command", `cannot mount at ${target}: ${reason}`, cause === undefined ? {} : { cause });
}

function fingerprintOf(path: string): string {
  const { mode, uid, gid, mtimeNs } = lstatSync(path, { bigint: true });
  const names = llistxattr(path).filter((name) => !/^(trusted|user)\.overlay\./.test(name));
  const attributes = names.sort().map((name) => [name, Buffer.from(lgetxattr(path, name) ?? []).toString("hex")]);
  return JSON.stringify(
    [mode, uid, gid, mtimeNs, attributes].map((part) => (typeof part === "bigint" ? `${part}` : part)),
  );
}

function isOpaque(path: string): boolean {
  return ["trusted.overlay.opaque", "user.overlay.opaque"].some((name) => lgetxattr(path, name) !== undefined);
}

function removeIfEmpty(path: string): void {
  if (readdirSync(path).length === 0) rmdirSync(path);
}

function lstatBig(path: string) {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}
