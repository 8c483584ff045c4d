// What a vertex does, as plain serialisable data: no functions, no spans, no names of stages. Everything here is identity; what is not identity is VertexMeta.
import type { Digest } from "../oci/digest.ts";
import type { Platform } from "../oci/platform.ts";

/** An image by manifest digest. Its result is a root file system. */
export interface ImageOp {
  readonly kind: "image";
  /** Normalised reference without digest: `docker.io/library/debian:12`. */
  readonly reference: string;
  readonly digest: Digest;
  readonly platform: Platform;
  /** Absolute path of an OCI layout that has it; undefined = a registry. */
  readonly layout?: string;
}

/** A directory of the client, by the name of its context. Its result is a tree of files, selected by who copies from it. */
export interface LocalOp {
  readonly kind: "local";
  readonly name: string;
}

export interface HttpOp {
  readonly kind: "http";
  readonly url: string;
  readonly checksum?: Digest;
  /** Base name that the file gets. */
  readonly filename: string;
  /** The file is an archive, and the result is what it holds. */
  readonly unpack?: true;
}

export interface GitOp {
  readonly kind: "git";
  readonly remote: string;
  readonly ref?: string;
  readonly subdir?: string;
  readonly keepGitDir: boolean;
  readonly submodules: boolean;
  readonly mtime: "checkout" | "commit";
  readonly checksum?: string;
}

export type MountOp = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount;

interface MountCommon {
  /** Absolute clean path in the container. */
  readonly target: string;
}

export interface BindMount extends MountCommon {
  readonly kind: "bind";
  /** Index into the vertex's inputs. */
  readonly input: number;
  /** Clean relative path in the input; "" = all of it. */
  readonly source: string;
  readonly writable: boolean;
}

export interface CacheMount extends MountCommon {
  readonly kind: "cache";
  readonly id: string;
  readonly sharing: "shared" | "private" | "locked";
  /** Nobody wrote `sharing`: it is locked because package managers fail on each other's lock files there (pain 30). No part of any key. */
  readonly isLockedByDefault?: true;
  /** Index into the vertex's inputs of the initial content; undefined = empty. */
  readonly input?: number;
  /** Clean relative path in the input; "" = all of it. */
  readonly source: string;
  readonly readonly: boolean;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

export interface TmpfsMount extends MountCommon {
  readonly kind: "tmpfs";
  /** Nothing can be written to it. */
  readonly readonly?: true;
  /** Bytes; undefined = unlimited. */
  readonly size?: number;
}

export interface SecretMount {
  readonly kind: "secret";
  readonly id: string;
  readonly target?: string;
  readonly env?: string;
  readonly required: boolean;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface SshMount extends MountCommon {
  readonly kind: "ssh";
  /** What SSH_AUTH_SOCK has where that is not `target`: BuildKit leaves it as it is written. */
  readonly writtenTarget?: string;
  readonly id: string;
  readonly required: boolean;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** A CDI device of the machine that runs the step. */
export interface DeviceRequest {
  /** `vendor.com/class=device`, `vendor.com/class=*`, `vendor.com/class`. */
  readonly name: string;
  /** Without it the step does not run. */
  readonly isRequired: boolean;
}

export interface Ulimit {
  readonly name: string;
  readonly soft: number;
  readonly hard: number;
}

/** Runs a process on the rootfs of input 0. Its result is that rootfs with one more layer. */
export interface ExecOp {
  readonly kind: "exec";
  readonly args: readonly string[];
  /** `NAME=value`, in order. */
  readonly env: readonly string[];
  readonly cwd: string;
  /** As in the image config; "" = root. */
  readonly user: string;
  readonly hostname?: string;
  readonly network: "default" | "none" | "host";
  readonly security: "sandbox" | "insecure";
  readonly mounts: readonly MountOp[];
  readonly devices?: readonly DeviceRequest[];
  /** Files under /dev/pipes, executable, gone afterwards: heredocs that start with "#!". */
  readonly pipes?: readonly { readonly name: string; readonly content: string }[];
  readonly shmSize?: number;
  readonly ulimits?: readonly Ulimit[];
  readonly cgroupParent?: string;
  /** Names of --add-host; the addresses are not identity. */
  readonly extraHosts?: readonly string[];
  readonly platform: Platform;
}

export type CopySource =
  /** Paths or patterns within input `input` (a tree or a rootfs), cleaned, relative, as the user ordered them. */
  | { readonly kind: "path"; readonly input: number; readonly pattern: string; readonly isWildcardAllowed: boolean }
  /** A heredoc: a file called `name`. */
  | { readonly kind: "inline"; readonly name: string; readonly content: string };

/** COPY and ADD. */
export interface CopyAction {
  readonly kind: "copy";
  readonly sources: readonly CopySource[];
  /** Absolute path in the rootfs; a trailing slash means "a directory". */
  readonly dest: string;
  /** As written after expansion: `user[:group]`, names or numbers. */
  readonly chown?: string;
  /** Octal or symbolic, as written after expansion. */
  readonly chmod?: string;
  readonly parents: boolean;
  readonly exclude: readonly string[];
  /** Archives: "auto" = ADD, opens those of sources with `isWildcardAllowed` (local ones, not downloads); "always" = ADD --unpack; "never" = COPY. */
  readonly unpack: "auto" | "always" | "never";
}

/** WORKDIR. */
export interface MkdirAction {
  readonly kind: "mkdir";
  readonly path: string;
  /** As in the image config; "" = root. */
  readonly user: string;
  readonly mode: number;
}

/** Changes files without running anything. Its result is the rootfs of input 0 with one more layer. */
export interface FileOp {
  readonly kind: "file";
  readonly action: CopyAction | MkdirAction;
  /** COPY --link: the layer is made without looking at input 0. */
  readonly isLinked: boolean;
}

export type Op = ImageOp | LocalOp | HttpOp | GitOp | ExecOp | FileOp;
