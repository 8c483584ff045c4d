// Other people's tools, as judges of our images: skopeo, umoci with runc or crun, podman. Each in directories of its own, none talks to a daemon.
import { spawn } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

export interface ToolResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ToolOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Runs a tool to its end. */
export function runTool(name: string, args: readonly string[], options: ToolOptions = {}): Promise<ToolResult> {
  const { promise, resolve, reject } = Promise.withResolvers<ToolResult>();
  const child = spawn(name, args, {
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  child.on("error", reject);
  child.on("close", (code) => {
    resolve({ code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() });
  });
  return promise;
}

/** As {@link runTool}, for a verdict that has to be good: throws unless the tool exits with 0; gives its standard output. */
export async function accepted(name: string, args: readonly string[], options?: ToolOptions): Promise<string> {
  const { code, stdout, stderr } = await runTool(name, args, options);
  if (code !== 0) throw new Error(`${name} ${args.join(" ")} exited with ${String(code)}\n${stderr}`);
  return stdout;
}

/** As {@link runTool}, for a verdict that has to be bad: throws where the tool is content; gives what it said. */
export async function rejected(name: string, args: readonly string[], options?: ToolOptions): Promise<string> {
  const { code, stdout, stderr } = await runTool(name, args, options);
  if (code === 0) throw new Error(`${name} ${args.join(" ")} did not object\n${stdout}`);
  return stderr;
}

interface RuntimeBundle {
  process: { terminal: boolean; args: string[] };
}

/** Unpacks `layout:tag` with umoci into `bundle` and runs it with `runtime`; gives what it printed. `args` replace the image's command. */
export async function runUnpacked(
  layout: string,
  tag: string,
  bundle: string,
  { runtime = "runc", args = [] }: { runtime?: "runc" | "crun"; args?: readonly string[] } = {},
): Promise<string> {
  await accepted("umoci", ["unpack", "--image", `${layout}:${tag}`, bundle]);
  const config = join(bundle, "config.json");
  const spec = JSON.parse(readFileSync(config, "utf8")) as RuntimeBundle;
  spec.process.terminal = false;
  if (args.length > 0) spec.process.args = [...args];
  writeFileSync(config, JSON.stringify(spec));
  const id = `tsbuild-judge-${String(process.pid)}-${runtime}`;
  // crun refuses hybrid cgroups unless it does not see the unified hierarchy.
  const hideUnified = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"';
  return accepted("unshare", ["-m", "sh", "-c", hideUnified, "sh", runtime, "run", "--bundle", bundle, id]);
}

/** podman with a storage of its own below `root`. */
export class Podman implements AsyncDisposable {
  readonly #root: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #mounted = new Set<string>();

  constructor(root: string) {
    this.#root = join(root, "podman");
    mkdirSync(this.#root, { recursive: true });
    const storage = `[storage]\ndriver = "overlay"\ngraphroot = "${this.#root}/g"\nrunroot = "${this.#root}/r"\n`;
    writeFileSync(join(this.#root, "storage.conf"), storage);
    // Neither the machine's settings nor its systemd have a say.
    writeFileSync(
      join(this.#root, "containers.conf"),
      `[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\nruntime = "runc"\ntmp_dir = "${this.#root}/t"\n`,
    );
    writeFileSync(join(this.#root, "policy.json"), '{"default":[{"type":"insecureAcceptAnything"}]}');
    this.#env = {
      CONTAINERS_STORAGE_CONF: join(this.#root, "storage.conf"),
      CONTAINERS_CONF: join(this.#root, "containers.conf"),
    };
  }

  accepted(...args: readonly string[]): Promise<string> {
    return accepted("podman", args, { env: this.#env });
  }

  rejected(...args: readonly string[]): Promise<string> {
    return rejected("podman", args, { env: this.#env });
  }

  load(archive: string): Promise<string> {
    return this.accepted("load", "-q", "-i", archive);
  }

  /** Pulls over plain http. */
  async pull(reference: string): Promise<void> {
    await this.accepted("pull", "-q", "--tls-verify=false", reference);
  }

  /** Runs the image; limits that need no privilege, no network. */
  run(image: string, ...args: readonly string[]): Promise<string> {
    const limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"];
    return this.accepted("run", "--rm", ...limits, "--network=none", "--pull=never", image, ...args);
  }

  /** Mounts the image read-only and gives the place, until this is disposed of. */
  async mount(image: string): Promise<string> {
    const path = (await this.accepted("image", "mount", image)).trim();
    this.#mounted.add(image);
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const image of this.#mounted) await this.accepted("image", "umount", image);
    // The storage's directory is mounted on itself while podman has worked there.
    await runTool("umount", ["-l", join(this.#root, "g/overlay")]);
    rmSync(this.#root, { recursive: true, force: true });
  }
}
