// A busybox root file system, a sandbox on it, and the look afterwards: a step may leave changed files and nothing else.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawnSync } from "node:child_process";
import { expect } from "vitest";
import {
  createSandbox,
  type Sandbox,
  type SandboxOptions,
  type StepRequest,
  type StepResult,
} from "../../../src/sandbox/sandbox.ts";
import { mountsBelow } from "../../../src/sandbox/reap.ts";

export const BUSYBOX = "/bin/busybox";

const PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:App:/home/app:/bin/sh\n";
const GROUP = "root:x:0:\nwheel:x:10:root\napp:x:1001:\nextra:x:2000:app,root\n";

export interface StepOutcome extends StepResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly upperDir: string;
  /** Everything in the upper directory but /dev, /proc and /sys, which this root file system lacks on purpose in one test only. */
  readonly changes: readonly string[];
}

export class Rig implements AsyncDisposable {
  readonly dir: string;
  readonly rootfs: string;
  readonly notices: string[] = [];
  readonly sandbox: Sandbox & AsyncDisposable;
  #count = 0;

  private constructor(dir: string, notices: string[], sandbox: Sandbox & AsyncDisposable) {
    this.dir = dir;
    this.rootfs = join(dir, "rootfs");
    this.notices = notices;
    this.sandbox = sandbox;
  }

  static async open(options: Partial<SandboxOptions> = {}): Promise<Rig> {
    const dir = mkdtempSync(join(tmpdir(), "tsbuild-sandbox-"));
    makeRootfs(join(dir, "rootfs"));
    const notices: string[] = [];
    const onNotice = (text: string): number => notices.push(text);
    try {
      const sandbox = await createSandbox({ stateDir: join(dir, "state"), isRootless: false, onNotice, ...options });
      return new Rig(dir, notices, sandbox);
    } catch (error) {
      rmSync(dir, { recursive: true });
      throw error;
    }
  }

  /** A new directory below the rig's. */
  directory(name: string): string {
    const path = join(this.dir, `${name}-${++this.#count}`);
    mkdirSync(path);
    return path;
  }

  request(command: string | readonly string[], overrides: Partial<StepRequest> = {}): StepRequest {
    return {
      id: `tsbuild-test-${process.pid}-${++this.#count}`,
      scratchDir: this.directory("scratch"),
      lowerDirs: [this.rootfs],
      upperDir: this.directory("upper"),
      args: typeof command === "string" ? ["/bin/sh", "-c", command] : command,
      env: [],
      cwd: "/",
      user: "",
      hostname: "buildkitsandbox",
      network: "none",
      security: "sandbox",
      mounts: [],
      pipes: [],
      ulimits: [],
      extraHosts: [],
      onOutput: () => undefined,
      ...overrides,
    };
  }

  async run(command: string | readonly string[], overrides: Partial<StepRequest> = {}): Promise<StepOutcome> {
    const texts = { stdout: "", stderr: "" };
    const request = this.request(command, {
      onOutput: (stream, chunk) => {
        texts[stream] += Buffer.from(chunk).toString("latin1");
      },
      ...overrides,
    });
    try {
      const result = await this.sandbox.run(request);
      const all = readdirSync(request.upperDir, { recursive: true }) as string[];
      return { ...result, ...texts, upperDir: request.upperDir, changes: all.sort() };
    } finally {
      this.expectNothingLeft(request);
    }
  }

  /** Output of a step that must succeed. */
  async output(command: string | readonly string[], overrides: Partial<StepRequest> = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(command, overrides);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    return stdout;
  }

  expectNothingLeft(request: StepRequest): void {
    expect(mountsBelow(request.scratchDir)).toEqual([]);
    expect(existsSync(request.scratchDir) ? readdirSync(request.scratchDir) : []).toEqual([]);
    expect(cgroupsNamed(request.id)).toEqual([]);
    expect(processesMentioning(request.id)).toEqual([]);
    expect(readdirSync(join(this.dir, "state", "runtime"))).not.toContain(request.id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox[Symbol.asyncDispose]();
    expect(mountsBelow(this.dir)).toEqual([]);
    expect(processesMentioning(this.dir)).toEqual([]);
    rmSync(this.dir, { recursive: true });
  }
}

export function makeRootfs(path: string): void {
  for (const folder of ["bin", "etc", "tmp", "root", "dev", "proc", "sys", "home/app"])
    mkdirSync(join(path, folder), { recursive: true });
  copyFileSync(BUSYBOX, join(path, "bin/busybox"));
  chmodSync(join(path, "bin/busybox"), 0o755);
  const { stdout } = spawnSync(BUSYBOX, ["--list"], { encoding: "utf8" });
  for (const name of stdout.split("\n").filter((name) => name !== "" && name !== "busybox"))
    symlinkSync("busybox", join(path, "bin", name));
  writeFileSync(join(path, "etc/passwd"), PASSWD);
  writeFileSync(join(path, "etc/group"), GROUP);
}

/** Cgroup directories of that name or below one of that name, in all hierarchies. */
export function cgroupsNamed(id: string): readonly string[] {
  const root = "/sys/fs/cgroup";
  const hierarchies = [
    root,
    ...readdirSync(root, { withFileTypes: true })
      .filter((e) => e.isDirectory())
      .map((e) => join(root, e.name)),
  ];
  return hierarchies.map((hierarchy) => join(hierarchy, id)).filter((path) => existsSync(path));
}

/** Command lines of living processes, other than this one, that contain `text`. */
export function processesMentioning(text: string): readonly string[] {
  return [...commandsMentioning(text).values()];
}

/** Process id → command line. */
export function commandsMentioning(text: string): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      if (line.includes(text)) found.set(Number(pid), line);
    } catch {
      // Gone meanwhile.
    }
  }
  return found;
}
