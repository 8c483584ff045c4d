// The one door to libc, for the system calls that Node does not have. koffi is loaded at the first call, so importing this file costs nothing.
// All calls are synchronous and act on the calling thread. A failure throws an Error with `.errno`, `.code`, `.syscall` and `.path` like node:fs.
// It decides nothing: who may mount what, and where, is the caller's business. Follows the man pages in section 2 of Linux, for x64 and arm64.
import { closeSync, openSync } from "node:fs";
import { createRequire } from "node:module";
import { getSystemErrorMap } from "node:util";
import type * as Koffi from "koffi";

export const MS_RDONLY = 0x1;
export const MS_NOSUID = 0x2;
export const MS_NODEV = 0x4;
export const MS_REMOUNT = 0x20;
export const MS_BIND = 0x1000;
export const MS_REC = 0x4000;
export const MS_SLAVE = 0x80000;

export const MNT_DETACH = 0x2;
export const UMOUNT_NOFOLLOW = 0x8;

/** File type bits of a mode, for {@link mknod}. */
export const S_IFCHR = 0o020000;
export const S_IFBLK = 0o060000;

const CLONE_NEWNS = 0x20000;
const CLONE_NEWNET = 0x40000000;

const WNOHANG = 1;
const O_CLOEXEC = 0o2000000;
const POSIX_SPAWN_SETSIGDEF = 0x4;
const POSIX_SPAWN_SETSIGMASK = 0x8;
const POSIX_SPAWN_SETSID = 0x80;
/** More than glibc's and musl's posix_spawnattr_t, posix_spawn_file_actions_t and sigset_t need. */
const SPAWN_STRUCT_SIZE = 512;
/** Of the signals 1 to 64 all but SIGKILL and SIGSTOP, as the first word of a sigset_t: with libc's own, 32 and 33, which posix_spawn ignores where they are not named. */
const CATCHABLE_SIGNALS = 0xffff_ffff_ffff_ffffn & ~((1n << 8n) | (1n << 18n));

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const UTIME_OMIT = 0x3ffffffen;
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;
const SEEK_DATA = 3;
/** Inode flags as `chattr` sets them (linux/fs.h, 64-bit); "T" is the one of ext2 to ext4. */
const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_TOPDIR_FL = 0x20000;
const SEEK_HOLE = 4;
const NANOSECONDS = 1_000_000_000n;
const XATTR_SIZE_MAX = 65_536;

/** A path as text, or as bytes where it is not valid UTF-8. */
type PathLike = string | Uint8Array;
type CFunction = (...args: readonly unknown[]) => number;

interface Libc {
  readonly errno: () => number;
  readonly mount: CFunction;
  readonly umount2: CFunction;
  readonly unshare: CFunction;
  readonly mknod: CFunction;
  readonly mkfifo: CFunction;
  readonly lgetxattr: CFunction;
  readonly llistxattr: CFunction;
  readonly lsetxattr: CFunction;
  readonly lremovexattr: CFunction;
  readonly flock: CFunction;
  readonly utimensat: CFunction;
  readonly lseek: CFunction;
  readonly ioctl: CFunction;
  readonly setns: CFunction;
  readonly pipe2: CFunction;
  readonly waitpid: CFunction;
  readonly posixSpawn: CFunction;
  readonly addDup2: CFunction;
  readonly addOpen: CFunction;
  readonly actionsInit: CFunction;
  readonly actionsDestroy: CFunction;
  readonly attributesInit: CFunction;
  readonly setFlags: CFunction;
  readonly setSigDefault: CFunction;
  readonly setSigMask: CFunction;
}

/** Attaches `source` at `target`. `fstype` and `data` may be undefined where the kernel ignores them (bind, remount, propagation). */
export function mount(
  source: string | undefined,
  target: string,
  fstype: string | undefined,
  flags: number,
  data?: string,
): void {
  const { mount: call } = load();
  check("mount", call(source ?? "none", target, fstype ?? null, flags, data ?? null), target);
}

/** Detaches what is mounted at `target`. */
export function umount(target: string, flags = 0): void {
  check("umount", load().umount2(target, flags), target);
}

/** Gives the calling thread a mount namespace of its own, a copy of the one it was in; children that it starts are in it too. */
export function unshareMounts(): void {
  check("unshare", load().unshare(CLONE_NEWNS));
}

/** Makes a network namespace and attaches it to the file `path`; the calling thread stays in its own. False, and nothing is done, where it could not come back to that. */
export function makeNetworkNamespace(path: string): boolean {
  const { unshare, setns } = load();
  const own = openSync("/proc/thread-self/ns/net", "r");
  try {
    // Asks for the same right as the way back.
    if (setns(own, CLONE_NEWNET) !== 0) return false;
    check("unshare", unshare(CLONE_NEWNET));
    try {
      mount("/proc/thread-self/ns/net", path, undefined, MS_BIND);
    } finally {
      check("setns", setns(own, CLONE_NEWNET));
    }
    return true;
  } finally {
    closeSync(own);
  }
}

/** The reading and the writing end of a pipe, which programs that are started do not inherit. */
export function makePipe(): readonly [readFd: number, writeFd: number] {
  const fds = new Int32Array(2);
  check("pipe2", load().pipe2(fds, O_CLOEXEC));
  return [fds[0]!, fds[1]!];
}

/**
 * Starts the program at `path` in a session of its own, with no signal ignored or blocked, and gives its process id; wait for it with {@link waitNoHang}.
 * `stdio`: descriptors above 2 for its first three, undefined = /dev/null for reading. Everything else that is open here must be close-on-exec, as Node opens files.
 */
export function spawnSession(
  path: string,
  argv: readonly string[],
  env: readonly string[],
  stdio: readonly (number | undefined)[],
): number {
  const libc = load();
  const actions = Buffer.alloc(SPAWN_STRUCT_SIZE);
  const pid = new Int32Array(1);
  libc.actionsInit(actions);
  try {
    for (const [target, fd] of stdio.entries()) {
      if (fd === undefined) libc.addOpen(actions, target, "/dev/null", 0, 0);
      else libc.addDup2(actions, fd, target);
    }
    const error = libc.posixSpawn(pid, path, actions, spawnAttributes(), [...argv, null], [...env, null]);
    if (error !== 0) throw systemError("posix_spawn", error, path);
    return pid[0]!;
  } finally {
    libc.actionsDestroy(actions);
  }
}

/** Wait status of a child (wait(2)) that has ended, which is then forgotten; undefined while it runs. */
export function waitNoHang(pid: number): number | undefined {
  const status = new Int32Array(1);
  const ended = load().waitpid(pid, status, WNOHANG);
  if (ended < 0) throw systemError("waitpid", load().errno());
  return ended === 0 ? undefined : status[0]!;
}

/** Makes a device node: `mode` is {@link S_IFCHR} or {@link S_IFBLK} with permission bits, which the umask reduces. */
export function mknod(path: PathLike, mode: number, major: number, minor: number): void {
  check("mknod", load().mknod(cPath(path), mode, makeDevice(major, minor)), path);
}

/** Makes a named pipe; the umask reduces `mode`. */
export function mkfifo(path: PathLike, mode: number): void {
  check("mkfifo", load().mkfifo(cPath(path), mode), path);
}

/** Value of an extended attribute, of a symlink itself if `path` is one; undefined where it has none or the file system keeps none. */
export function lgetxattr(path: PathLike, name: string): Uint8Array | undefined {
  const libc = load();
  const size = libc.lgetxattr(cPath(path), name, xattrBuffer(), XATTR_SIZE_MAX);
  if (size >= 0) return new Uint8Array(xattrBuffer().subarray(0, size));
  const error = systemError("lgetxattr", libc.errno(), path);
  if (error.code === "ENODATA" || error.code === "ENOTSUP") return undefined;
  throw error;
}

/** Names of the extended attributes that the caller may see; empty where the file system keeps none. */
export function llistxattr(path: PathLike): readonly string[] {
  const libc = load();
  const size = libc.llistxattr(cPath(path), xattrBuffer(), XATTR_SIZE_MAX);
  if (size === 0) return [];
  if (size > 0)
    return Buffer.from(xattrBuffer().subarray(0, size - 1))
      .toString("utf8")
      .split("\0");
  const error = systemError("llistxattr", libc.errno(), path);
  if (error.code === "ENOTSUP") return [];
  throw error;
}

/** Sets an extended attribute, replacing its value if there is one. */
export function lsetxattr(path: PathLike, name: string, value: Uint8Array): void {
  check("lsetxattr", load().lsetxattr(cPath(path), name, value, value.byteLength, 0), path);
}

/** Removes an extended attribute; ENODATA where there is none. */
export function lremovexattr(path: PathLike, name: string): void {
  check("lremovexattr", load().lremovexattr(cPath(path), name), path);
}

/** Takes the whole-file lock of an open file description without waiting; false where another holder is in the way. Freed by close, so also by death. */
export function tryFlock(fd: number, kind: "shared" | "exclusive"): boolean {
  const libc = load();
  if (libc.flock(fd, (kind === "shared" ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0) return true;
  const error = systemError("flock", libc.errno());
  if (error.code === "EAGAIN") return false;
  throw error;
}

/** Gives the lock back. Locks that are not held are no error. */
export function funlock(fd: number): void {
  check("flock", load().flock(fd, LOCK_UN));
}

/** Sets times in whole nanoseconds, of a symlink itself if `path` is one. Without `atimeNs` the access time stays. */
export function utimensNoFollow(path: PathLike, times: { readonly mtimeNs: bigint; readonly atimeNs?: bigint }): void {
  const spec = timeBuffer();
  if (times.atimeNs === undefined) spec[1] = UTIME_OMIT;
  else writeTimespec(spec, 0, times.atimeNs);
  writeTimespec(spec, 2, times.mtimeNs);
  check("utimensat", load().utimensat(AT_FDCWD, cPath(path), spec, AT_SYMLINK_NOFOLLOW), path);
}

/** Offset of the first byte of data at or after `offset`; undefined where only a hole is left. Moves the position of `fd`. */
export function seekData(fd: number, offset: number): number | undefined {
  return seek(fd, offset, SEEK_DATA);
}

/** Offset of the first hole at or after `offset`; the end of the file counts as one. Moves the position of `fd`. */
export function seekHole(fd: number, offset: number): number | undefined {
  return seek(fd, offset, SEEK_HOLE);
}

/** Tells the file system that the directories in the open directory `fd` have nothing to do with each other, and may lie apart. False where it takes no such hint. */
export function spreadChildren(fd: number): boolean {
  const { ioctl } = load();
  const flags = new Uint32Array(2);
  if (ioctl(fd, FS_IOC_GETFLAGS, flags) !== 0) return false;
  flags[0]! |= FS_TOPDIR_FL;
  return ioctl(fd, FS_IOC_SETFLAGS, flags) === 0;
}

/** Whether {@link spreadChildren} was told so. */
export function areChildrenSpread(fd: number): boolean {
  const flags = new Uint32Array(2);
  return load().ioctl(fd, FS_IOC_GETFLAGS, flags) === 0 && (flags[0]! & FS_TOPDIR_FL) !== 0;
}

function seek(fd: number, offset: number, whence: number): number | undefined {
  const libc = load();
  const found = libc.lseek(fd, offset, whence);
  if (found >= 0) return found;
  const error = systemError("lseek", libc.errno());
  if (error.code === "ENXIO") return undefined;
  throw error;
}

/** glibc's gnu_dev_makedev, which musl shares: 32 bits each, interleaved. */
function makeDevice(major: number, minor: number): bigint {
  const [x, y] = [BigInt(major), BigInt(minor)];
  return ((x & 0xfff_ff000n) << 32n) | ((x & 0xfffn) << 8n) | ((y & 0xfff_fff00n) << 12n) | (y & 0xffn);
}

/** struct timespec is two 64-bit words on both architectures. The fraction counts up, also before 1970. */
function writeTimespec(spec: BigInt64Array, at: 0 | 2, ns: bigint): void {
  const fraction = ((ns % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
  spec[at] = (ns - fraction) / NANOSECONDS;
  spec[at + 1] = fraction;
}

/** koffi takes text as UTF-8; bytes need the terminating zero that text gets by itself. */
function cPath(path: PathLike): Uint8Array {
  return typeof path === "string" ? Buffer.from(`${path}\0`) : Buffer.concat([path, new Uint8Array(1)]);
}

function check(syscall: string, result: number, path?: PathLike): void {
  if (result !== 0) throw systemError(syscall, load().errno(), path);
}

function systemError(syscall: string, errno: number, path?: PathLike): NodeJS.ErrnoException {
  const [code, text] = getSystemErrorMap().get(-errno) ?? [errno === 61 ? "ENODATA" : `E${errno}`, `error ${errno}`];
  const shown = typeof path === "string" || path === undefined ? path : Buffer.from(path).toString("utf8");
  const where = shown === undefined ? "" : ` '${shown}'`;
  const error: NodeJS.ErrnoException = new Error(`${code}: ${text}, ${syscall}${where}`);
  Object.assign(error, { errno: -errno, code, syscall });
  if (shown !== undefined) error.path = shown;
  return error;
}

let libc: Libc | undefined;
let sharedXattrs: Buffer | undefined;
let sharedTimes: BigInt64Array | undefined;
let sharedAttributes: Buffer | undefined;

function xattrBuffer(): Buffer {
  return (sharedXattrs ??= Buffer.alloc(XATTR_SIZE_MAX));
}

function timeBuffer(): BigInt64Array {
  return (sharedTimes ??= new BigInt64Array(4));
}

/** posix_spawnattr_t, made once. Node ignores SIGPIPE, which its children must not. */
function spawnAttributes(): Buffer {
  if (sharedAttributes) return sharedAttributes;
  const { attributesInit, setFlags, setSigDefault, setSigMask } = load();
  const attributes = Buffer.alloc(SPAWN_STRUCT_SIZE);
  const [none, all] = [Buffer.alloc(SPAWN_STRUCT_SIZE), Buffer.alloc(SPAWN_STRUCT_SIZE)];
  all.writeBigUInt64LE(CATCHABLE_SIGNALS);
  attributesInit(attributes);
  setFlags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  setSigDefault(attributes, all);
  setSigMask(attributes, none);
  return (sharedAttributes = attributes);
}

function load(): Libc {
  return (libc ??= bind());
}

function bind(): Libc {
  const koffi = createRequire(import.meta.url)("koffi") as typeof Koffi;
  const library = openLibrary(koffi);
  const bound = (name: string, result: string, args: readonly string[]): CFunction =>
    library.func(name, result, [...args]) as CFunction;
  return {
    errno: () => koffi.errno(),
    mount: bound("mount", "int", ["str", "str", "str", "ulong", "str"]),
    umount2: bound("umount2", "int", ["str", "int"]),
    unshare: bound("unshare", "int", ["int"]),
    mknod: bindMknod(bound),
    mkfifo: bound("mkfifo", "int", ["void *", "uint32_t"]),
    lgetxattr: bound("lgetxattr", "intptr_t", ["void *", "str", "void *", "size_t"]),
    llistxattr: bound("llistxattr", "intptr_t", ["void *", "void *", "size_t"]),
    lsetxattr: bound("lsetxattr", "int", ["void *", "str", "void *", "size_t", "int"]),
    lremovexattr: bound("lremovexattr", "int", ["void *", "str"]),
    flock: bound("flock", "int", ["int", "int"]),
    utimensat: bound("utimensat", "int", ["int", "void *", "void *", "int"]),
    // off_t is 64 bits wide in glibc and musl on both architectures.
    lseek: bound("lseek", "int64_t", ["int", "int64_t", "int"]),
    ioctl: bound("ioctl", "int", ["int", "ulong", "void *"]),
    setns: bound("setns", "int", ["int", "int"]),
    pipe2: bound("pipe2", "int", ["void *", "int"]),
    ...bindProcesses(bound),
  };
}

function bindProcesses(bound: (name: string, result: string, args: readonly string[]) => CFunction) {
  const [pointer, strings] = ["void *", "const char **"];
  return {
    waitpid: bound("waitpid", "int", ["int", pointer, "int"]),
    posixSpawn: bound("posix_spawn", "int", [pointer, "str", pointer, pointer, strings, strings]),
    addDup2: bound("posix_spawn_file_actions_adddup2", "int", [pointer, "int", "int"]),
    addOpen: bound("posix_spawn_file_actions_addopen", "int", [pointer, "int", "str", "int", "uint32_t"]),
    actionsInit: bound("posix_spawn_file_actions_init", "int", [pointer]),
    actionsDestroy: bound("posix_spawn_file_actions_destroy", "int", [pointer]),
    attributesInit: bound("posix_spawnattr_init", "int", [pointer]),
    setFlags: bound("posix_spawnattr_setflags", "int", [pointer, "short"]),
    setSigDefault: bound("posix_spawnattr_setsigdefault", "int", [pointer, pointer]),
    setSigMask: bound("posix_spawnattr_setsigmask", "int", [pointer, pointer]),
  };
}

/** glibc before 2.33 has no symbol `mknod`, only the versioned call behind its inline function. */
function bindMknod(bound: (name: string, result: string, args: readonly string[]) => CFunction): CFunction {
  try {
    return bound("mknod", "int", ["void *", "uint32_t", "uint64_t"]);
  } catch {
    const versioned = bound("__xmknod", "int", ["int", "void *", "uint32_t", "void *"]);
    return (path, mode, device) => versioned(0, path, mode, BigUint64Array.of(device as bigint));
  }
}

/** glibc by its soname, then musl by its sonames, then whatever the Node binary itself is linked to. */
function openLibrary(koffi: typeof Koffi): Koffi.LibraryHandle {
  const musl = process.arch === "arm64" ? "libc.musl-aarch64.so.1" : "libc.musl-x86_64.so.1";
  for (const name of ["libc.so.6", musl]) {
    try {
      return koffi.load(name);
    } catch {
      continue;
    }
  }
  return koffi.load(null);
}
