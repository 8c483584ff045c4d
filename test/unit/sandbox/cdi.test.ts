// Devices of a machine by files in directories, and what they ask for (CDI; reference R06, S41).
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { deviceEdits, findDevices, isAutoAllowed, readCdiDevices } from "../../../src/sandbox/cdi.ts";

let root: string;
let problems: string[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tsbuild-cdi-"));
  problems = [];
});
afterEach(() => rmSync(root, { recursive: true }));

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(root, name, ".."), { recursive: true });
    writeFileSync(join(root, name), text);
  }
}

const read = (...folders: string[]) =>
  readCdiDevices(
    (folders.length === 0 ? ["a"] : folders).map((folder) => join(root, folder)),
    (text) => problems.push(text.replaceAll(root, "")),
  );
const json = (kind: string, devices: readonly object[], more: object = {}): string =>
  JSON.stringify({ cdiVersion: "0.6.0", kind, devices, ...more });
const name = ({ name: text }: { readonly name: string }): string => text;

const YAML = `cdiVersion: 0.5.0
kind: vendor.com/gpu
annotations:
  org.mobyproject.buildkit.device.autoallow: "true"
containerEdits:
  env: [SHARED=1]
devices:
  - name: "0"
    annotations: {org.mobyproject.buildkit.device.class: fast}
    containerEdits:
      env:
        - GPU=0
      deviceNodes:
        - path: /dev/null
  - name: "1"
    annotations: {org.mobyproject.buildkit.device.class: fast}
    containerEdits: {env: [GPU=1]}
  - name: all
    containerEdits: {}
`;

test("R06: one device, all of a kind, those of a class, the first of a kind; JSON and YAML", async () => {
  write({ "a/gpu.yaml": YAML, "a/disk.json": json("vendor.com/disk", [{ name: "d" }]), "a/notes.txt": "no device" });
  const devices = await read();
  const found = (text: string): string[] => findDevices(devices, text).map(name);
  expect(devices.map(name)).toEqual([
    "vendor.com/disk=d",
    "vendor.com/gpu=0",
    "vendor.com/gpu=1",
    "vendor.com/gpu=all",
  ]);
  expect(found("vendor.com/gpu=1")).toEqual(["vendor.com/gpu=1"]);
  expect(found("vendor.com/gpu=*")).toHaveLength(3);
  expect(found("vendor.com/gpu=fast")).toEqual(["vendor.com/gpu=0", "vendor.com/gpu=1"]);
  expect(found("vendor.com/gpu")).toEqual(["vendor.com/gpu=0"]);
  expect([...found("vendor.com/gpu=2"), ...found("vendor.com/g"), ...found("other.com/gpu=0")]).toEqual([]);
  expect(problems).toEqual([]);
});

test("S41: a device may allow itself by its own annotation or its file's, in a word that Go reads as true", async () => {
  const says = (text: string) => ({ annotations: { "org.mobyproject.buildkit.device.autoallow": text } });
  const disks = [
    { name: "free", ...says("true") },
    { name: "go", ...says("1") },
    { name: "kept" },
    { name: "mute", ...says("") },
    { name: "no", ...says("false") },
    { name: "yes", ...says("yes") },
  ];
  // What a device says counts more than what its file says.
  const gpus = [{ name: "all" }, { name: "own", ...says("F") }];
  write({
    "a/gpu.json": json("vendor.com/gpu", gpus, says("T")),
    "a/disk.json": json("vendor.com/disk", disks),
  });
  const allowed = (await read()).filter(isAutoAllowed).map(name);
  expect(allowed).toEqual(["vendor.com/disk=free", "vendor.com/disk=go", "vendor.com/gpu=all"]);
});

test("a later directory counts more; what is said twice in one, or makes no sense, is told and left out", async () => {
  const disk = (text: string) => json("v.com/disk", [{ name: "d", containerEdits: { env: [text] } }]);
  write({
    "a/disk.json": disk("A=a"),
    "b/disk.json": disk("A=b"),
    "b/one.json": json("v.com/twice", [{ name: "x" }]),
    "b/two.yml": "kind: v.com/twice\ndevices: [{name: x}]\n",
    "b/broken.json": "{",
    "b/broken.yaml": "a: [b",
    "b/kindless.json": json("nothing", []),
    "b/list.yaml": "- a\n- b\n",
    "b/nameless.json": json("v.com/x", [{}]),
  });
  const devices = await read("a", "b", "nowhere");
  expect(devices.map(name)).toEqual(["v.com/disk=d"]);
  expect(deviceEdits(devices, [{ name: "v.com/disk", isRequired: true }]).env).toEqual(["A=b"]);
  expect(problems.map((text) => text.split(": ")[0])).toEqual([
    "/b/broken.json describes no devices",
    "/b/broken.yaml describes no devices",
    "/b/kindless.json describes no devices",
    "/b/list.yaml describes no devices",
    "/b/nameless.json describes no devices",
    "device v.com/twice=x is described twice in /b, so it is not used",
  ]);
});

test("R06: what devices ask for, each and each file's once; numbers that are left out are the machine's", async () => {
  write({ "a/gpu.yaml": YAML });
  const devices = await read();
  const requests = ["vendor.com/gpu=0", "vendor.com/gpu=*", "vendor.com/gpu=none"];
  const edits = deviceEdits(
    devices,
    requests.map((text) => ({ name: text, isRequired: false })),
  );
  expect(edits.env).toEqual(["SHARED=1", "GPU=0", "GPU=1"]);
  expect(edits.nodes).toEqual([
    {
      path: "/dev/null",
      type: "c",
      major: 1,
      minor: 3,
      fileMode: 0o666,
      uid: undefined,
      gid: undefined,
      access: "rwm",
    },
  ]);
});

test("R06: a required device that is missing, and what cannot be given, are errors in words", async () => {
  const node = (more: object) => [{ name: "d", containerEdits: { deviceNodes: [{ path: "/dev/null", ...more }] } }];
  write({
    "a/wrong.json": json("v.com/wrong", node({ type: "b" })),
    "a/gone.json": json("v.com/gone", node({ hostPath: "/dev/no-such-device" })),
    "a/rdt.json": json("v.com/rdt", [{ name: "d", containerEdits: { intelRdt: {} } }]),
    "a/hook.json": json("v.com/hook", [
      { name: "d", containerEdits: { hooks: [{ hookName: "whenever", path: "/x" }] } },
    ]),
  });
  const devices = await read();
  const failure = (text: string) => () => deviceEdits(devices, [{ name: text, isRequired: true }]);
  expect(failure("v.com/none=x")).toThrow('required CDI device "v.com/none=x" is not registered on this machine');
  expect(() => deviceEdits([], [{ name: "v.com/x", isRequired: true }], ["/here"])).toThrow(
    expect.objectContaining({ help: "describe it in /here" }) as Error,
  );
  expect(failure("v.com/wrong=d")).toThrow("cannot give the device /dev/null: it is no such device");
  expect(failure("v.com/gone=d")).toThrow("cannot give the device /dev/no-such-device: ENOENT");
  expect(failure("v.com/rdt=d")).toThrow("asks for intelRdt or netDevices");
  expect(failure("v.com/hook=d")).toThrow('asks for a hook called "whenever"');
});
