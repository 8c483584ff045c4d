// Contexts to build: generators of files, all from random bytes, so that no builder has seen them before.
import { randomBytes } from "node:crypto";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

export function writeDockerfile(context: string, lines: readonly string[]): void {
  writeFileSync(join(context, "Dockerfile"), `${lines.join("\n")}\n`);
}

/** `count` files of 400 bytes, 100 in each of the directories `d0`, `d1`, … */
export function writeFiles(root: string, count: number): void {
  for (const d of numbers(Math.ceil(count / 100))) {
    const folder = join(root, `d${d}`);
    mkdirSync(folder, { recursive: true });
    const bytes = randomBytes(40_000);
    for (const f of numbers(Math.min(100, count - d * 100)))
      writeFileSync(join(folder, `f${f}`), bytes.subarray(f * 400, (f + 1) * 400));
  }
}

/** `size` bytes in files of 1 MiB: half of them random, half text that compresses to a quarter or so. */
export function writeMixed(root: string, size: number): void {
  mkdirSync(root, { recursive: true });
  for (const i of numbers(Math.ceil(size / MIB))) writeFileSync(join(root, `m${i}`), i % 2 ? randomBytes(MIB) : text());
}

const MIB = 1024 * 1024;

/** Words of a small vocabulary, as source code has them. */
function text(): string {
  const words = numbers(256).map(() => randomBytes(5).toString("hex").slice(0, 9));
  const picks = randomBytes(MIB / 8);
  return Array.from(picks, (pick) => words[pick])
    .join(" ")
    .slice(0, MIB);
}

/** `node_modules.tar.gz`: packages of ten files each, as a package manager would unpack them. */
export function writePackages(context: string, files: number): void {
  const root = join(context, "..", "packages");
  for (const p of numbers(files / 10)) {
    const folder = join(root, "node_modules", `package-${p}`, "lib");
    mkdirSync(folder, { recursive: true });
    const bytes = randomBytes(20_000).toString("base64");
    for (const f of numbers(10)) writeFileSync(join(folder, `m${f}.js`), bytes.slice(f * 2000, (f + 1) * 2000));
  }
  const archive = join(context, "node_modules.tar.gz");
  const { status, stderr } = spawnSync("tar", ["-C", root, "--owner=0", "--group=0", "-czf", archive, "node_modules"], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`tar failed: ${stderr}`);
}

/** The base image's context, from the machine's busybox: no RUN, so that every builder makes the same. */
export function writeBase(context: string): void {
  const bin = join(context, "rootfs", "bin");
  mkdirSync(bin, { recursive: true });
  mkdirSync(join(context, "rootfs", "etc"));
  mkdirSync(join(context, "rootfs", "tmp"), { mode: 0o777 });
  copyFileSync("/bin/busybox", join(bin, "busybox"));
  const { stdout } = spawnSync("/bin/busybox", ["--list"], { encoding: "utf8" });
  for (const name of stdout.split("\n").filter((name) => name !== "" && name !== "busybox"))
    symlinkSync("busybox", join(bin, name));
  writeFileSync(join(context, "rootfs/etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  writeFileSync(join(context, "rootfs/etc/group"), "root:x:0:\n");
  writeDockerfile(context, ["FROM scratch", "COPY rootfs /", "ENV PATH=/bin", 'CMD ["sh"]']);
}
