// What BuildKit calls a RUN: the JSON of its exec op, where one root mount stands for none, and cache mounts count by where they are.
import { encodeGoJson } from "../../base/go-json.ts";
import type { Vertex } from "../../graph/graph.ts";
import type { BindMount, CacheMount, ExecOp, MountOp, TmpfsMount } from "../../graph/op.ts";
import { digestOf, type Digest } from "../../oci/digest.ts";
import { recordDigest, selectorOf, type KeyInput, type StepKey, type Unmatchable } from "./key.ts";

/** A mount as it is marshalled, and what of its input it shows. */
interface Mount {
  readonly wire: object;
  readonly source?: { readonly of: Digest; readonly path: string; readonly isRoot: boolean };
}

export function execKey(op: ExecOp, inputs: Vertex["inputs"]): StepKey | Unmatchable {
  const reason = reasonAgainst(op);
  if (reason !== undefined) return { reason };
  const sources: Digest[] = [];
  const mounts = mountsOf(op, inputs, sources);
  const isPlain = mounts.length === 1;
  const { os, architecture, variant } = op.platform;
  const value = {
    Type: "buildkit.exec.v0",
    Exec: {
      meta: metaOf(op),
      ...(isPlain ? {} : { mounts: mounts.map(({ wire }) => wire) }),
      ...(op.network === "default" ? {} : { network: op.network === "host" ? 1 : 2 }),
    },
    OS: os,
    Arch: architecture,
    ...(variant === undefined ? {} : { Variant: variant }),
  };
  return {
    digest: recordDigest(digestOf(encodeGoJson(value)), 0),
    inputs: sources.map((of) => inputOf(of, mounts)),
  };
}

/** What there is no key for, or none that says enough. */
function reasonAgainst(op: ExecOp): string | undefined {
  if (op.platform.os !== "linux" || op.platform.osVersion !== undefined) return "RUN on another system than Linux";
  if (op.security !== "sandbox") return "RUN --security";
  if ((op.devices ?? []).length > 0) return "RUN --device";
  if ((op.pipes ?? []).length > 0) return "RUN of a heredoc with #!";
  for (const mount of op.mounts) {
    if (mount.kind === "secret") return "RUN with a secret";
    if (mount.kind === "ssh") return "RUN with ssh";
    if (mount.kind === "cache" && !isPlainCache(mount))
      return "RUN with a cache mount that has an owner, a mode or a source";
  }
  return undefined;
}

function isPlainCache({ input, source, mode, uid, gid }: CacheMount): boolean {
  return input === undefined && source === "" && mode === undefined && uid === undefined && gid === undefined;
}

function metaOf(op: ExecOp): object {
  const hosts = (op.extraHosts ?? []).map((name) => ({ Host: name }));
  const limits = (op.ulimits ?? []).map(({ name, soft, hard }) => ({
    Name: name,
    ...(soft === 0 ? {} : { Soft: soft }),
    ...(hard === 0 ? {} : { Hard: hard }),
  }));
  return {
    args: op.args,
    ...(op.env.length === 0 ? {} : { env: op.env }),
    cwd: op.cwd,
    ...(op.user === "" ? {} : { user: op.user }),
    ...(hosts.length === 0 ? {} : { extraHosts: hosts }),
    ...(op.hostname === undefined ? {} : { hostname: op.hostname }),
    ...(limits.length === 0 ? {} : { ulimit: limits }),
    ...(op.cgroupParent === undefined ? {} : { cgroupParent: op.cgroupParent }),
    removeMountStubsRecursive: true,
  };
}

/** The root and the mounts, by target. `sources` becomes the inputs in BuildKit's order. */
function mountsOf(op: ExecOp, inputs: Vertex["inputs"], sources: Digest[]): Mount[] {
  const root = { target: "/", kind: "root" } as const;
  const shm = op.shmSize === undefined ? [] : [{ kind: "tmpfs", target: "/dev/shm", size: op.shmSize } as const];
  const all = [root, ...op.mounts.filter(isPlaced), ...shm];
  all.sort((a, b) => Buffer.compare(Buffer.from(a.target), Buffer.from(b.target)));
  const place = (of: Digest | undefined): number => {
    if (of === undefined) return -1;
    const known = sources.indexOf(of);
    return known < 0 ? sources.push(of) - 1 : known;
  };
  return all.map((mount): Mount => {
    switch (mount.kind) {
      case "root":
        return { wire: rootWire(place(inputs[0])), ...sourceOf(inputs[0], "/", true) };
      case "bind": {
        const of = inputs[mount.input];
        return { wire: bindWire(mount, place(of)), ...sourceOf(of, `/${mount.source}`, false) };
      }
      case "cache":
        return { wire: cacheWire(mount) };
      case "tmpfs":
        return { wire: tmpfsWire(mount) };
    }
  });
}

function isPlaced(mount: MountOp): mount is BindMount | CacheMount | TmpfsMount {
  return mount.kind === "bind" || mount.kind === "cache" || mount.kind === "tmpfs";
}

function sourceOf(of: Digest | undefined, path: string, isRoot: boolean): Pick<Mount, "source"> {
  return of === undefined ? {} : { source: { of, path, isRoot } };
}

function rootWire(input: number): object {
  return { ...indexOf(input), dest: "/" };
}

function bindWire({ target, writable }: BindMount, input: number): object {
  return { ...indexOf(input), dest: target, output: -1, ...(writable ? {} : { readonly: true }) };
}

/** The id, below its namespace, counts only where it is the target, and so does the sharing. */
function cacheWire({ target, id, sharing, isLockedByDefault, readonly }: CacheMount): object {
  const isShared = sharing === "shared" || isLockedByDefault === true;
  const ID = id === target ? `/${id}` : id;
  const isUsual = isShared && ID.slice(ID.indexOf("/") + 1) === target;
  const isReadonly = readonly ? { readonly: true } : {};
  return { input: -1, dest: target, output: -1, ...isReadonly, mountType: 3, cacheOpt: isUsual ? { ID } : {} };
}

function tmpfsWire({ target, size, readonly }: TmpfsMount): object {
  const TmpfsOpt = size === undefined || size === 0 ? {} : { size };
  const isReadonly = readonly === true ? { readonly: true } : {};
  return { input: -1, dest: target, output: -1, ...isReadonly, mountType: 4, TmpfsOpt };
}

function indexOf(input: number): object {
  return input === 0 ? {} : { input };
}

/** The content of what one mount shows may stand for its input; of the root only a record. */
function inputOf(of: Digest, mounts: readonly Mount[]): KeyInput {
  const shown = mounts.flatMap(({ source }) => (source?.of === of ? [source] : []));
  const selector = selectorOf(shown.map(({ path }) => Buffer.from(path)));
  if (shown.at(-1)?.isRoot === true) return { of, selector };
  // Of several mounts, the digests do not say which one is whose.
  if (shown.length > 1) return { of, selector };
  return { of, selector, content: shown.map(({ path }) => ({ path, isPattern: false })) };
}
