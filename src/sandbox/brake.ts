// Lets a step stand still for a moment, all of its processes at once and without their knowing: the freezer of its cgroup (reference S12). Without cgroups of our own it does nothing.
import { existsSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Standstill } from "../base/standstill.ts";
import { CGROUP_ROOT, killQuietly, processesOf, type CgroupLayout, type StepCgroup } from "./cgroup.ts";

/** Where a group is frozen, and by which words: kernel Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst and cgroup-v2.rst. */
interface Freezer {
  readonly path: string;
  readonly hold: string;
  readonly release: string;
  /** Kills all of the group by itself, where the kernel can (v2). */
  readonly kill?: string;
}

export class StepBrake {
  #freezer: Freezer | undefined;
  #holdCount = 0;

  /** Tells which group the step runs in; the group itself may come later. */
  attach(layout: CgroupLayout, { specPath }: StepCgroup): void {
    if (specPath === undefined || specPath.includes(":")) return;
    if (layout === "v2")
      this.#freezer = {
        path: join(CGROUP_ROOT, specPath, "cgroup.freeze"),
        hold: "1",
        release: "0",
        kill: join(CGROUP_ROOT, specPath, "cgroup.kill"),
      };
    if (layout === "v1") {
      const path = join(CGROUP_ROOT, "freezer", specPath, "freezer.state");
      this.#freezer = { path, hold: "FROZEN", release: "THAWED" };
    }
  }

  /** The step stands still until all that is returned has been disposed. */
  hold(): Standstill {
    this.#holdCount++;
    this.#write("hold");
    let isHeld = true;
    return {
      end: () => this.#kill(),
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        if (--this.#holdCount === 0) this.#write("release");
      },
    };
  }

  /** What is frozen takes the signal when it thaws, before anything else. */
  #kill(): void {
    if (!this.#freezer) return;
    const { path, kill } = this.#freezer;
    if (kill !== undefined && existsSync(kill)) return writeQuietly(kill, "1");
    for (const pid of processesOf(dirname(path))) killQuietly(pid);
  }

  #write(what: "hold" | "release"): void {
    if (!this.#freezer) return;
    writeQuietly(this.#freezer.path, this.#freezer[what]);
  }
}

function writeQuietly(path: string, word: string): void {
  try {
    writeFileSync(path, word, { flag: "r+" });
  } catch {
    // The step has not begun, or has ended; or this machine has no freezer.
  }
}
