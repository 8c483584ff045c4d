// Devices of this machine by the Container Device Interface: JSON and YAML files that say what a container needs for each (CDI SPEC.md 0.6–1.0;
// reference R06, S41). Finds them and collects what they ask for; what a container is made of: spec.ts.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseGoBool } from "../base/go-text.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import type { DeviceRequest } from "../graph/op.ts";

/** What a device adds to a container. Everything is optional, as in the files. */
interface ContainerEdits {
  readonly env?: readonly string[];
  readonly deviceNodes?: readonly DeviceNode[];
  readonly mounts?: readonly DeviceMount[];
  readonly hooks?: readonly DeviceHook[];
  readonly additionalGids?: readonly number[];
  readonly intelRdt?: unknown;
  readonly netDevices?: readonly unknown[];
}

interface DeviceNode {
  readonly path: string;
  readonly hostPath?: string;
  readonly type?: string;
  readonly major?: number;
  readonly minor?: number;
  readonly fileMode?: number;
  readonly permissions?: string;
  readonly uid?: number;
  readonly gid?: number;
}

export interface DeviceMount {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly type?: string;
  readonly options?: readonly string[];
}

interface DeviceHook {
  readonly hookName: string;
  readonly path: string;
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  readonly timeout?: number;
}

interface CdiFile {
  readonly kind: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly containerEdits?: ContainerEdits;
  readonly devices: readonly {
    readonly name: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly containerEdits?: ContainerEdits;
  }[];
}

/** A device of this machine. */
export interface CdiDevice {
  /** `vendor.com/class=device`. */
  readonly name: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly edits: ContainerEdits;
  /** What all devices of its file have in common. */
  readonly file: { readonly path: string; readonly edits: ContainerEdits };
}

/** Where they are looked for; a device of a later directory replaces one of an earlier. */
export const CDI_DIRECTORIES: readonly string[] = ["/etc/cdi", "/var/run/cdi"];

const CLASS_ANNOTATION = "org.mobyproject.buildkit.device.class";
const AUTOALLOW_ANNOTATION = "org.mobyproject.buildkit.device.autoallow";
const TYPES: Readonly<Record<number, "b" | "c" | "p">> = { 0o060000: "b", 0o020000: "c", 0o010000: "p" };
const HOOKS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/** Devices in the order of their names. A file that cannot be read is told to `onProblem`, and left out. */
export async function readCdiDevices(
  directories: readonly string[],
  onProblem: (text: string) => void,
): Promise<readonly CdiDevice[]> {
  const devices = new Map<string, CdiDevice>();
  for (const directory of directories) {
    const here = new Map<string, CdiDevice | undefined>();
    for (const name of specNames(directory)) {
      const path = join(directory, name);
      try {
        for (const device of devicesOf(await readSpec(path), path))
          // Two files of one directory that say different things of a device: nobody knows which is meant.
          here.set(device.name, here.has(device.name) ? undefined : device);
      } catch (error) {
        onProblem(`${path} describes no devices: ${messageOf(error)}`);
      }
    }
    for (const [name, device] of here) {
      if (device) devices.set(name, device);
      else {
        devices.delete(name);
        onProblem(`device ${name} is described twice in ${directory}, so it is not used`);
      }
    }
  }
  return [...devices.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function specNames(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
      .filter((name) => /\.(?:json|ya?ml)$/.test(name))
      .sort();
  } catch {
    return [];
  }
}

async function readSpec(path: string): Promise<CdiFile> {
  const text = readFileSync(path, "utf8");
  const value: unknown = path.endsWith(".json") ? JSON.parse(text) : (await import("yaml")).default.parse(text);
  const { kind, devices } = (value ?? {}) as Partial<CdiFile>;
  if (typeof kind !== "string" || !/^[^/=]+\/[^/=]+$/.test(kind))
    throw new Error("it has no kind like vendor.com/class");
  const isNamed = (device: unknown): boolean =>
    device !== null && typeof device === "object" && "name" in device && typeof device.name === "string";
  if (!Array.isArray(devices) || !devices.every(isNamed)) throw new Error("it has no list of devices with names");
  return value as CdiFile;
}

function devicesOf(file: CdiFile, path: string): readonly CdiDevice[] {
  const shared = { path, edits: file.containerEdits ?? {} };
  return file.devices.map(({ name, annotations, containerEdits }) => ({
    name: `${file.kind}=${name}`,
    annotations: { ...file.annotations, ...annotations },
    edits: containerEdits ?? {},
    file: shared,
  }));
}

/** The devices that a name means: one, all of a kind ("=*"), those of a class, or the first of a kind; none where there is none. */
export function findDevices(devices: readonly CdiDevice[], name: string): readonly CdiDevice[] {
  const cut = name.indexOf("=");
  const [kind, rest] = cut < 0 ? [name, ""] : [name.slice(0, cut), name.slice(cut + 1)];
  const ofKind = devices.filter((device) => device.name.startsWith(`${kind}=`));
  if (rest === "") return ofKind.slice(0, 1);
  if (rest === "*") return ofKind;
  const exact = ofKind.filter((device) => device.name === name);
  return exact.length > 0 ? exact : ofKind.filter(({ annotations }) => annotations[CLASS_ANNOTATION] === rest);
}

/** Whether a device may be used without leave: its own file says so, as Go reads a boolean (S41). */
export function isAutoAllowed({ annotations }: CdiDevice): boolean {
  return parseGoBool(annotations[AUTOALLOW_ANNOTATION] ?? "") === true;
}

/** What the devices of a step add to its container. */
export interface DeviceEdits {
  readonly env: readonly string[];
  readonly nodes: readonly {
    readonly path: string;
    readonly type: "b" | "c" | "u" | "p";
    readonly major: number;
    readonly minor: number;
    readonly fileMode: number;
    readonly uid: number | undefined;
    readonly gid: number | undefined;
    /** Of "rwm". */
    readonly access: string;
  }[];
  readonly mounts: readonly DeviceMount[];
  readonly hooks: readonly DeviceHook[];
  readonly gids: readonly number[];
}

/** Collects what `requests` need, each device and each file once. Fails with "runtime" where one that is required is not there, or cannot be given. */
export function deviceEdits(
  devices: readonly CdiDevice[],
  requests: readonly DeviceRequest[],
  directories: readonly string[] = CDI_DIRECTORIES,
): DeviceEdits {
  const chosen = new Map<string, CdiDevice>();
  for (const { name, isRequired } of requests) {
    const found = findDevices(devices, name);
    if (found.length === 0 && isRequired) {
      const known = devices.map((device) => device.name).join(", ");
      throw new BuildError("runtime", `required CDI device "${name}" is not registered on this machine`, {
        help: known === "" ? `describe it in ${directories.join(" or ")}` : `the devices are ${known}`,
      });
    }
    for (const device of found) chosen.set(device.name, device);
  }
  const files = new Map([...chosen.values()].map(({ file }) => [file.path, file.edits]));
  const edits = [...files.values(), ...[...chosen.values()].map((device) => device.edits)];
  for (const { intelRdt, netDevices } of edits)
    if (intelRdt !== undefined || (netDevices?.length ?? 0) > 0)
      throw new BuildError(
        "unsupported",
        `a device of ${[...chosen.keys()].join(", ")} asks for intelRdt or netDevices`,
        {
          help: "tsbuild gives device nodes, mounts, variables, groups and hooks",
        },
      );
  const hooks = edits.flatMap((edit) => edit.hooks ?? []);
  const strange = hooks.find(({ hookName }) => !HOOKS.includes(hookName));
  if (strange) throw new BuildError("runtime", `a device asks for a hook called "${strange.hookName}"`);
  return {
    env: edits.flatMap((edit) => edit.env ?? []),
    nodes: edits.flatMap((edit) => (edit.deviceNodes ?? []).map(nodeOf)),
    mounts: edits.flatMap((edit) => edit.mounts ?? []),
    hooks,
    gids: edits.flatMap((edit) => edit.additionalGids ?? []),
  };
}

/** What the file leaves out is what the machine's own node says. */
function nodeOf(node: DeviceNode): DeviceEdits["nodes"][number] {
  const { path, hostPath = path, fileMode = 0o666, permissions = "rwm", uid, gid } = node;
  const stated = node.type as DeviceEdits["nodes"][number]["type"] | undefined;
  const common = { path, fileMode, uid, gid, access: permissions };
  if (stated !== undefined && (node.major !== undefined || stated === "p"))
    return { ...common, type: stated, major: node.major ?? 0, minor: node.minor ?? 0 };
  try {
    const { mode, rdev } = statSync(hostPath);
    const type = TYPES[mode & 0o170000];
    if (type === undefined || (stated !== undefined && stated !== type)) throw new Error("it is no such device");
    return { ...common, type, major: majorOf(rdev), minor: minorOf(rdev) };
  } catch (error) {
    throw new BuildError("runtime", `cannot give the device ${hostPath}: ${messageOf(error)}`, { cause: error });
  }
}

/** As glibc's gnu_dev_major and gnu_dev_minor take them apart. */
function majorOf(rdev: number): number {
  return Math.floor(rdev / 256) % 4096;
}

function minorOf(rdev: number): number {
  return (rdev % 256) + Math.floor(rdev / 2 ** 20) * 256;
}
