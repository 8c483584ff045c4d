// Where the mounts of a step lie, links followed: in its root file system or in a mount made before. What is in the way is told in words, before
// the runtime stumbles over it.
import { comparePaths } from "../base/container-path.ts";
import { processFailure } from "../base/go-text.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { isBelow, type OpenedMount } from "./mounts.ts";
import type { PreparedMount } from "./spec.ts";
import { MountStubs } from "./stubs.ts";

/** A mount, and where it is with links followed. */
interface PlacedMount {
  readonly place: string;
  readonly mount: OpenedMount;
}

export class MountPoints {
  readonly #stubs: MountStubs;
  readonly #args: readonly string[];
  readonly #placed: PlacedMount[] = [];

  /** `stubs` are those of the step's root file system, `args` its command. */
  constructor(stubs: MountStubs, args: readonly string[]) {
    this.#stubs = stubs;
    this.#args = args;
  }

  /** All of them, outer ones first; their targets exist from here on. */
  prepare(mounts: readonly OpenedMount[]): readonly PreparedMount[] {
    const ordered = mounts.toSorted((a, b) => comparePaths(a.target.slice(1), b.target.slice(1)));
    return ordered.map((mount) => {
      try {
        return this.#prepare(mount);
      } catch (error) {
        if (!(error instanceof BuildError)) throw error;
        // BuildKit leaves it to the runtime, and says of it what it says of any command that fails.
        const message = processFailure(this.#args, "exit code: 1");
        const details = { word: mount.target };
        throw new BuildError(error.code, message, {
          cause: error,
          summary: error.message,
          help: error.help ?? HELP,
          details,
        });
      }
    });
  }

  #prepare(mount: OpenedMount): PreparedMount {
    const { target } = mount;
    const named = mount.isInRootfs ? undefined : this.#placed.findLast((outer) => isBelow(target, outer.mount.target));
    // Below a file system of every container.
    if (!mount.isInRootfs && !named) return mount;
    // A tmpfs takes over the mode of a directory that it covers, as runc does it by itself and crun does not.
    const covered = named ? undefined : this.#stubs.directoryMode(target);
    const place = named ? named.place + target.slice(named.mount.target.length) : this.#stubs.prepare(mount);
    const outer = this.#placed.findLast((other) => isBelow(place, other.place));
    const mode = outer ? prepareIn(outer, place, mount) : covered;
    this.#placed.push({ place, mount });
    const options = mount.type === "tmpfs" && mode !== undefined ? [`mode=${mode.toString(8)}`] : [];
    return { ...mount, target: place, options: [...mount.options, ...options] };
  }
}

const HELP = "name another target, or remove what is there in an earlier RUN";

function fileInTheWay({ target }: OpenedMount, outer: OpenedMount): BuildError {
  return new BuildError("command", `cannot mount at ${target}: what this RUN mounts at ${outer.target} is a file`, {
    help: "nothing can be below a file: name another target",
  });
}

function readOnly({ target }: OpenedMount, outer: OpenedMount): BuildError {
  const why = `it is not there in what this RUN mounts at ${outer.target}, which is read-only`;
  return new BuildError("command", `cannot mount at ${target}: ${why}`, {
    help: `add rw to the mount at ${outer.target}`,
  });
}

/** Makes `place` exist in another mount that can be written to, for what runtimes make there has modes of theirs; gives the mode of the directory that was there before. */
function prepareIn({ place: at, mount: outer }: PlacedMount, place: string, mount: OpenedMount): number | undefined {
  if (!outer.isDirectory && place !== at) throw fileInTheWay(mount, outer);
  if (outer.type === "tmpfs") return undefined;
  if (outer.covered?.has(mount.target)) return outer.covered.get(mount.target);
  const stubs = new MountStubs(outer.source, outer.source);
  const target = place.slice(at.length);
  const covered = stubs.directoryMode(target);
  if (outer.options.includes("rw")) stubs.prepare({ target, isDirectory: mount.isDirectory });
  else if (!stubs.has(target)) throw readOnly(mount, outer);
  return covered;
}
