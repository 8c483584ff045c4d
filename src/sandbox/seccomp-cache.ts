// The compiled form of the seccomp profile, kept from one container to the next. Compiling takes crun 14 of 30 ms, and versions without a cache of their own do it
// for every container. crun leaves the result beside its state while a container lives, and takes it back in an annotation: the same filter,
// by the same library. Other runtimes never see this; a crun that does not know the annotation compiles the profile, which is in the spec all the same.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { readFileIfExists, writeFileAtomic } from "../base/fs-atomic.ts";
import type { SpecSeccomp } from "./runtime-spec.ts";
import type { Runtime } from "./runtime.ts";

/** Of crun: base64 of a BPF program that replaces what `linux.seccomp` says. */
export const FILTER_ANNOTATION = "run.oci.seccomp_bpf_data";

/** Bytes of one BPF instruction, and how many the kernel takes. */
const INSTRUCTION_SIZE = 8;
const MAX_INSTRUCTIONS = 4096;

/** Class of an instruction, in the low bits of its code. */
const CLASS_MASK = 0x07;
const RETURN = 0x06;

/** Milliseconds between looks at a container that is being made. */
const LOOK_MS = 2;

const FILE = /^seccomp-[0-9a-f]+\.bpf$/;

export class FilterCache {
  readonly #cacheDir: string;
  /** Undefined = this runtime takes no compiled filters. */
  readonly #salt: string | undefined;
  readonly #known = new Map<string, string>();

  /** Files are kept in `cacheDir`, which only this user may write; made with the first of them. */
  constructor(runtime: Runtime, cacheDir: string) {
    this.#cacheDir = cacheDir;
    this.#salt = runtime.name === "crun" ? saltOf(runtime) : undefined;
  }

  /** Base64 of the profile's filter, where one was kept. */
  find(profile: SpecSeccomp | undefined): string | undefined {
    if (profile === undefined || this.#salt === undefined) return undefined;
    const path = this.#pathOf(profile);
    const known = this.#known.get(path);
    if (known !== undefined) return known;
    const bytes = readFileIfExists(path);
    if (!bytes || !isProgram(bytes)) return undefined;
    const text = bytes.toString("base64");
    this.#known.set(path, text);
    return text;
  }

  /**
   * Keeps the filter that crun compiles for the container whose state is in `containerDir`. Does nothing where the container is gone before it was
   * looked at: the next one will do. Dispose when the container has ended.
   */
  watch(profile: SpecSeccomp | undefined, containerDir: string): Disposable {
    const path = profile === undefined || this.#salt === undefined ? undefined : this.#pathOf(profile);
    if (path === undefined) return { [Symbol.dispose]: () => undefined };
    let size = -1;
    const timer = setInterval(() => {
      const bytes = readFileIfExists(join(containerDir, "seccomp.bpf"));
      // Written in one go, which takes microseconds: what has not grown since the last look is whole.
      const isWhole = bytes !== undefined && bytes.length === size && isProgram(bytes);
      size = bytes?.length ?? -1;
      if (!isWhole) return;
      clearInterval(timer);
      this.#keep(path, bytes);
    }, LOOK_MS);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  #keep(path: string, bytes: Uint8Array): void {
    try {
      mkdirSync(this.#cacheDir, { recursive: true, mode: 0o700 });
      for (const name of readdirSync(this.#cacheDir))
        if (FILE.test(name)) rmSync(join(this.#cacheDir, name), { force: true });
      writeFileAtomic(path, bytes, 0o600);
    } catch {
      // Not kept: the next container is as slow as this one, and that is all.
    }
  }

  #pathOf(profile: SpecSeccomp): string {
    const key = createHash("sha256")
      .update(`${this.#salt}\0${JSON.stringify(profile)}`)
      .digest("hex")
      .slice(0, 32);
    return join(this.#cacheDir, `seccomp-${key}.bpf`);
  }
}

/** What else a filter depends on: the runtime's build, and libseccomp, whose updates count after the next boot. */
function saltOf(runtime: Runtime): string {
  const { size, mtimeMs } = statSync(runtime.path);
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8");
  return [runtime.path, runtime.version, size, mtimeMs, boot.trim()].join("\0");
}

/** A filter ends with a return, so one cut short is told from a whole one. */
function isProgram(bytes: Buffer): boolean {
  const count = bytes.length / INSTRUCTION_SIZE;
  if (!Number.isInteger(count) || count === 0 || count > MAX_INSTRUCTIONS) return false;
  return (bytes.readUInt16LE(bytes.length - INSTRUCTION_SIZE) & CLASS_MASK) === RETURN;
}
