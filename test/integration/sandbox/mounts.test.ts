// RUN --mount at run time, heredoc scripts, the CA bundle, and the stubs of all of them: reference M10–M52, S60–S68, T21, pain 19.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openSshAgent } from "../../../src/sandbox/ssh-agent.ts";
import { processesMentioning, Rig } from "./rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await Rig.open();
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
});

const secret = (target: string, text: string, more: object = {}) => {
  return { kind: "secret" as const, target, data: Buffer.from(text), mode: 0o400, uid: 0, gid: 0, ...more };
};

test("M20 M23: a bind is shared and lasting, read-only where asked; files too", async () => {
  const cache = rig.directory("cache");
  writeFileSync(join(cache, "old"), "1");
  const mounts = [
    { kind: "bind" as const, target: "/cache", source: cache, readonly: false },
    { kind: "bind" as const, target: "/ro", source: cache, readonly: true },
    { kind: "bind" as const, target: "/etc/one-file", source: join(cache, "old"), readonly: true },
  ];
  const { stdout, changes } = await rig.run(
    "cat /cache/old /etc/one-file; echo 2 > /cache/new; touch /ro/x 2>/dev/null || echo ro",
    { mounts },
  );
  expect(stdout).toBe("11ro\n");
  expect(readdirSync(cache).sort()).toEqual(["new", "old"]);
  expect(changes).toEqual([]);
});

test("M10 M11 M12 S67: a stage is seen through its layers; links stay inside; writes are thrown away", async () => {
  const [below, above] = [rig.directory("stage"), rig.directory("stage")];
  mkdirSync(join(below, "data"));
  writeFileSync(join(below, "data/a"), "below");
  mkdirSync(join(above, "data"));
  writeFileSync(join(above, "data/b"), "above");
  symlinkSync("/../../data", join(above, "link"));
  symlinkSync("/etc/shadow", join(above, "escape"));
  const view = { kind: "overlay" as const, lowerDirs: [below, above], subpath: "/link", writable: false };
  const { stdout, changes } = await rig.run(
    "cat /mnt/a /mnt/b; touch /mnt/x 2>/dev/null || echo ro; echo new > /rw/a && cat /rw/a; cat /file",
    {
      mounts: [
        { ...view, target: "/mnt" },
        { ...view, target: "/rw", writable: true },
        { ...view, target: "/file", subpath: "data/b" },
      ],
    },
  );
  expect(stdout).toBe("belowabovero\nnew\nabove");
  expect(changes).toEqual([]);
  expect(readFileSync(join(below, "data/a"), "utf8")).toBe("below");
  await expect(rig.run("true", { mounts: [{ ...view, target: "/mnt", subpath: "/escape" }] })).rejects.toThrow(
    "open /escape: no such file or directory",
  );
  symlinkSync("circle", join(above, "circle"));
  for (const subpath of ["/data/b/below", "/circle"])
    await expect(rig.run("true", { mounts: [{ ...view, target: "/mnt", subpath }] })).rejects.toThrow(
      `unable to safely resolve subpath ${subpath}`,
    );
});

test("S68: mounts nest whatever their order, also below a read-only one; of one target the last wins", async () => {
  const [stage, cache] = [rig.directory("stage"), rig.directory("cache")];
  writeFileSync(join(stage, "source"), "s");
  const { stdout, changes } = await rig.run(
    "ls /src /src/node_modules; cat /src/key; touch /src/node_modules/dep; cat /twice",
    {
      mounts: [
        secret("/src/key", "k\n"),
        { kind: "bind", target: "/src/node_modules", source: cache, readonly: false },
        secret("/twice", "first"),
        { kind: "overlay", target: "/src", lowerDirs: [stage], subpath: "/", writable: false },
        secret("/twice", "last\n"),
      ],
    },
  );
  expect(stdout).toBe("/src:\nkey\nnode_modules\nsource\n\n/src/node_modules:\nk\nlast\n");
  expect(changes).toEqual([]);
  expect([readdirSync(stage), readdirSync(cache)]).toEqual([["source"], ["dep"]]);
});

test("S68: a secret lies above what else has its target, whatever their order", async () => {
  const [cache, tmpfs] = [rig.directory("cache"), { kind: "tmpfs" as const, target: "/two" }];
  const bind = { kind: "bind" as const, target: "/one", source: cache, readonly: true };
  const { stdout, changes } = await rig.run("cat /one /two", {
    mounts: [secret("/one", "first\n"), secret("/two", "over a tmpfs\n"), secret("/one", "last\n"), bind, tmpfs],
  });
  expect(stdout).toBe("last\nover a tmpfs\n");
  expect(changes).toEqual([]);
  expect(readdirSync(cache)).toEqual([]);
});

test("M30: tmpfs, with a size", async () => {
  const mounts = [{ kind: "tmpfs" as const, target: "/scratch", size: 1024 * 1024 }];
  const { stdout, changes } = await rig.run(
    "df -k /scratch | tail -1 | awk '{print $2}'; echo x > /scratch/x; dd if=/dev/zero of=/scratch/y bs=1M count=2 2>&1 | grep -c 'No space'",
    { mounts },
  );
  expect(stdout).toBe("1024\n1\n");
  expect(changes).toEqual([]);
});

test("M30: tmpfs has the mode of the directory that it covers, and 1777 where there was none", async () => {
  const { stdout } = await rig.run("stat -c '%a %u' /etc /t/mp", {
    mounts: [
      { kind: "tmpfs", target: "/etc" },
      { kind: "tmpfs", target: "/t/mp" },
    ],
  });
  expect(stdout).toBe("755 0\n1777 0\n");
});

test("M30: in another mount, tmpfs has the mode of the directory that is there, whatever the image has behind a link", async () => {
  const [lower, cache, stage] = [rig.directory("linked"), rig.directory("cache"), rig.directory("stage")];
  mkdirSync(join(lower, "usr/e/absent"), { recursive: true });
  symlinkSync("/usr/e", join(lower, "link"));
  for (const path of [join(cache, "there"), join(stage, "there")]) mkdirSync(path, { mode: 0o710 });
  const tmpfs = (target: string) => ({ kind: "tmpfs" as const, target });
  const { stdout, changes } = await rig.run("stat -c %a /usr/e/absent /usr/e/there /s/absent /s/there /link/named", {
    lowerDirs: [rig.rootfs, lower],
    mounts: [
      { kind: "bind", target: "/link", source: cache, readonly: false },
      ...["/usr/e/absent", "/usr/e/there", "/link/named"].map(tmpfs),
      { kind: "overlay", target: "/s", lowerDirs: [stage], subpath: "/", writable: false },
      ...["/s/absent", "/s/there"].map(tmpfs),
    ],
  });
  expect(stdout).toBe("1777\n710\n1777\n710\n1777\n");
  expect(changes).toEqual([]);
  const made = ["absent", "named"].map((name) => (lstatSync(join(cache, name)).mode & 0o7777).toString(8));
  expect(made).toEqual(["755", "755"]);
});

test("M02: what is mounted below a read-only mount that lacks its place is refused in words, and in BuildKit's", async () => {
  const outer = { kind: "bind" as const, target: "/cache", source: rig.directory("cache"), readonly: true };
  await expect(rig.run("true", { mounts: [outer, { kind: "tmpfs", target: "/cache/below" }] })).rejects.toMatchObject({
    summary: "cannot mount at /cache/below: it is not there in what this RUN mounts at /cache, which is read-only",
    help: "add rw to the mount at /cache",
    message: 'process "/bin/sh -c true" did not complete successfully: exit code: 1',
  });
});

test("M02: what is mounted below a file is refused in words, and in BuildKit's", async () => {
  const inner = { kind: "tmpfs" as const, target: "/file/below" };
  await expect(rig.run("true", { mounts: [secret("/file", "s"), inner] })).rejects.toMatchObject({
    summary: "cannot mount at /file/below: what this RUN mounts at /file is a file",
    help: "nothing can be below a file: name another target",
    message: 'process "/bin/sh -c true" did not complete successfully: exit code: 1',
  });
});

test("M44 S64: secrets have the owner and mode asked for, are on tmpfs, and leave nothing", async () => {
  const { stdout, changes } = await rig.run(
    `cat /run/secrets/a /home/app/b; stat -c '%a %u %g' /run/secrets/a /home/app/b /opt/tool; stat -f -c %T /run/secrets/a
     /opt/tool; grep /run/secrets/a /proc/mounts | grep -c 'ro,nosuid,nodev,noexec'`,
    {
      user: "app",
      mounts: [
        secret("/run/secrets/a", "A\n", { uid: 1000 }),
        secret("/home/app/b", "B\n", { mode: 0o444, gid: 7 }),
        secret("/opt/tool", "#!/bin/sh\necho ran\n", { mode: 0o555 }),
      ],
    },
  );
  expect(stdout).toBe("A\nB\n400 1000 0\n444 0 7\n555 0 0\ntmpfs\nran\n1\n");
  expect(changes).toEqual([]);
  const sized = (size: number) =>
    rig.run("wc -c < /s", { mounts: [{ ...secret("/s", ""), data: Buffer.alloc(size) }] });
  expect((await sized(500 * 1024)).stdout.trim()).toBe("512000");
  await expect(sized(500 * 1024 + 1)).rejects.toThrow("secret for /s is too big: 512001 bytes");
});

test("M50 M52: a key gets an agent, its socket has the owner asked for and answers inside", async () => {
  const key = join(rig.directory("key"), "id");
  execFileSync("/usr/bin/ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "the-key", "-f", key]);
  const lower = rig.directory("merged-usr");
  for (const name of ["lib", "lib64"]) symlinkSync(`usr/${name}`, join(lower, name));
  const usr = { kind: "bind" as const, target: "/usr", source: "/usr", readonly: true };
  const command = "stat -c '%F %a %u' $SSH_AUTH_SOCK; /usr/bin/ssh-add -l";
  {
    await using agent = await openSshAgent({ paths: [key], stateDir: rig.dir });
    const { stdout, changes } = await rig.run(command, {
      lowerDirs: [rig.rootfs, lower],
      user: "app",
      env: ["SSH_AUTH_SOCK=/run/agent.0"],
      mounts: [usr, { kind: "ssh", target: "/run/agent.0", socket: agent.socket, mode: 0o600, uid: 1000, gid: 0 }],
    });
    expect(stdout).toMatch(/^socket 600 1000\n256 SHA256:\S+ the-key \(ED25519\)\n$/);
    expect(changes).toEqual([]);
  }
  expect(processesMentioning(rig.dir).filter((line) => line.includes("ssh"))).toEqual([]);
});

test("keys that cannot be used are refused in words, and their agent does not stay", async () => {
  const folder = rig.directory("key");
  execFileSync("/usr/bin/ssh-keygen", ["-q", "-t", "ed25519", "-N", "secret", "-f", join(folder, "locked")]);
  writeFileSync(join(folder, "text"), "no key", { mode: 0o600 });
  for (const name of ["locked", "text"]) {
    await expect(openSshAgent({ paths: [join(folder, name)], stateDir: rig.dir })).rejects.toThrow(
      `cannot use the ssh key ${join(folder, name)}`,
    );
  }
  await expect(openSshAgent({ paths: [join(folder, "absent")], stateDir: rig.dir })).rejects.toThrow(
    "there is no ssh agent socket or key at",
  );
  await expect(
    openSshAgent({ paths: [join(folder, "text")], stateDir: rig.dir, searchPath: "/nowhere" }),
  ).rejects.toThrow("needs ssh-agent and ssh-add");
  expect(processesMentioning(rig.dir).filter((line) => line.includes("ssh"))).toEqual([]);
});

test("S60 T21: what is made for a mount is gone, parents too, and their times are as they were", async () => {
  const lower = rig.directory("old");
  mkdirSync(join(lower, "etc"));
  mkdirSync(join(lower, "opt/kept"), { recursive: true });
  for (const path of ["etc", "opt/kept", "opt", "."]) utimesSync(join(lower, path), 1000, 2000);
  const { changes, upperDir, stdout } = await rig.run("stat -c %Y /etc /opt/kept / ", {
    lowerDirs: [rig.rootfs, lower],
    mounts: [secret("/opt/kept/deep/er/key", "x"), { kind: "tmpfs", target: "/var/run/x" }, secret("/etc/token", "t")],
  });
  expect(stdout).toBe("2000\n2000\n2000\n");
  expect(changes).toEqual([]);
  expect(lstatSync(upperDir).mtimeMs).toBe(2_000_000);
});

test("S60: what a step put beside a stub stays, with its directory, and what it changed there", async () => {
  const { changes } = await rig.run("echo x > /opt/dir/own; chmod 700 /etc", {
    mounts: [secret("/opt/dir/key", "k"), secret("/etc/token", "t")],
  });
  expect(changes).toEqual(["etc", "opt", "opt/dir", "opt/dir/own"]);
});

test("S61: resolv.conf and hosts of the image are hidden, not changed", async () => {
  const lower = rig.directory("own-files");
  mkdirSync(join(lower, "etc"));
  writeFileSync(join(lower, "etc/hosts"), "1.2.3.4 mine\n");
  writeFileSync(join(lower, "etc/resolv.conf"), "nameserver 1.2.3.4\n");
  const { stdout, changes } = await rig.run("cat /etc/hosts /etc/resolv.conf; rm /etc/hosts 2>/dev/null || echo busy", {
    lowerDirs: [rig.rootfs, lower],
    extraHosts: [{ name: "db", address: "10.1.1.1" }],
    hostname: "named",
  });
  expect(stdout).toContain("127.0.0.1\tlocalhost named\n::1\tlocalhost ip6-localhost ip6-loopback\n10.1.1.1\tdb\n");
  expect(stdout).not.toContain("1.2.3.4");
  expect(stdout).toMatch(/busy\n$/);
  expect(changes).toEqual([]);
});

test("M02: a mount target that is a file where a directory is mounted is refused in words, and in BuildKit's", async () => {
  await expect(rig.run("true", { mounts: [{ kind: "tmpfs", target: "/etc/passwd" }] })).rejects.toMatchObject({
    summary: "cannot mount at /etc/passwd: it is a file in the image, and what is mounted is a directory",
    message: 'process "/bin/sh -c true" did not complete successfully: exit code: 1',
  });
});

test("S63: heredoc scripts run, from a directory that is nowhere afterwards", async () => {
  const pipes = [{ name: "EOF", content: "#!/bin/sh\necho script $1\n" }];
  const { stdout, changes } = await rig.run(["/dev/pipes/EOF", "arg"], { pipes, user: "app" });
  expect(stdout).toBe("script arg\n");
  expect(changes).toEqual([]);
});

test("pain 19: an extra CA is in a bundle with the image's, by variables that the step does not set itself; no trace", async () => {
  const lower = rig.directory("certs");
  mkdirSync(join(lower, "etc/ssl/certs"), { recursive: true });
  writeFileSync(join(lower, "etc/ssl/certs/ca-certificates.crt"), "SYSTEM\n");
  const caCert = join(rig.directory("ca"), "ca.pem");
  writeFileSync(caCert, "EXTRA\n");
  chmodSync(caCert, 0o600);
  const { stdout, changes } = await rig.run("cat $SSL_CERT_FILE $NODE_EXTRA_CA_CERTS; echo $PIP_CERT $GIT_SSL_CAINFO", {
    lowerDirs: [rig.rootfs, lower],
    caCert,
    env: ["PIP_CERT=mine"],
    user: "app",
  });
  expect(stdout).toBe("SYSTEM\nEXTRA\nSYSTEM\nEXTRA\nmine /dev/tsbuild-ca-bundle.pem\n");
  expect(changes).toEqual([]);
});
