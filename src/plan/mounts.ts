// `RUN --mount`: fields expanded, defaults put in, ops made (reference M01–M61, V26, R07). What needs no variables the parser has checked already.
import { parseGoBool } from "../base/go-text.ts";
import { parseBytes } from "../base/size-text.ts";
import { baseName, cleanPath, relativePath, resolveIn } from "../base/container-path.ts";
import type { Span } from "../diagnostics/source.ts";
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import type { MountFlag, MountType } from "../frontend/ast.ts";
import { checkMountOfType, valueProblem } from "../frontend/mount-flag.ts";
import type { CacheMount, MountOp } from "../graph/op.ts";
import { goQuote } from "../base/go-text.ts";

/** A mount whose type is known. */
export type TypedMount = MountFlag & { readonly type: MountType };

/** The mount with its type expanded, where that is a variable; undefined where it is in error, which is then reported. */
export function withType(
  flag: MountFlag,
  expand: MountScope["expand"],
  report: (problems: readonly Diagnostic[]) => void,
): TypedMount | undefined {
  const { type } = flag;
  if (type !== "variable") return { ...flag, type };
  const { value = "", span } = flag.fields.findLast(({ key }) => key === "type")!;
  const expanded = expand(value, span);
  if (expanded === undefined) return undefined;
  const found = checkMountOfType(flag, expanded);
  if (typeof found === "string") return { ...flag, type: found };
  report(found);
  return undefined;
}

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
export function planMount(flag: TypedMount, scope: MountScope): MountOp | undefined {
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
      const written = ["", target].includes(fields.target) ? {} : { writtenTarget: fields.target };
      const owner = { uid: uid ?? 0, gid: gid ?? 0 };
      return { kind, target, ...written, id, required: fields.isRequired, mode: mode ?? 0o600, ...owner };
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
function validate(type: MountType, fields: MountFields): string | undefined {
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
    const problem = value === undefined ? undefined : valueProblem(key, value);
    if (problem) scope.fail(span, ...problem);
    if (problem || (raw !== undefined && value === undefined)) isSound = false;
    else if (FLAG_KEYS.has(key)) {
      const on = value === undefined ? true : parseGoBool(value);
      if (key === "required") isRequired = on === true;
      else isReadonly = key === "ro" || key === "readonly" ? on : !on;
    } else values.set(CANONICAL[key] ?? key, value ?? "");
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
    size: parseBytes(values.get("size") ?? "") || undefined,
    mode: number("mode", 8),
    uid: number("uid", 10),
    gid: number("gid", 10),
  };
}

const FLAG_KEYS = new Set(["ro", "readonly", "rw", "readwrite", "required"]);
const CANONICAL: Readonly<Record<string, string>> = { src: "source", dst: "target", destination: "target" };
