// Programs of another platform than this machine's (S16): an emulator in front of the command where one is installed under BuildKit's name for it.
// Where none is, the command runs as it is: the kernel has a handler for such programs (binfmt_misc), or says "exec format error".
import { isNativeArchitecture, type Platform } from "../oci/platform.ts";
import type { OpenedMount } from "./mounts.ts";
import { findProgram } from "./runtime.ts";

/** On the step's /dev, so never in a layer (S63). */
const EMULATOR_TARGET = "/dev/.buildkit_qemu_emulator";

/** QEMU's names for architectures, where they are not ours. */
const QEMU_NAMES: Readonly<Record<string, string>> = {
  "386": "i386",
  amd64: "x86_64",
  arm64: "aarch64",
  loong64: "loongarch64",
  mips64le: "mips64el",
  mipsle: "mipsel",
};

/** Absolute path of `buildkit-qemu-ARCH` for programs of `platform`; undefined where this machine runs them by itself, or has none. */
export function findEmulator({ os, architecture }: Platform, searchPath: string): string | undefined {
  if (os !== "linux" || isNativeArchitecture(architecture)) return undefined;
  return findProgram(`buildkit-qemu-${QEMU_NAMES[architecture] ?? architecture}`, searchPath);
}

/** `args` as the emulator's arguments. */
export function emulatedArgs(args: readonly string[], emulator: string | undefined): readonly string[] {
  return emulator === undefined ? args : [EMULATOR_TARGET, ...args];
}

/** The emulator where the step finds it. */
export function emulatorMounts(emulator: string | undefined): readonly OpenedMount[] {
  if (emulator === undefined) return [];
  return [{ target: EMULATOR_TARGET, source: emulator, isDirectory: false, isInRootfs: false, options: ["ro"] }];
}
