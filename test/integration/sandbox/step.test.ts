// What a step's process sees and is: reference 6.1, O06, S10, S11, T25, T48, pain 28. Real containers, as root.
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createSandbox } from "../../../src/sandbox/sandbox.ts";
import { Rig } from "./rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await Rig.open();
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
});

const capabilities = (status: string): Record<string, string> => {
  const lines = [...status.matchAll(/^(Cap\w+|NoNewPrivs|Seccomp):\s+(\S+)$/gm)];
  return Object.fromEntries(lines.map(([, name = "", value = ""]): [string, string] => [name, value]));
};

test("S01 S02: root has fourteen capabilities, filters are on, setuid works", async () => {
  const none = "0000000000000000";
  const all = "00000000a80425fb";
  expect(capabilities(await rig.output("cat /proc/self/status"))).toEqual({
    CapInh: none,
    CapPrm: all,
    CapEff: all,
    CapBnd: all,
    CapAmb: none,
    NoNewPrivs: "0",
    Seccomp: "2",
  });
});

test("S01: a user other than root starts with an empty effective set", async () => {
  const sets = capabilities(await rig.output("cat /proc/self/status", { user: "app" }));
  expect([sets["CapEff"], sets["CapPrm"], sets["CapBnd"]]).toEqual([
    "0000000000000000",
    "0000000000000000",
    "00000000a80425fb",
  ]);
});

test("S02: a setuid program makes a user other than root into root", async () => {
  const lower = rig.directory("merged-usr");
  for (const name of ["lib", "lib64"]) symlinkSync(`usr/${name}`, join(lower, name));
  copyFileSync("/usr/bin/id", join(lower, "who"));
  chmodSync(join(lower, "who"), 0o4755);
  const usr = { kind: "bind" as const, target: "/usr", source: "/usr", readonly: true };
  const command = "/who -u; /who -ru";
  expect(await rig.output(command, { lowerDirs: [rig.rootfs, lower], user: "app", mounts: [usr] })).toBe("0\n1000\n");
});

test("S03: namespaces are the step's own, but for the users'", async () => {
  const kinds = ["ipc", "mnt", "net", "pid", "user", "uts"];
  const look = `for kind in ${kinds.join(" ")}; do readlink /proc/self/ns/$kind; done`;
  const seen = (await rig.output(look)).trimEnd().split("\n");
  expect(seen).toHaveLength(kinds.length);
  const shared = kinds.filter((kind, index) => seen[index] === readlinkSync(`/proc/self/ns/${kind}`));
  expect(shared).toEqual(["user"]);
});

test("S04 S05 S06: masked and read-only paths, file systems, no /run, no new devices", async () => {
  const text = await rig.output(
    `wc -c < /proc/keys; ls /sys/firmware | wc -l; touch /proc/sys/x 2>/dev/null || echo ro; mkdir /sys/fs/cgroup/pids/x 2>/dev/null || echo ro
     awk '{print $2, $3, $4}' /proc/mounts | sort; ls /dev`,
  );
  expect(text.split("\n").slice(0, 4)).toEqual(["0", "0", "ro", "ro"]);
  for (const mount of [
    "/proc proc ",
    "/dev tmpfs ",
    "/dev/pts devpts ",
    "/dev/shm tmpfs ",
    "/dev/mqueue mqueue ",
    "/sys sysfs ro",
  ])
    expect(text).toContain(`\n${mount}`);
  for (const name of ["resolv.conf", "hosts"])
    expect(text).toMatch(new RegExp(`\n/etc/${name} \\S+ ro,nosuid,nodev,noexec`));
  expect(text).toContain("\n/sys/fs/cgroup ");
  expect(text).not.toMatch(/\n\/run /);
  expect(text).not.toMatch(/\n(kmsg|fuse|loop0)\n/);
});

test("S06: /dev/shm is 64 MiB, or what the step asks for", async () => {
  const command = "df -k /dev/shm | tail -1 | awk '{print $2}'; stat -c %a /dev/shm";
  expect(await rig.output(command)).toBe("65536\n1777\n");
  expect(await rig.output(command, { shmSize: 2 ** 20 })).toBe("1024\n1777\n");
});

test("S07 S34: device nodes do not open, namespaces and mounts are refused", async () => {
  const { stdout } = await rig.run(
    "mknod /tmp/vda b 254 0 && dd if=/tmp/vda of=/dev/null count=1 2>&1 | tail -1; unshare -m true 2>&1; mount -t tmpfs x /tmp 2>&1; rm /tmp/vda",
  );
  const open =
    "for name in null zero full random urandom; do head -c 1 /dev/$name > /dev/null || echo $name; done; ls -d /dev/tty /dev/ptmx";
  expect(await rig.output(open)).toBe("/dev/ptmx\n/dev/tty\n");
  expect(stdout).toMatch(/vda.*Operation not permitted/);
  expect(stdout).toMatch(/unshare.*Operation not permitted/);
  expect(stdout).toMatch(/mount.*(denied|not permitted)/);
});

test("S08 T25 S09 R09, pain 28: file limit, umask, host name and standard input do not come from here", async () => {
  const old = process.umask(0o077);
  try {
    expect(await rig.output("ulimit -n; umask; hostname; cat; tty -s || echo no tty; echo $$")).toBe(
      "1024\n0022\nbuildkitsandbox\nno tty\n1\n",
    );
  } finally {
    process.umask(old);
  }
  expect(
    await rig.output("ulimit -n; ulimit -Hn; ulimit -c", {
      ulimits: [
        { name: "nofile", soft: 50, hard: 60 },
        { name: "core", soft: 0, hard: 0 },
      ],
    }),
  ).toBe("50\n60\n0\n");
});

test("S10 R08: the environment is the step's, the last of a name wins; HOME is the user's", async () => {
  const env = (text: string): string[] =>
    text
      .split("\n")
      .filter((line) => !/^(PWD|SHLVL|)(=|$)/.test(line))
      .sort();
  const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  expect(env(await rig.output(["/bin/env"], { env: ["A=1", "B=x y", "A=2"], user: "app" }))).toEqual([
    "A=2",
    "B=x y",
    "HOME=/home/app",
    path,
  ]);
  expect(env(await rig.output(["/bin/env"], { env: ["PATH=/bin", "HOME=/x"] }))).toEqual(["HOME=/x", "PATH=/bin"]);
  expect(env(await rig.output(["/bin/env"], { env: ["PATH=/bin"] }))).toEqual(["HOME=/root", "PATH=/bin"]);
});

test("O06: users by name and number, with the groups that moby gives them", async () => {
  const ids = async (user: string): Promise<string> =>
    (await rig.output("id -u; id -g; grep Groups /proc/self/status", { user })).replace(/\s+/g, " ").trim();
  expect(await ids("")).toBe("0 0 Groups: 0 10 2000");
  expect(await ids("app")).toBe("1000 1001 Groups: 1001 2000");
  expect(await ids("1000")).toBe("1000 1001 Groups: 1001 2000");
  expect(await ids("4242")).toBe("4242 0 Groups: 0");
  expect(await ids("app:wheel")).toBe("1000 10 Groups: 10");
  expect(await ids("7:8")).toBe("7 8 Groups: 8");
  await expect(rig.run("true", { user: "nosuch" })).rejects.toThrow(
    'process "/bin/sh -c true" did not complete successfully: unable to find user nosuch: no matching entries in passwd file',
  );
  await expect(rig.run("true", { user: "app:nosuch" })).rejects.toThrow(
    "unable to find group nosuch: no matching entries in group file",
  );
});

test("S11 S65: a missing working directory is made, owned by the user and his group, and kept; one that is there is as it was", async () => {
  const old = process.umask(0o077);
  try {
    const { stdout, changes } = await rig.run("pwd; stat -c '%u %g %a' /srv /srv/a", { cwd: "/srv/a", user: "app" });
    expect(stdout).toBe("/srv/a\n1000 1001 755\n1000 1001 755\n");
    expect(changes).toEqual(["srv", "srv/a"]);
  } finally {
    process.umask(old);
  }
  const lower = rig.directory("home");
  mkdirSync(join(lower, "work"));
  chmodSync(join(lower, "work"), 0o2711);
  const there = await rig.run("stat -c '%u %g %a' .", { lowerDirs: [rig.rootfs, lower], cwd: "/work", user: "app" });
  expect([there.stdout, there.changes]).toEqual(["0 0 2711\n", []]);
  await expect(rig.run("true", { cwd: "/etc/passwd/x" })).rejects.toThrow(
    "cannot make the working directory /etc/passwd/x",
  );
});

test("S11, R03: a base image's working directory that is a file fails with BuildKit's exit code and the cause", async () => {
  await expect(rig.run("true", { cwd: "/etc/passwd" })).rejects.toMatchObject({
    code: "command",
    message: 'process "/bin/sh -c true" did not complete successfully: exit code: 1',
    summary: "the working directory /etc/passwd is not a directory",
  });
});

test("R02 R03: exit codes, signals, and commands that are not there", async () => {
  expect(await rig.run("echo out; echo err >&2; exit 42")).toMatchObject({
    exitCode: 42,
    stdout: "out\n",
    stderr: "err\n",
    oomKilled: false,
  });
  expect(await rig.run("sh -c 'kill -9 $$'; exit $?")).toMatchObject({
    exitCode: 137,
    signal: "SIGKILL",
    oomKilled: false,
  });
  const absent = await rig.run(["no-such-command", "x"]);
  expect(absent.exitCode).toBe(1);
  expect(absent.stderr).toMatch(/no-such-command.*not found/);
  writeFileSync(join(rig.rootfs, "bin/not-a-program"), "\x7fELF nonsense");
  chmodSync(join(rig.rootfs, "bin/not-a-program"), 0o755);
  const broken = await rig.run(["/bin/not-a-program"]);
  expect(broken.exitCode).toBe(1);
  expect(broken.stderr).toMatch(/exec format error/i);
});

test("/dev/stdout and /dev/stderr can be opened, also by a user other than root", async () => {
  expect(await rig.run("echo a > /dev/stdout; echo b > /dev/stderr", { user: "app" })).toMatchObject({
    exitCode: 0,
    stdout: "a\n",
    stderr: "b\n",
  });
});

test("50 MB of output arrive byte by byte, as fast as they are taken", async () => {
  const size = 50_000_000;
  const hash = createHash("sha256");
  let length = 0;
  const command = `yes 0123456789abcdef | head -c ${size}; sleep 0`;
  const onOutput = async (_stream: string, chunk: Uint8Array): Promise<void> => {
    if (length % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
    length += chunk.length;
    hash.update(chunk);
  };
  expect(await rig.run(command, { onOutput })).toMatchObject({ exitCode: 0 });
  const line = Buffer.from("0123456789abcdef\n");
  const expected = Buffer.alloc(size, line);
  expect(length).toBe(size);
  expect(hash.digest("hex")).toBe(createHash("sha256").update(expected).digest("hex"));
});

test("a consumer of output that fails ends the step and is the error", async () => {
  const onOutput = (): never => {
    throw new Error("disk full");
  };
  await expect(rig.run("echo x; sleep 1000", { onOutput })).rejects.toThrow("disk full");
});

test("T48: background processes end with the step, and do not hold it up", async () => {
  const started = performance.now();
  expect(await rig.run("sleep 1000 & (trap '' TERM HUP; sleep 1000) & echo done")).toMatchObject({
    exitCode: 0,
    stdout: "done\n",
  });
  expect(performance.now() - started).toBeLessThan(10_000);
});

describe("what is left in the upper directory", () => {
  test("T20: a step that changes nothing changes nothing", async () => {
    const before = lstatSync(rig.rootfs, { bigint: true });
    const { changes, upperDir } = await rig.run("cat /etc/passwd /etc/resolv.conf /etc/hosts > /dev/null");
    expect(changes).toEqual([]);
    const after = lstatSync(upperDir, { bigint: true });
    expect([after.mode, after.uid, after.mtimeNs]).toEqual([before.mode, before.uid, before.mtimeNs]);
  });

  test("T14 T22: writes, deletions, /run and /var/run are kept; opaque directories and renames are plain", async () => {
    const lower = rig.directory("layer");
    mkdirSync(join(lower, "d/sub"), { recursive: true });
    writeFileSync(join(lower, "d/sub/f"), "1");
    writeFileSync(join(lower, "gone"), "");
    const { changes, upperDir } = await rig.run(
      "rm /gone; mv /d /e; mkdir -p /run /var/run; echo x > /run/y; echo z > /var/run/z; chmod 600 /etc/group",
      {
        lowerDirs: [rig.rootfs, lower],
      },
    );
    expect(changes).toEqual(
      ["d", "e", "e/sub", "e/sub/f", "etc", "etc/group", "gone", "run", "run/y", "var", "var/run", "var/run/z"].sort(),
    );
    expect(lstatSync(join(upperDir, "gone")).isCharacterDevice()).toBe(true);
    // Copied whole, not as a note of where it came from.
    expect(readFileSync(join(upperDir, "e/sub/f"), "utf8")).toBe("1");
    expect(readFileSync(join(upperDir, "etc/group"), "utf8")).toContain("wheel");
  });

  test("S62: /dev, /proc and /sys stay where the image has none", async () => {
    const lower = rig.directory("bare");
    mkdirSync(join(lower, "bin"));
    writeFileSync(join(lower, "bin/sh"), readFileSync(join(rig.rootfs, "bin/busybox")), { mode: 0o755 });
    const { changes, upperDir } = await rig.run("true", { lowerDirs: [lower] });
    expect(changes).toEqual(["dev", "proc", "sys"]);
    expect(changes.map((name) => lstatSync(join(upperDir, name)).mode & 0o7777)).toEqual([0o755, 0o755, 0o755]);
  });

  test("the root directory keeps the owner and mode of the root below it", async () => {
    const lower = rig.directory("odd-root");
    chmodSync(lower, 0o1751);
    chownSync(lower, 3, 4);
    expect(await rig.output("stat -c '%a %u %g' /", { lowerDirs: [rig.rootfs, lower] })).toBe("1751 3 4\n");
  });
});

test.each([1, 2, 161, 640])("T23: %i layers", async (count) => {
  const lowerDirs = Array.from({ length: count }, (_none, index) => {
    const layer = rig.directory("a-layer-with,commas:colons-and-a-name-of-some-length");
    mkdirSync(join(layer, "seen"));
    writeFileSync(join(layer, "seen", `${index}`), "");
    writeFileSync(join(layer, "top"), `${index}`);
    return layer;
  });
  expect(await rig.output("ls /seen | wc -l; cat /top", { lowerDirs: [rig.rootfs, ...lowerDirs] })).toBe(
    `${count}\n${count - 1}`,
  );
});

test("no layers at all: the upper directory is the whole root file system", async () => {
  const { exitCode, stderr } = await rig.run(["/x"], { lowerDirs: [] });
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(/\/x/);
});

test("insecure: all capabilities of this process, writable /sys, devices, no filter", async () => {
  const text = await rig.output(
    "grep -E 'CapEff|Seccomp:' /proc/self/status; ls /dev; awk '$2 == \"/sys\" {print $4}' /proc/mounts; mount -t tmpfs x /tmp && echo mounted",
    {
      security: "insecure",
    },
  );
  const own = /^CapBnd:\s+(\S+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  expect(text).toContain(`CapEff:\t${own}`);
  expect(text).toContain("Seccomp:\t0");
  expect(text).toMatch(/\nfuse\n/);
  expect(text).toMatch(/\nloop0\n/);
  expect(text).toMatch(/\nrw,\S*\n/);
  expect(text).toMatch(/mounted\n$/);
});

test("symbolic links in the image cannot lead the preparation out of it", async () => {
  const lower = rig.directory("links");
  symlinkSync(join(rig.dir, "outside"), join(lower, "work"));
  mkdirSync(join(lower, "etc"));
  symlinkSync("/../../../../escape/hosts", join(lower, "etc/hosts"));
  const { stdout, changes } = await rig.run("cat /etc/hosts; pwd", { lowerDirs: [rig.rootfs, lower], cwd: "/work" });
  expect(stdout).toContain("127.0.0.1\tlocalhost buildkitsandbox");
  expect(readdirSync(rig.dir)).not.toContain("outside");
  expect(changes.some((path) => path.endsWith("outside"))).toBe(true);
  expect(changes.some((path) => path.startsWith("escape"))).toBe(false);
});

test.runIf(existsSync("/usr/bin/crun"))(
  "S30: crun's compiled filter is kept, is the same filter, and a damaged one is not believed",
  async () => {
    await using fresh = await Rig.open({ runtime: "crun" });
    const state = join(fresh.dir, "state");
    const kept = (): readonly string[] => readdirSync(state).filter((name) => name.endsWith(".bpf"));
    const probe = "grep -E '^Seccomp' /proc/self/status; unshare -m true 2>&1; mount -t tmpfs x /tmp 2>&1; exit 0";
    const compiled = await fresh.output(probe);
    expect(compiled).toMatch(/Seccomp:\t2[^]*unshare.*not permitted/);
    const [name = ""] = kept();
    expect(name).toMatch(/^seccomp-[0-9a-f]{32}\.bpf$/);
    expect(await fresh.output(probe)).toBe(compiled);
    writeFileSync(join(state, name), readFileSync(join(state, name)).subarray(0, 80));
    const sandbox = await createSandbox({
      stateDir: state,
      isRootless: false,
      runtime: "crun",
      onNotice: () => undefined,
    });
    expect((await sandbox.run(fresh.request(probe))).exitCode).toBe(0);
    await sandbox[Symbol.asyncDispose]();
    expect(readFileSync(join(state, name)).length).toBeGreaterThan(1000);
    // A profile for other capabilities is another filter: an insecure step has none at all.
    expect(await fresh.output("grep Seccomp: /proc/self/status", { security: "insecure" })).toBe("Seccomp:\t0\n");
  },
);
