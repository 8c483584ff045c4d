// What is in a key and what is not, field by field (reference 5.2).
import { expect, test } from "vitest";
import type { CopyAction, ExecOp, FileOp, MountOp } from "../../../src/graph/op.ts";
import { execParts, fileParts, keyOf, storedParts } from "../../../src/solve/cache-key.ts";

const RUN: ExecOp = {
  kind: "exec",
  args: ["/bin/sh", "-c", "make"],
  env: ["PATH=/bin", "A=1"],
  cwd: "/w",
  user: "me",
  network: "default",
  security: "sandbox",
  mounts: [],
  platform: { os: "linux", architecture: "amd64" },
};
const runKey = (change: Partial<ExecOp>): string => keyOf("exec", execParts({ ...RUN, ...change }));
const mountKey = (mount: MountOp): string => runKey({ mounts: [mount] });

const CACHE: MountOp = { kind: "cache", target: "/c", id: "/c", sharing: "shared", source: "", readonly: false };
const SECRET: MountOp = { kind: "secret", id: "s", target: "/s", required: false, mode: 0o400, uid: 0, gid: 0 };
const SSH: MountOp = { kind: "ssh", id: "s", target: "/s", required: false, mode: 0o600, uid: 0, gid: 0 };

test("Q06, T1: each thing that a RUN can see is in its key", () => {
  const changes: readonly Partial<ExecOp>[] = [
    {},
    { args: ["/bin/sh", "-c", "make all"] },
    { args: ["/bin/sh", "-c make"] },
    { env: ["PATH=/bin", "A=2"] },
    { env: ["PATH=/bin"] },
    { env: ["PATH=/bin", "B=1"] },
    { cwd: "/" },
    { user: "" },
    { hostname: "box" },
    { network: "none" },
    { network: "host" },
    { security: "insecure" },
    { shmSize: 1 },
    { ulimits: [{ name: "nofile", soft: 1, hard: 2 }] },
    { ulimits: [{ name: "nofile", soft: 1, hard: 3 }] },
    { ulimits: [{ name: "nofile", soft: 2, hard: 3 }] },
    { ulimits: [{ name: "nproc", soft: 2, hard: 3 }] },
    { cgroupParent: "p" },
    { devices: [{ name: "v.com/c=d", isRequired: true }] },
    { devices: [{ name: "v.com/c=e", isRequired: true }] },
    { extraHosts: ["a"] },
    { extraHosts: ["b"] },
    { pipes: [{ name: "EOF", content: "#!/bin/sh" }] },
    { pipes: [{ name: "EOF", content: "#!/bin/ash" }] },
    { pipes: [{ name: "END", content: "#!/bin/sh" }] },
    { platform: { os: "linux", architecture: "arm64" } },
    { platform: { os: "linux", architecture: "arm", variant: "v7" } },
  ];
  expect(new Set(changes.map(runKey)).size).toBe(changes.length);
});

test("Q06: mounts by target, type and options; ids of secrets, and whether they are required", () => {
  const mounts: readonly MountOp[] = [
    { kind: "bind", target: "/c", input: 1, source: "", writable: false },
    { kind: "bind", target: "/c", input: 1, source: "", writable: true },
    { kind: "tmpfs", target: "/c" },
    { kind: "tmpfs", target: "/c", size: 1 },
    { kind: "tmpfs", target: "/c", readonly: true },
    CACHE,
    { ...CACHE, id: "other" },
    { ...CACHE, readonly: true },
    { ...CACHE, target: "/d" },
    SECRET,
    { ...SECRET, id: "t" },
    { ...SECRET, env: "S" },
    { ...SECRET, mode: 0o444 },
    { ...SECRET, uid: 5 },
    { ...SECRET, gid: 5 },
    { ...SECRET, target: "/t" },
    { ...SECRET, required: true },
    SSH,
    { ...SSH, required: true },
    { ...SSH, id: "t" },
    { ...SSH, target: "/t" },
    { ...SSH, mode: 0o644 },
    { ...SSH, uid: 5 },
    { ...SSH, gid: 5 },
  ];
  expect(new Set(mounts.map(mountKey)).size).toBe(mounts.length);
  expect(mountKey({ ...CACHE, sharing: "locked", isLockedByDefault: true })).toBe(mountKey(CACHE));
});

test("Q06: of a cache's id and sharing only whether they are the defaults; of a bind's source what is in it", () => {
  const own: readonly Partial<typeof CACHE>[] = [
    { id: "other" },
    { id: "another" },
    { sharing: "locked" },
    { sharing: "private" },
    { id: "other", sharing: "locked" },
  ];
  const keys = new Set(own.map((change) => mountKey({ ...CACHE, ...change })));
  expect(keys.size).toBe(1);
  expect(keys).not.toContain(mountKey(CACHE));
  const bind = { kind: "bind", target: "/c", input: 1, writable: false } as const;
  expect(mountKey({ ...bind, source: "a" })).toBe(mountKey({ ...bind, source: "b" }));
});

test("M25, T47: what a cache starts with and who owns it are no part of a RUN's key", () => {
  const owned: MountOp = { ...CACHE, mode: 0o700, uid: 1, gid: 1, source: "seed", input: 1 };
  expect(mountKey(owned)).toBe(mountKey(CACHE));
});

const COPY: CopyAction = {
  kind: "copy",
  sources: [{ kind: "path", input: 1, pattern: "a", isWildcardAllowed: true }],
  dest: "/x",
  parents: false,
  exclude: [],
  unpack: "never",
};
const copyKey = (change: Partial<CopyAction>, isLinked = false): string => {
  const op: FileOp = { kind: "file", action: { ...COPY, ...change }, isLinked };
  return keyOf("file", fileParts(op));
};

test("Q05, Q07, Q08: what COPY, ADD and WORKDIR do is in their keys", () => {
  const inline = (name: string, content: string): Partial<CopyAction> => ({
    sources: [{ kind: "inline", name, content }],
  });
  const keys = [
    copyKey({}),
    copyKey({}, true),
    copyKey({ dest: "/y" }),
    copyKey({ dest: "/x/" }),
    copyKey({ chown: "5" }),
    copyKey({ chmod: "5" }),
    copyKey({ parents: true }),
    copyKey({ exclude: ["a"] }),
    copyKey({ exclude: ["b"] }),
    copyKey({ exclude: ["a", "b"] }),
    copyKey({ unpack: "auto" }),
    copyKey({ unpack: "always" }),
    copyKey(inline("a", "text")),
    copyKey(inline("a", "other")),
    copyKey(inline("b", "text")),
    ...["/w", "/v"].map((path) => keyOf("file", fileParts(mkdir({ path })))),
    keyOf("file", fileParts(mkdir({ user: "5" }))),
    keyOf("file", fileParts(mkdir({ mode: 0o700 }))),
  ];
  expect(new Set(keys).size).toBe(keys.length);
});

function mkdir(change: Partial<Extract<FileOp["action"], { kind: "mkdir" }>>): FileOp {
  return { kind: "file", action: { kind: "mkdir", path: "/w", user: "", mode: 0o755, ...change }, isLinked: false };
}

test("T4: parts are kept apart, so that no two lists of them have one key", () => {
  const lists = [
    [["a", "bc"]],
    [["ab", "c"]],
    [
      ["a", "b"],
      ["c", ""],
    ],
    [
      ["a", ""],
      ["b", "c"],
    ],
    [["a", '"],["b"']],
    [
      ["a", "b\n"],
      ["", "c"],
    ],
  ] as const;
  const keys = lists.map((list) =>
    keyOf(
      "exec",
      list.map(([name, value]) => ({ name, value })),
    ),
  );
  expect(new Set(keys).size).toBe(keys.length);
  expect(keyOf("exec", [])).not.toBe(keyOf("file", []));
});

test("pain 27: what is written down of a key has no value that looks like a secret, and differs where that does", () => {
  const stored = (value: string) => storedParts([{ name: "env API_TOKEN", value }])[0]!.value;
  expect(stored("hunter2")).toMatch(/^\*\*\* [0-9a-f]{8}$/);
  expect(stored("hunter2")).not.toBe(stored("hunter3"));
  const long = storedParts([{ name: "command", value: "x".repeat(10_000) }])[0]!.value;
  expect(long.length).toBeLessThan(5_000);
  expect(storedParts([{ name: "env PUBLIC_KEY", value: "v" }])).toEqual([{ name: "env PUBLIC_KEY", value: "v" }]);
});
