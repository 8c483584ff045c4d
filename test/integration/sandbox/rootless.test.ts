// A whole build by a user other than root, in a mount namespace that has such a user and his subordinate ids, whatever the machine has. Reference 6.5.
import { chmodSync, chownSync, copyFileSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runProcess, type ProcessResult } from "../../../src/base/process.ts";
import { openRig, type Rig } from "../../support/rig.ts";
import { makeTools } from "../../support/tools.ts";
import { processesMentioning } from "./rig.ts";

const PROJECT = resolve(import.meta.dirname, "../../..");
const UID = 4321;

/** What a user may make of all that a layer can hold: everything but device nodes and ids past the 65,536 that are mapped. */
const LOWER = `set -e
mkdir -p gone/deep opaque owners special xattr; echo 1 > gone/deep/file; echo 1 > opaque/old; echo 1 > f2d; ln -s opaque l2f
for id in 1 1000 65534; do echo $id > owners/$id; chown $id:$id owners/$id; ln -s x owners/l$id; chown -h 0:$id owners/l$id; done
echo suid > special/suid; chown 7:8 special/suid; chmod 6755 special/suid; mkdir -m 1777 special/sticky; mkdir -m 2775 special/sgid
echo none > special/none; chmod 0 special/none; mkfifo -m 0620 special/fifo; ln special/suid special/linked
echo x > xattr/file; $T/setfattr -n user.text -v value xattr/file; cp /bin/busybox xattr/cap; $T/setcap cap_net_raw+ep xattr/cap
`;
const UPPER = `set -e
rm -rf gone opaque f2d l2f; mkdir opaque f2d; echo 2 > opaque/new; echo 2 > l2f; chmod 0600 owners/1; chown 9:9 special/none
echo kept > /cache/file
`;
const DOCKERFILE = `FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/bin
FROM base AS made
RUN --mount=from=tools,target=/tools --mount=source=lower.sh,target=/lower.sh mkdir /t && cd /t && T=/tools sh /lower.sh
RUN --mount=type=cache,target=/cache --mount=source=upper.sh,target=/upper.sh cd /t && sh /upper.sh
COPY --chown=33:44 --chmod=640 upper.sh /copied/
FROM base
COPY --from=made / /
USER 700:701
RUN test "$(id -u):$(id -g)" = 700:701 && test ! -w /t/owners
USER 0
`;

/** What a step writes down of where it is; never from the cache. */
const LOOK = `RUN --network=none { id -u; cat /proc/self/uid_map; ls -A /sys | wc -l; ls /sys/fs 2>/dev/null; ip -o link | wc -l; } > /look
RUN grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status > /rights; test -d /proc/1/root && ls -d /proc/[0-9]* | wc -l > /processes
RUN { readlink /proc/self/ns/net; ip -o link | grep -vc lo:; ip route | grep -c default; } > /net
RUN --mount=type=secret,id=s,mode=0440,uid=3,gid=4 --mount=type=tmpfs,target=/scratch,size=1m \\
  { stat -f -c %T /run/secrets/s; stat -c '%a %u %g' /run/secrets/s; df -k /scratch | awk 'END {print $2}'; } > /mounts
`;

let rig: Rig;
let tools: string;
beforeAll(async () => {
  rig = await openRig();
  chmodSync(rig.root, 0o711);
  tools = await makeTools(rig.root, ["setcap", "setfattr"]);
  for (const name of ["home", "project", "etc"]) mkdirSync(join(rig.root, name));
  chownSync(join(rig.root, "home"), UID, UID);
  const files = {
    passwd: `root:x:0:0::/root:/bin/sh\nsomebody:x:${String(UID)}:${String(UID)}::/:/bin/sh\n`,
    group: `root:x:0:\nsomebody:x:${String(UID)}:\n`,
    subuid: "somebody:200000:65536\n",
    subgid: "somebody:200000:65536\n",
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(rig.root, "etc", name), text);
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
});

/** How tsbuild is run as that user; `before` is done by root in his mount namespace, `variables` are of his environment. */
function commandAsUser(
  args: readonly string[],
  before = "true",
  variables: readonly string[] = [],
): readonly [program: string, ...args: string[]] {
  const { root } = rig;
  const script = `for name in passwd group subuid subgid; do mount --bind ${root}/etc/$name /etc/$name; done
    mount --rbind ${PROJECT} ${root}/project; ${before}; cd /
    exec setpriv $PRIVILEGES --reuid ${String(UID)} --regid ${String(UID)} --clear-groups -- "$@" 2>&1`;
  const home = [`HOME=${root}/home`, "USER=somebody", `TSBUILD_ROOT=${root}/home/s`];
  const env = ["env", "-i", "PATH=/usr/bin:/bin", ...home, ...variables];
  const command = args[0] === "doctor" ? args : ["--build-context", `tools=${tools}`, ...args];
  const isolated = ["--mount", "--propagation", "private", "sh", "-ec", script, "sh"];
  return ["unshare", ...isolated, ...env, `${root}/project/src/bin/tsbuild`, ...command];
}

function asUser(...how: Parameters<typeof commandAsUser>): Promise<ProcessResult> {
  const [program, ...args] = commandAsUser(...how);
  return runProcess(program, args);
}

async function waitFor(output: AsyncIterable<Buffer>, pattern: RegExp): Promise<void> {
  let text = "";
  for await (const chunk of output) if (pattern.test((text += chunk.toString()))) return;
  throw new Error(`never said: ${text}`);
}

function context(more = ""): string {
  const made = rig.context({ Dockerfile: DOCKERFILE + more, "lower.sh": LOWER, "upper.sh": UPPER });
  copyFileSync("/bin/busybox", join(made, "busybox"));
  chmodSync(made, 0o755);
  return made;
}

const readOut = (name: string): string => readFileSync(join(rig.root, "home", name), "utf8");

test("S55, S64, S70, S71: the user is root of a namespace with his subordinate ids; no /sys, no cgroup, the same rights, networks and mounts", async () => {
  const secret = ["--secret", `id=s,src=${join(rig.root, "etc/passwd")}`];
  // As machines have it: everybody may open it.
  const tun = "mount -t tmpfs none /dev/net; mknod -m 666 /dev/net/tun c 10 200";
  const args = [...secret, "-o", join(rig.root, "home/out"), context(LOOK)];
  expect(await asUser(args, tun)).toMatchObject({ exitCode: 0 });
  const [uid, own, others, ...rest] = readOut("out/look").trimEnd().split("\n");
  expect(uid).toBe("0");
  expect(own!.trim().split(/\s+/)).toEqual(["0", String(UID), "1"]);
  expect(others!.trim().split(/\s+/).slice(0, 2)).toEqual(["1", "200000"]);
  // Nothing in /sys, and of the network loopback alone.
  expect(rest).toEqual(["0", "1"]);
  expect(readOut("out/rights")).toBe("CapEff:\t00000000a80425fb\nNoNewPrivs:\t0\nSeccomp:\t2\n");
  expect(Number(readOut("out/processes"))).toBeLessThan(6);
  const [namespace, ...links] = readOut("out/net").trimEnd().split("\n");
  expect(namespace).not.toBe(readlinkSync("/proc/self/ns/net"));
  expect(links).toEqual(["1", "1"]);
  expect(readOut("out/mounts")).toBe("tmpfs\n440 3 4\n1024\n");
});

test("S70: runc takes steps, too", async () => {
  expect(await asUser(["--no-cache", "--runtime", "runc", context()])).toMatchObject({ exitCode: 0 });
});

test("S12, S70: without root there is no cgroup, so limits are refused at the step", async () => {
  const { exitCode, stdout } = await asUser(["--no-cache", "--memory", "64m", context()]);
  expect([exitCode, stdout]).toEqual([
    1,
    expect.stringMatching(/Dockerfile:3:\d+: error: limits of RUN need a cgroup of its own/) as string,
  ]);
  expect(stdout).toContain("build as root where /sys/fs/cgroup is writable, or leave the limits out");
});

test.each([
  [
    "a kernel older than 5.11",
    "/proc/sys/kernel/osrelease",
    "5.10.0-9",
    "building without root needs Linux 5.11 or newer, and this is 5.10.0-9\n  help: build as root, or use a newer kernel",
  ],
  [
    "no user namespaces",
    "/proc/sys/user/max_user_namespaces",
    "0",
    "user namespaces are switched off (/proc/sys/user/max_user_namespaces is 0)\n  help: sysctl -w user.max_user_namespaces=15000",
  ],
])("S70, S71: %s: it is said before anything is tried", async (_what, path, text, says) => {
  const file = join(rig.root, "etc/says");
  writeFileSync(file, `${text}\n`);
  const { exitCode, stdout } = await asUser([context()], `mount --bind ${file} ${path}`);
  expect([exitCode, stdout]).toEqual([1, `error: ${says}\n`]);
});

test("S70, S71: the image is the one that root builds, owners, mode bits, capabilities, links and deletions included", async () => {
  const from = context();
  const digestIn = (file: string): string =>
    (JSON.parse(readFileSync(file, "utf8")) as Record<string, string>)["containerimage.digest"]!;
  const dated = ["--build-arg", "SOURCE_DATE_EPOCH=1600000000", "-o", "type=image,rewrite-timestamp=true"];
  expect(await asUser([...dated, "--metadata-file", join(rig.root, "home/meta.json"), from])).toMatchObject({
    exitCode: 0,
  });
  await rig.must([
    "-q",
    "--build-context",
    `tools=${tools}`,
    ...dated,
    "--metadata-file",
    join(rig.root, "meta.json"),
    from,
  ]);
  expect(digestIn(join(rig.root, "home/meta.json"))).toBe(digestIn(join(rig.root, "meta.json")));
});

test("S70: without subordinate ids it is said what to do", async () => {
  const { exitCode, stdout } = await asUser([context()], "mount --bind /dev/null /etc/subuid");
  expect([exitCode, stdout]).toEqual([
    1,
    "error: somebody has no subordinate ids in /etc/subuid, and building without root needs 65536\n  help: usermod --add-subuids 100000-165535 somebody\n",
  ]);
});

/** What container engines do: a user namespace gets no /proc of its own there. */
const HIDDEN = `awk '$3 == "proc" && $2 != "/proc" {print $2}' /proc/mounts | sort -r | xargs -r umount -l; mount --bind /dev/null /proc/version`;

const SHARED = ["TSBUILD_NO_PROCESS_SANDBOX=1"];

test("S72: where parts of /proc are hidden no step runs, and it is said how to show them; the doctor says so too", async () => {
  const { exitCode, stdout } = await asUser(["--no-cache", context()], HIDDEN);
  expect(exitCode).not.toBe(0);
  expect(stdout).toMatch(/could not run the container: .*proc.*not permitted/i);
  expect(stdout).toContain("--security-opt systempaths=unconfined");
  expect(stdout).toContain("--no-process-sandbox");
  expect((await asUser(["doctor"], HIDDEN)).stdout).toMatch(/^NO {2}OCI runtime: .*\n.*systempaths=unconfined/m);
});

describe("S72: without a process namespace of its own", () => {
  test("a step runs on the /proc around it, cannot look into tsbuild, and what it leaves in the background ends with it", async () => {
    const steps = `RUN test "$(readlink /proc/self/ns/pid)" = "${readlinkSync("/proc/self/ns/pid")}" && test ! -s /proc/version
RUN ! cat /proc/$PPID/environ && ! readlink /proc/$PPID/root
RUN mkdir /jail && cp /bin/busybox /jail && { setsid sleep 4741 & chroot /jail /busybox sleep 4741 & setsid sh -c 'sleep 4741 & sleep 4741' & }
`;
    const { exitCode, stdout } = await asUser(["--no-cache", "--no-process-sandbox", context(steps)], HIDDEN);
    expect({ exitCode, stdout }).toMatchObject({ exitCode: 0 });
    expect(processesMentioning("sleep 4741")).toEqual([]);
    expect((await asUser(["doctor"], HIDDEN, SHARED)).stdout).toMatch(/^ok {2}OCI runtime: /m);
  });

  test.each(["crun", "runc"])("%s: it ends with a failed step and with a cancelled one", async (runtime) => {
    const steps = `FROM base AS fails
RUN sleep 4742 & until cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -q 'sleep 474[4]'; do sleep 0.05; done; exit 3
FROM base
RUN sleep 4744 & sleep 4744
COPY --from=fails / /fails
`;
    const { stdout } = await asUser(["--no-cache", "--runtime", runtime, context(steps)], HIDDEN, SHARED);
    expect(stdout).toContain("exit code: 3");
    expect([processesMentioning("sleep 4742"), processesMentioning("sleep 4744")]).toEqual([[], []]);
  });
});

describe("pain 16, S70: after a kill -9 the next start ends what a step's user left, in a namespace that is no longer ours", () => {
  test.each([
    ["with a process namespace", "true", []],
    ["without one (S72)", HIDDEN, SHARED],
  ])("%s", async (_what, before, environment) => {
    const args = ["--no-cache", "--progress", "plain", context("USER 700\nRUN sleep 4743 & echo up; sleep 4743\n")];
    const [program, ...words] = commandAsUser(args, before, environment);
    const build = spawn(program, words, { stdio: ["ignore", "pipe", "inherit"] });
    await waitFor(build.stdout, /^#\d+ [\d.]+ up$/m);
    const exited = once(build, "exit");
    // All that starts it replaces itself by the next.
    build.kill("SIGKILL");
    await exited;
    expect(processesMentioning("sleep 4743")).toHaveLength(2);
    expect(await asUser([context()])).toMatchObject({ exitCode: 0 });
    expect(processesMentioning("sleep 4743")).toEqual([]);
  });
});

describe("pain 16, S70: where no root has CAP_SYS_ADMIN, as in most containers", () => {
  const CONFINED = "PRIVILEGES=--bounding-set=-sys_admin";

  test("a newuidmap that becomes root cannot map, and a build and the doctor say what to do", async () => {
    const said =
      /the subordinate ids cannot be used here: newuidmap: write to uid_map failed: Operation not permitted\n.*setcap cap_setuid\+ep/;
    const { exitCode, stdout } = await asUser([context()], CONFINED);
    expect([exitCode, stdout]).toEqual([1, expect.stringMatching(said)]);
    expect((await asUser(["doctor"], CONFINED)).stdout).toMatch(said);
  });

  test("done so, it builds", async () => {
    const programs = ["setuid", "setgid"].map((right) => {
      const name = `new${right.slice(3)}map`;
      return `cp /usr/bin/${name} ${rig.root}/etc && T=${tools} ${tools}/setcap cap_${right}+ep ${rig.root}/etc/${name} && mount --bind ${rig.root}/etc/${name} /usr/bin/${name}`;
    });
    expect(await asUser([context()], [CONFINED, ...programs].join("; "))).toMatchObject({ exitCode: 0 });
  });
});

test("S72: root, who can give a step its own processes, is told to", async () => {
  const { code, stderr } = await rig.tsbuild(["--no-process-sandbox", context()]);
  expect([code, stderr]).toEqual([
    2,
    "error: --no-process-sandbox is for builds without root\n  help: leave it out: root can give every RUN processes of its own\n",
  ]);
});
