// `RUN --mount`: fields expanded, defaults put in, ops made (reference M01–M61, V26, R07). What needs no variables the parser has checked already.
import { parseGoBool } from "../base/go-text.ts";
import { baseName, cleanPath, relativePath, resolveIn } from "../base/container-path.ts";
import type { Span } from "../diagnostics/source.ts";
import type { MountFlag } from "../frontend/ast.ts";
import type { CacheMount, MountOp } from "../graph/op.ts";
import { goQuote } from "../base/go-text.ts";

/** What a mount's fields are read with. */
export interface MountScope {
  /** Undefined where the value is in error, which is then reported. */
  readonly expand: (text: string, span: Span) => string | undefined;
  readonly fail: (span: Span, message: string, help?: string) => void;
  readonly workdir: string;
  /** BUILDKIT_CACHE_MOUNT_NS; "" = none. */
  readonly cacheNamespace: string;
  /** Index of the input with the mount's files; undefined = an empty directory (cache only). */
  readonly input: number | undefined;
  /** How many ssh mounts the RUN has before this one. */
  readonly sshIndex: number;
}

interface MountFields {
  readonly source: string;
  /** As written. */
  readonly target: string;
  readonly id: string;
  readonly env: string | undefined;
  /** Undefined = not written. */
  readonly sharing: "shared" | "private" | "locked" | undefined;
  readonly isReadonly: boolean | undefined;
  readonly isRequired: boolean;
  readonly size: number | undefined;
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

/** The op of one `--mount`; undefined where it is in error, which is then reported. */
export function planMount(flag: MountFlag, scope: MountScope): MountOp | undefined {
  const fields = readFields(flag, scope);
  if (!fields) return undefined;
  const problem = validate(flag.type, fields);
  if (problem !== undefined) {
    scope.fail(flag.span, problem, flag.type === "tmpfs" ? "a tmpfs starts empty: leave source out" : undefined);
    return undefined;
  }
  if (flag.type === "secret") return secretMount(fields, scope);
  const isDefaultSocket = flag.type === "ssh" && fields.target === "";
  const target = isDefaultSocket
    ? `/run/buildkit/ssh_agent.${scope.sshIndex}`
    : resolveIn(scope.workdir, fields.target);
  if (target === "/") {
    scope.fail(flag.span, `invalid mount target ${goQuote(target)}`, "give target= a path below the root");
    return undefined;
  }
  return placedMount(flag.type, target, fields, scope);
}

function placedMount(
  kind: "bind" | "cache" | "tmpfs" | "ssh",
  target: string,
  fields: MountFields,
  scope: MountScope,
): MountOp {
  const { mode, uid, gid } = fields;
  const source = relativePath(fields.source);
  switch (kind) {
    case "bind":
      return { kind, target, input: scope.input ?? 0, source, writable: fields.isReadonly === false };
    case "cache":
      return {
        kind,
        target,
        id: cacheId(fields, scope.cacheNamespace),
        ...sharingOf(fields, target),
        ...(scope.input === undefined ? {} : { input: scope.input }),
        source,
        readonly: fields.isReadonly === true,
        ...(mode === undefined ? {} : { mode }),
        ...(uid === undefined ? {} : { uid }),
        ...(gid === undefined ? {} : { gid }),
      };
    case "tmpfs":
      return {
        kind,
        target,
        ...(fields.isReadonly === true ? { readonly: true } : {}),
        ...(fields.size === undefined ? {} : { size: fields.size }),
      };
    case "ssh": {
      const id = fields.id === "" ? "default" : fields.id;
      return { kind, target, id, required: fields.isRequired, mode: mode ?? 0o600, uid: uid ?? 0, gid: gid ?? 0 };
    }
  }
}

/** Directories whose users hold a lock file while they work, and fail where another has it (pain 30). */
const LOCK_SENSITIVE = [
  "/var/cache/apt",
  "/var/lib/apt",
  "/var/cache/dnf",
  "/var/cache/libdnf5",
  "/var/cache/yum",
  "/var/cache/zypp",
  "/var/lib/dnf",
];

function sharingOf({ sharing }: MountFields, target: string): Pick<CacheMount, "sharing" | "isLockedByDefault"> {
  if (sharing !== undefined) return { sharing };
  const isSensitive = LOCK_SENSITIVE.some((path) => target === path || target.startsWith(`${path}/`));
  return isSensitive ? { sharing: "locked", isLockedByDefault: true } : { sharing: "shared" };
}

function cacheId(fields: MountFields, namespace: string): string {
  const id = fields.id === "" ? cleanPath(fields.target) : fields.id;
  return namespace === "" ? id : `${namespace}/${id}`;
}

/** A file unless only `env` is given (M41, M42). */
function secretMount(fields: MountFields, scope: MountScope): MountOp {
  const written = fields.source === "" ? fields.id : fields.source;
  const id = written === "" ? baseName(cleanPath(fields.target)) : written;
  const path = fields.target !== "" ? fields.target : fields.env === undefined ? `/run/secrets/${baseName(id)}` : "";
  return {
    kind: "secret",
    id,
    ...(path === "" ? {} : { target: resolveIn(scope.workdir, path) }),
    ...(fields.env === undefined ? {} : { env: fields.env }),
    required: fields.isRequired,
    mode: fields.mode ?? 0o400,
    uid: fields.uid ?? 0,
    gid: fields.gid ?? 0,
  };
}

/** Combinations that only show after expansion; the parser has seen the others. */
function validate(type: MountFlag["type"], fields: MountFields): string | undefined {
  const { source, target, id } = fields;
  if (type === "secret") {
    if (source === "" && target === "" && id === "") return "invalid secret mount. one of source, target required";
    if (source !== "" && id !== "") return "both source and id can't be set";
  }
  if (type === "ssh" && source !== "") return "ssh does not support source";
  // BuildKit looks for the directory in the new, empty file system.
  if (type === "tmpfs" && relativePath(source) !== "")
    return `open /${relativePath(source)}: no such file or directory`;
  return undefined;
}

function readFields(flag: MountFlag, scope: MountScope): MountFields | undefined {
  const values = new Map<string, string>();
  let isReadonly: boolean | undefined;
  let isRequired = false;
  let isSound = true;
  for (const { key, value: raw, span } of flag.fields) {
    if (key === "from" || key === "type") continue;
    const value = raw === undefined ? undefined : scope.expand(raw, span);
    if (raw !== undefined && value === undefined) isSound = false;
    else if (FLAG_KEYS.has(key)) {
      const on = value === undefined ? true : parseGoBool(value);
      if (on === undefined) {
        scope.fail(span, `invalid value for ${key}: ${value}`, "write true or false");
        isSound = false;
      } else if (key === "required") isRequired = on;
      else isReadonly = key === "ro" || key === "readonly" ? on : !on;
    } else {
      const message = valueProblem(key, value ?? "");
      if (message !== undefined) {
        scope.fail(span, message);
        isSound = false;
      }
      values.set(CANONICAL[key] ?? key, value ?? "");
    }
  }
  if (!isSound) return undefined;
  const number = (key: string, radix: number) => {
    const text = values.get(key);
    return text === undefined ? undefined : Number.parseInt(text, radix);
  };
  const sharing = values.get("sharing")?.toLowerCase();
  return {
    source: values.get("source") ?? "",
    target: values.get("target") ?? "",
    id: values.get("id") ?? "",
    env: values.get("env"),
    sharing: sharing === "private" || sharing === "locked" || sharing === "shared" ? sharing : undefined,
    isReadonly,
    isRequired,
    size: parseSize(values.get("size")),
    mode: number("mode", 8),
    uid: number("uid", 10),
    gid: number("gid", 10),
  };
}

const FLAG_KEYS = new Set(["ro", "readonly", "rw", "readwrite", "required"]);
const CANONICAL: Readonly<Record<string, string>> = { src: "source", dst: "target", destination: "target" };

function valueProblem(key: string, value: string): string | undefined {
  switch (key) {
    case "size":
      return parseSize(value) === undefined && value !== "0" ? `invalid value for ${key}: ${value}` : undefined;
    case "sharing":
      return /^(?:shared|private|locked)$/i.test(value) ? undefined : `unsupported sharing value ${goQuote(value)}`;
    case "mode":
      return /^[0-7]+$/.test(value) && Number.parseInt(value, 8) < 2 ** 32
        ? undefined
        : `invalid value ${value} for mode`;
    case "uid":
    case "gid":
      return /^\d+$/.test(value) && Number(value) < 2 ** 32 ? undefined : `invalid value ${value} for ${key}`;
    default:
      return undefined;
  }
}

/** Bytes of `64m`, `1g`, `1.5GiB`, …; undefined = no limit, or no size. */
function parseSize(text: string | undefined): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i.exec(text ?? "");
  if (!match) return undefined;
  const power = "kmgtp".indexOf(match[2]!.toLowerCase() || "-") + 1;
  const size = Math.trunc(Number(match[1]) * 1024 ** power);
  return size > 0 ? size : undefined;
}
