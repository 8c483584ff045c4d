// Cache keys as documented records: a key is the digest of its named parts, so what a miss is explained with is exactly what the key was made of.
// Deliberately in no key: names, spans, stages, progress, proxy variables, addresses of --add-host, secret and ssh values, limits, mtimes, host paths.
import { isSecretName } from "../base/secret-name.ts";
import { digestHex, digestOf, digestOfJson, type Digest } from "../oci/digest.ts";
import { formatPlatform } from "../oci/platform.ts";
import type { KeyPart } from "../progress/events.ts";
import type { CopyAction, ExecOp, FileOp, MkdirAction, MountOp } from "../graph/op.ts";

/** Bumped when the meaning of an op changes, so that older records are not found. */
const VERSIONS = { exec: "tsbuild.exec.v1", file: "tsbuild.file.v1", rootfs: "tsbuild.rootfs.v1" } as const;

export function keyOf(kind: keyof typeof VERSIONS, parts: readonly KeyPart[]): Digest {
  return digestOfJson([VERSIONS[kind], parts.map(({ name, value }) => [name, value])]);
}

/** What a RUN is, without its inputs: each part can change what the command sees or does. */
export function execParts(op: ExecOp): KeyPart[] {
  const parts: KeyPart[] = [{ name: "command", value: JSON.stringify(op.args) }];
  for (const variable of op.env) {
    const cut = variable.indexOf("=");
    parts.push({ name: `env ${variable.slice(0, cut)}`, value: variable.slice(cut + 1) });
  }
  parts.push({ name: "working directory", value: op.cwd }, { name: "user", value: op.user });
  if (op.hostname !== undefined) parts.push({ name: "hostname", value: op.hostname });
  if (op.network !== "default") parts.push({ name: "network", value: op.network });
  if (op.security !== "sandbox") parts.push({ name: "security", value: op.security });
  for (const pipe of op.pipes ?? []) parts.push({ name: `heredoc ${pipe.name}`, value: pipe.content });
  if (op.shmSize !== undefined) parts.push({ name: "shm size", value: String(op.shmSize) });
  for (const { name, soft, hard } of op.ulimits ?? []) parts.push({ name: `ulimit ${name}`, value: `${soft}:${hard}` });
  if (op.cgroupParent !== undefined) parts.push({ name: "cgroup parent", value: op.cgroupParent });
  if (op.extraHosts && op.extraHosts.length > 0) parts.push({ name: "extra hosts", value: op.extraHosts.join(" ") });
  parts.push({ name: "platform", value: formatPlatform(op.platform) });
  for (const mount of op.mounts) parts.push(mountPart(mount));
  for (const { name } of op.devices ?? []) parts.push({ name: `device ${name}`, value: "" });
  return parts;
}

/** A mount as the step sees it; the files behind a bind are a part of their own. A cache's content is no part; of its id and sharing only whether they are the defaults (Q06). */
function mountPart(mount: MountOp): KeyPart {
  switch (mount.kind) {
    case "bind":
      return { name: `mount ${mount.target}`, value: mount.writable ? "bind,rw" : "bind" };
    case "cache": {
      const isShared = mount.sharing === "shared" || mount.isLockedByDefault === true;
      const own = mount.id === mount.target && isShared ? "" : ",own id or sharing";
      return { name: `mount ${mount.target}`, value: `cache${own}${mount.readonly ? ",ro" : ""}` };
    }
    case "tmpfs":
      return {
        name: `mount ${mount.target}`,
        value: `tmpfs,size=${mount.size ?? 0}${mount.readonly === true ? ",ro" : ""}`,
      };
    case "secret": {
      const { id, target = "", env = "", mode, uid, gid } = mount;
      return { name: `secret ${id}`, value: JSON.stringify([target, env, mode, uid, gid, ...needOf(mount)]) };
    }
    case "ssh":
      return {
        name: `ssh ${mount.id}`,
        value: JSON.stringify([mount.target, mount.mode, mount.uid, mount.gid, ...needOf(mount)]),
      };
  }
}

/** What a step made without its secret is no result of one that must have it. */
function needOf({ required }: { readonly required: boolean }): readonly string[] {
  return required ? ["required"] : [];
}

/** What a COPY, ADD or WORKDIR is, without its inputs. The directory a source lies in is no part: only its last name can show in the result (Q05). */
export function fileParts(op: FileOp): KeyPart[] {
  return op.action.kind === "copy" ? copyParts(op.action, op.isLinked) : mkdirParts(op.action);
}

function copyParts(action: CopyAction, isLinked: boolean): KeyPart[] {
  const parts: KeyPart[] = [{ name: "destination", value: action.dest }];
  action.sources.forEach((source, index) => {
    const value = source.kind === "path" ? source.pattern : JSON.stringify([source.name, source.content]);
    parts.push({ name: `source ${index + 1}`, value });
  });
  if (action.chown !== undefined) parts.push({ name: "--chown", value: action.chown });
  if (action.chmod !== undefined) parts.push({ name: "--chmod", value: action.chmod });
  if (action.parents) parts.push({ name: "--parents", value: "true" });
  if (action.exclude.length > 0) parts.push({ name: "--exclude", value: action.exclude.join("\n") });
  if (action.unpack !== "never") parts.push({ name: "unpack", value: action.unpack });
  if (isLinked) parts.push({ name: "--link", value: "true" });
  return parts;
}

function mkdirParts(action: MkdirAction): KeyPart[] {
  return [
    { name: "directory", value: action.path },
    { name: "user", value: action.user },
    { name: "mode", value: action.mode.toString(8) },
  ];
}

/** Longer values are kept by their beginning and their digest. */
const MAX_STORED = 4_000;

/** Parts as they are written down and compared to explain a miss: without the values of variables that look like secrets, long texts cut. Equal where the parts are. */
export function storedParts(parts: readonly KeyPart[]): KeyPart[] {
  return parts.map((part) => {
    const { name, value } = part;
    if (name.startsWith("env ") && isSecretName(name.slice(4))) return { name, value: `*** ${shortDigest(value)}` };
    if (value.length <= MAX_STORED) return part;
    return { ...part, value: `${value.slice(0, MAX_STORED)}… ${shortDigest(value)}` };
  });
}

function shortDigest(value: string): string {
  return digestHex(digestOf(value)).slice(0, 8);
}
