// A mount namespace for all steps of a process, in place of one for every runtime call: what is mounted for steps is out of the host's sight and goes with the process,
// however that ends, and what crun cannot work beside is hidden once. Only for a process that is ours: the whole main thread moves in, and so do its children.
import { join } from "node:path";
import { isErrno } from "../base/fs-atomic.ts";
import { MNT_DETACH, mount, MS_REC, MS_SLAVE, umount, unshareMounts } from "../base/libc.ts";
import { CGROUP_ROOT, detectCgroups, type CgroupSupport } from "./cgroup.ts";

let isEntered = false;

/**
 * Moves this process's main thread into a mount namespace of its own. Mounts that the host makes later still arrive. Threads of the pool stay where they were:
 * files below a step's mounts are for synchronous calls. False where the process may not do this: then everything stays as it was.
 */
export function enterMountNamespace(isRootless: boolean): boolean {
  return (isEntered ||= tryEnter(isRootless));
}

/** Hides, in this process's own namespace, what crun does not accept of a hybrid layout. Returns the layout as it is then. */
export function hideHybrid(cgroups: CgroupSupport, isRootless: boolean): CgroupSupport {
  if (!cgroups.isHybrid) return cgroups;
  // A user namespace may not take a mount of its parent's away, but cover it.
  if (cgroups.layout === "none") mount("none", CGROUP_ROOT, "tmpfs", 0);
  else umount(join(CGROUP_ROOT, "unified"), MNT_DETACH);
  return detectCgroups(isRootless);
}

function tryEnter(isRootless: boolean): boolean {
  // Rootless, the process was started in one: see rootless.ts.
  if (isRootless) return true;
  try {
    unshareMounts();
    mount("none", "/", undefined, MS_REC | MS_SLAVE);
    return true;
  } catch (error) {
    if (!isErrno(error, "EPERM") && !isErrno(error, "ENOSYS")) throw error;
    return false;
  }
}
