// The text of a graph says everything that is identity; golden files of whole graphs are in fixtures/plan.
import { expect, test } from "vitest";
import { GraphBuilder } from "../../../src/graph/graph.ts";
import type { Op } from "../../../src/graph/op.ts";
import { printGraph } from "../../../src/graph/print.ts";
import { digestOf } from "../../../src/oci/digest.ts";

const platform = { os: "linux", architecture: "amd64" };
const exec: Op = {
  kind: "exec",
  args: ["a"],
  env: [],
  cwd: "/",
  user: "",
  network: "default",
  security: "sandbox",
  mounts: [],
  platform,
};
const git: Op = { kind: "git", remote: "https://h/r.git", keepGitDir: false, submodules: true, mtime: "checkout" };

test.each<[string, Op, Op]>([
  [
    "layout",
    { kind: "image", reference: "r", digest: digestOf("d"), platform },
    { kind: "image", reference: "r", digest: digestOf("d"), platform, layout: "/l" },
  ],
  [
    "checksum",
    { kind: "http", url: "u", filename: "f" },
    { kind: "http", url: "u", filename: "f", checksum: digestOf("c") },
  ],
  ["submodules", git, { ...git, submodules: false }],
  ["mtime", git, { ...git, mtime: "commit" }],
  ["network", exec, { ...exec, network: "none" }],
  ["security", exec, { ...exec, security: "insecure" }],
  ["mounts", exec, { ...exec, mounts: [{ kind: "tmpfs", target: "/t" }] }],
  ["pipes", exec, { ...exec, pipes: [{ name: "n", content: "c" }] }],
  ["devices", exec, { ...exec, devices: [{ name: "v.com/c=d", isRequired: true }] }],
  ["hosts", exec, { ...exec, extraHosts: ["h"] }],
  ["shm", exec, { ...exec, shmSize: 1 }],
  ["ulimits", exec, { ...exec, ulimits: [{ name: "n", soft: 1, hard: 2 }] }],
])("ops that differ in %s print differently", (_what, one, other) => {
  const print = (op: Op) => {
    const builder = new GraphBuilder();
    return printGraph(builder.build([builder.add(op, [], { name: "n", stage: "", cache: "use", instruction: "" })]));
  };
  expect(print(one)).not.toBe(print(other));
});
