// Decisions on text alone: users, resolver files, command lines, cgroup names, subordinate ids. Reference O06, S12, S52, S53, S70, pain 14.
import { expect, test } from "vitest";
import { stepCgroup } from "../../../src/sandbox/cgroup.ts";
import { lastErrorOf } from "../../../src/sandbox/container.ts";
import {
  hasOnlyLoopback,
  hostsFile,
  isSystemdStubOnly,
  resolvConfForNamespace,
} from "../../../src/sandbox/resolv-conf.ts";
import { checkSubordinateIds } from "../../../src/sandbox/rootless.ts";
import { disguiseFor, runtimeCommand } from "../../../src/sandbox/runtime.ts";
import { lookUpUser } from "../../../src/sandbox/user.ts";

const PASSWD =
  "root:x:0:0:root:/root:/bin/sh\n\nweb:x:33:34::/var/www:/bin/sh\nweb:x:99:99::/second:\n55:x:7:8::/odd:\nbroken\n";
const GROUP = "root:x:0:\nwheel:x:10:root,web\nweb:x:34:\nextra:x:20:web\n";
const ids = (user: string, passwd = PASSWD, group = GROUP): readonly unknown[] => {
  const { uid, gid, additionalGids, home } = lookUpUser(user, passwd, group);
  return [uid, gid, additionalGids, home];
};

test.each([
  ["", [0, 0, [10], "/root"]],
  ["root", [0, 0, [10], "/root"]],
  ["web", [33, 34, [10, 20], "/var/www"]],
  ["33", [33, 34, [10, 20], "/var/www"]],
  ["web:wheel", [33, 10, [], "/var/www"]],
  ["web:77", [33, 77, [], "/var/www"]],
  ["4000", [4000, 0, [], "/"]],
  ["4000:5000", [4000, 5000, [], "/"]],
  // A number is an id even where a user is called so.
  ["55", [55, 0, [], "/"]],
  ["2147483647", [2147483647, 0, [], "/"]],
  ["33:3000000000", [33, 3000000000, [], "/var/www"]],
])("O06: USER %j", (user, expected) => {
  expect(ids(user)).toEqual(expected);
});

test("O06: BuildKit's words for what is not there", () => {
  expect(() => ids("nobody")).toThrow("unable to find user nobody: no matching entries in passwd file");
  expect(() => ids("web:none")).toThrow("unable to find group none: no matching entries in group file");
  expect(() => ids("2147483648")).toThrow("uids and gids must be in range 0-2147483647");
  expect(() => ids("4294967296:1")).toThrow("uids and gids must be in range 0-2147483647");
  expect(() => ids("-1")).toThrow("uids and gids must be in range 0-2147483647");
  expect(ids("", "", "")).toEqual([0, 0, [], "/"]);
});

test("O06, T38: without /etc/passwd and /etc/group, numbers do, and root:root; a name fails in BuildKit's words", () => {
  const without = (user: string, passwd?: string): unknown => {
    const { uid, gid } = lookUpUser(user, passwd, undefined);
    return [uid, gid];
  };
  expect(["", "7", "7:8", "root:root", "3000000000:5"].map((user) => without(user))).toEqual([
    [0, 0],
    [7, 0],
    [7, 8],
    [0, 0],
    [3000000000, 5],
  ]);
  expect(() => without("web:7")).toThrow("unable to find user web: invalid argument");
  expect(() => without("root")).toThrow("unable to find user root: invalid argument");
  const passwd = "web:x:33:34::/var/www:/bin/sh\n";
  expect(() => without("33:staff", passwd)).toThrow("unable to find groups for spec web: invalid argument");
  expect(() => without("7:staff", passwd)).toThrow("unable to find groups for spec : invalid argument");
  expect(() => without("ghost", passwd)).toThrow("unable to find user ghost: no matching entries in passwd file");
});

test("S53, pain 14: loopback servers go, the forwarder stands in for them, nothing is invented", () => {
  const mixed = "search a b\nnameserver 127.0.0.1\nnameserver 10.0.0.1\noptions edns0\n";
  expect(resolvConfForNamespace(mixed, "169.254.1.1")).toBe("search a b\nnameserver 10.0.0.1\noptions edns0\n");
  const local = "nameserver ::1\n nameserver 127.0.0.53\nsearch a";
  expect(resolvConfForNamespace(local, "169.254.1.1")).toBe("nameserver 169.254.1.1\nsearch a\n");
  expect(resolvConfForNamespace(local, undefined)).toBe("search a\n");
  expect(resolvConfForNamespace("", "169.254.1.1")).toBe("");
  expect([hasOnlyLoopback(mixed), hasOnlyLoopback(local), hasOnlyLoopback("")]).toEqual([false, true, false]);
  expect([
    isSystemdStubOnly("nameserver 127.0.0.53\n"),
    isSystemdStubOnly("nameserver 127.0.0.54\n"),
    isSystemdStubOnly("nameserver 127.0.0.53\nnameserver 10.0.0.1\n"),
    isSystemdStubOnly(""),
  ]).toEqual([true, false, false, false]);
});

test("S52: the hosts file", () => {
  expect(hostsFile("h", [{ name: "db", address: "::2" }])).toBe(
    "127.0.0.1\tlocalhost h\n::1\tlocalhost ip6-localhost ip6-loopback\n::2\tdb\n",
  );
});

test("S12: names of cgroups; one around the container's own, for its counters", () => {
  const paths = (...args: Parameters<typeof stepCgroup>): readonly unknown[] => {
    const { specPath, directories, countedPath } = stepCgroup(...args);
    return [specPath, directories, countedPath];
  };
  expect(paths("v1", "id", "/p/q/")).toEqual(["/p/q/id/run", ["/p/q/id/run", "/p/q/id"], "/p/q/id"]);
  expect(paths("v2", "id", undefined)).toEqual(["/id/run", ["/id/run", "/id"], "/id"]);
  expect(paths("v2", "id", "user.slice:tsbuild")).toEqual(["user.slice:tsbuild:id", [], undefined]);
  expect(paths("none", "id", "p")).toEqual([undefined, [], undefined]);
});

test("command lines of runtimes; crun is shown less of a hybrid machine", () => {
  const runtime = { name: "crun", path: "/usr/bin/crun", version: "1" };
  const base = { runtime, root: "/r", isSystemdCgroup: false, disguise: [] };
  expect(runtimeCommand({ ...base, layout: "v2" }, ["kill", "id"])).toEqual([
    "/usr/bin/crun",
    "--root",
    "/r",
    "kill",
    "id",
  ]);
  expect(runtimeCommand({ ...base, layout: "none", isSystemdCgroup: true }, [])).toEqual([
    "/usr/bin/crun",
    "--root",
    "/r",
    "--systemd-cgroup",
    "--cgroup-manager=disabled",
  ]);
  expect(runtimeCommand({ ...base, layout: "v1", disguise: ["x", "y"] }, []).slice(0, 3)).toEqual([
    "x",
    "y",
    "/usr/bin/crun",
  ]);
  expect(disguiseFor(runtime, { layout: "v2", isHybrid: false }, "/nowhere")).toEqual([]);
  expect(disguiseFor({ ...runtime, name: "runc" }, { layout: "v1", isHybrid: true }, "/nowhere")).toEqual([]);
  expect(() => disguiseFor(runtime, { layout: "v1", isHybrid: true }, "/nowhere")).toThrow("hybrid cgroup layout");
});

test("a runtime's log: the last error counts, warnings and noise do not", () => {
  const log =
    '{"level":"warning","msg":"w"}\n{"level":"error","msg":" a "}\nnoise\n{"level":"error","msg":"b"}\n{"level":"info","msg":"c"}\n';
  expect([lastErrorOf(log), lastErrorOf(""), lastErrorOf('{"level":"warning","msg":"w"}')]).toEqual([
    "b",
    undefined,
    undefined,
  ]);
});

test("S70: subordinate ids, by name or number, enough of them", () => {
  const check = (text: string): void => checkSubordinateIds("/etc/subuid", text, "ann", 1000);
  expect(() => check("bob:1:65536\nann:100000:65536\n")).not.toThrow();
  expect(() => check("1000:100000:65536\n")).not.toThrow();
  expect(() => check("bob:1:65536\n")).toThrow("ann has no subordinate ids in /etc/subuid");
  expect(() => check("ann:1:1000\n")).toThrow("ann has only 1000 subordinate ids");
});
