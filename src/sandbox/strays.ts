// Steps without a process namespace (S72): what one leaves running in the background dies with nothing, so it is looked for by the root it has.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

/** A mounted file system, as /proc/PID/mountinfo shows it in every mount namespace: device number and options. */
export type MountIdentity = string;

/** Milliseconds after which processes that go on making others are left alone. */
const LIMIT_MS = 2000;

/** Milliseconds that a killed process gets to be gone. */
const PAUSE_MS = 2;

/** Of what is mounted at `target`, on top. Options of an overlay name its upper directory: they are no other mount's, before or after. */
export function mountIdentity(target: string): MountIdentity | undefined {
  return identityAt(readProc("self/mountinfo"), escapeOctal(target));
}

/** Kills every process whose root is that mount, or that is in a mount namespace with one, until none is left. */
export async function killStrays(root: MountIdentity): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  while (performance.now() < deadline) {
    const strays = straysOf(root);
    if (strays.length === 0) return;
    for (const pid of strays) kill(pid);
    await setTimeout(PAUSE_MS);
  }
}

function straysOf(root: MountIdentity): readonly number[] {
  const own = namespaceOf("self");
  const all = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => ({ pid, namespace: namespaceOf(pid) }))
    .filter(({ namespace }) => namespace !== undefined && namespace !== own);
  // One look for each namespace is not enough: of its processes some may have changed their root.
  const namespaces = new Set(
    all.filter(({ pid }) => identityAt(readProc(`${pid}/mountinfo`), "/") === root).map(({ namespace }) => namespace),
  );
  return all.filter(({ namespace }) => namespaces.has(namespace)).map(({ pid }) => Number(pid));
}

function identityAt(mountinfo: string, target: string): MountIdentity | undefined {
  const line = mountinfo.split("\n").findLast((one) => one.split(" ")[4] === target);
  return line && `${line.split(" ")[2]} ${line.slice(line.indexOf(" - ") + 3)}`;
}

/** Empty where the process is gone, or is not ours to look at. */
function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, "utf8");
  } catch {
    return "";
  }
}

function namespaceOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`);
  } catch {
    return undefined;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It went by itself.
  }
}

/** As the kernel writes a path in mountinfo. */
function escapeOctal(path: string): string {
  return path.replace(/[ \t\n\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`);
}
