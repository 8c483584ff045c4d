// What nobody can be faster than, as the smallest program that does the one thing which a workload cannot avoid: start Node, look at every file,
// read and hash, compress, write, start a container. Run in the same rounds as the builders, so the machine is the same.
import { createHash } from "node:crypto";
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

export interface Limit {
  readonly name: string;
  /** Milliseconds. */
  readonly measure: (context: string) => number;
}

export interface Limits {
  readonly node: Limit;
  readonly statTree: Limit;
  readonly hashTree: Limit;
  readonly compressTree: Limit;
  readonly writeTree: Limit;
  readonly containers: (count: number) => Limit;
}

export const limits: Limits = {
  node: { name: "node -e 0", measure: () => timed(() => spawnSync(process.execPath, ["-e", "0"])) },
  statTree: { name: "readdir + lstat", measure: (context) => timed(() => walk(context, () => {})) },
  hashTree: {
    name: "readdir + lstat + read + sha256",
    measure: (context) => timed(() => walk(context, (path) => void sha256(readFileSync(path)))),
  },
  // Both cores at once: half of what one takes.
  compressTree: {
    name: "read + sha256 + gzip -6 on two cores",
    measure: (context) => timed(() => compress(context)) / 2,
  },
  writeTree: { name: "read + write", measure: copyTree },
  containers: (count) => ({ name: `${count} × ${runtimeName()} run`, measure: () => runContainers(count) }),
};

function compress(context: string): void {
  walk(context, (path) => {
    const bytes = readFileSync(path);
    sha256(bytes);
    gzipSync(bytes);
  });
}

function timed(work: () => void): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

function walk(folder: string, onFile: (path: string) => void): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const stats = lstatSync(path);
    if (stats.isDirectory()) walk(path, onFile);
    else if (stats.isFile()) onFile(path);
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function copyTree(context: string): number {
  const folder = mkdtempSync(join(context, "..", "limit-"));
  let count = 0;
  const ms = timed(() => walk(context, (path) => writeFileSync(join(folder, `${count++}`), readFileSync(path))));
  rmSync(folder, { recursive: true });
  return ms;
}

function runtimeName(): string {
  return existsSync("/usr/bin/crun") ? "crun" : "runc";
}

/** Containers one after the other with the runtime's own example spec (no seccomp filter), on a directory that lies ready. */
function runContainers(count: number): number {
  const bundle = mkdtempSync(join(tmpdir(), "tsbuild-bench-bundle-"));
  try {
    const bin = join(bundle, "rootfs/bin");
    mkdirSync(bin, { recursive: true });
    copyFileSync("/bin/busybox", join(bin, "busybox"));
    symlinkSync("busybox", join(bin, "sh"));
    const runtime = runtimeName();
    spawnSync(runtime, ["spec"], { cwd: bundle });
    const config = join(bundle, "config.json");
    const spec = JSON.parse(readFileSync(config, "utf8")) as { process: Record<string, unknown> };
    const own = { terminal: false, args: ["sh", "-c", "echo 1 > /tmp-file"], rlimits: [], noNewPrivileges: false };
    const root = { path: "rootfs", readonly: false };
    writeFileSync(config, JSON.stringify({ ...spec, process: { ...spec.process, ...own }, root }));
    const loop = `i=0; while [ $i -lt ${count} ]; do ${runtime} --root ${bundle}/state run --bundle ${bundle} limit$i || exit 1; i=$((i+1)); done`;
    // crun does not start where v1 and v2 control groups are mounted both.
    const hide = isHybrid() ? "umount /sys/fs/cgroup/unified; " : "";
    let failure = "";
    const ms = timed(() => {
      const { status, stderr } = spawnSync("unshare", ["--mount", "sh", "-c", hide + loop], { encoding: "utf8" });
      if (status !== 0) failure = stderr;
    });
    if (failure !== "") throw new Error(`${runtime} does not run: ${failure}`);
    return ms;
  } finally {
    rmSync(bundle, { recursive: true, force: true });
  }
}

function isHybrid(): boolean {
  return existsSync("/sys/fs/cgroup/unified") && statfsSync("/sys/fs/cgroup").type !== 0x63677270;
}
