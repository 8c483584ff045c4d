// What a step is asked to be and how it ended: the nouns of sandbox.ts, which is where others import them from.
import type { Platform } from "../oci/platform.ts";
import type { StepBrake } from "./brake.ts";
import type { DeviceEdits } from "./cdi.ts";
import type { StepUsage } from "./cgroup.ts";
import type { OutputConsumer } from "./container.ts";
import type { StepResources, StepUlimit } from "./spec.ts";

export type SandboxMount =
  /** Directory or file of the host. */
  | { readonly kind: "bind"; readonly target: string; readonly source: string; readonly readonly: boolean }
  /** Layers of another root file system, bottom first. Writes are thrown away. `subpath` is resolved inside them. */
  | {
      readonly kind: "overlay";
      readonly target: string;
      readonly lowerDirs: readonly string[];
      readonly subpath: string;
      readonly writable: boolean;
    }
  /** `size` in bytes; undefined = as the kernel likes. */
  | { readonly kind: "tmpfs"; readonly target: string; readonly size?: number; readonly readonly?: true }
  /** Bytes that never touch a disk. */
  | {
      readonly kind: "secret";
      readonly target: string;
      readonly data: Uint8Array;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    }
  /** A socket that passes everything on to the agent at `socket`. */
  | {
      readonly kind: "ssh";
      readonly target: string;
      readonly socket: string;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    };

export interface StepRequest {
  /** Is told where the step can be held. */
  readonly brake?: StepBrake;
  /** Unique on this machine, `[a-z0-9-]+`; names the container and its cgroup. */
  readonly id: string;
  /** Empty directory of the caller's; empty again afterwards. */
  readonly scratchDir: string;
  /** Directory faces in overlay form, bottom first; any number. */
  readonly lowerDirs: readonly string[];
  /** Empty directory on the file system of `scratchDir`; holds the step's changes in overlay form afterwards. */
  readonly upperDir: string;
  readonly args: readonly string[];
  /** That its programs are for; undefined = this machine's. */
  readonly platform?: Platform;
  /** `NAME=value`; of several with one name the last counts. */
  readonly env: readonly string[];
  readonly cwd: string;
  /** As in the image config: names or numbers, `user[:group]`; "" = root. */
  readonly user: string;
  readonly hostname: string;
  readonly network: "default" | "none" | "host";
  readonly security: "sandbox" | "insecure";
  readonly mounts: readonly SandboxMount[];
  /** What its devices add to the container; undefined = it has none. */
  readonly devices?: DeviceEdits;
  /** Executable files below /dev/pipes. */
  readonly pipes: readonly { readonly name: string; readonly content: string }[];
  /** Bytes of /dev/shm; default 64 MiB. */
  readonly shmSize?: number;
  readonly ulimits: readonly StepUlimit[];
  /** A path, or `slice:prefix` of systemd. */
  readonly cgroupParent?: string;
  readonly extraHosts: readonly { readonly name: string; readonly address: string }[];
  readonly resources?: StepResources;
  /** PEM file on this machine that the step trusts in addition. */
  readonly caCert?: string;
  /** Takes the output as it comes; the step waits while a returned promise is pending. */
  readonly onOutput: OutputConsumer;
  readonly signal?: AbortSignal;
}

export interface StepResult {
  readonly exitCode: number;
  /** Name of the signal that an exit code above 128 conventionally stands for. */
  readonly signal?: string;
  /** Whether the kernel killed something of the step for want of memory. */
  readonly oomKilled: boolean;
  /** The step's memory limit in bytes, where it had one. */
  readonly oomLimit?: number;
  /** Absent where control groups cannot be used. */
  readonly usage?: StepUsage;
}
