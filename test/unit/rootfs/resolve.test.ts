import { expect, test } from "vitest";
import { resolvePath } from "../../../src/rootfs/resolve.ts";
import { MemoryTree, parseEntries } from "../solve/file/golden.ts";

const tree = new MemoryTree(
  parseEntries([
    "usr dir 0755 0:0",
    "usr/bin dir 0755 0:0",
    'usr/bin/sh file 0755 0:0 "sh"',
    "usr/up symlink 0777 0:0 -> ../../../usr/bin",
    "bin symlink 0777 0:0 -> usr/bin",
    "abs symlink 0777 0:0 -> /usr/./bin/",
    "dead symlink 0777 0:0 -> /no/where",
    "back symlink 0777 0:0 -> nowhere/../usr",
    "l1 symlink 0777 0:0 -> l2",
    "l2 symlink 0777 0:0 -> l1",
    "here symlink 0777 0:0 -> .",
  ]),
);

test.for([
  // path, where it leads, the part of it that is missing
  ["", "", ""],
  ["/", "", ""],
  ["/bin/sh", "usr/bin/sh", ""],
  ["abs/sh", "usr/bin/sh", ""],
  ["bin", "usr/bin", ""],
  ["../../usr/../usr/bin", "usr/bin", ""],
  ["usr/up/sh", "usr/bin/sh", ""],
  ["bin/../bin", "usr/bin", ""],
  ["usr/bin/..", "usr", ""],
  ["here/here/usr", "usr", ""],
  ["usr/lib/x", "usr/lib/x", "lib/x"],
  ["dead", "no/where", "no/where"],
  ["dead/x", "no/where/x", "no/where/x"],
  ["usr/lib/../bin/sh", "usr/bin/sh", ""],
  ["back/bin", "usr/bin", ""],
  ["usr/lib/../../../bin/sh", "usr/bin/sh", ""],
] as const)("C08 T29 %j leads to %j, missing %j", async ([path, at, missing]) => {
  const resolved = await resolvePath(tree, path);
  expect(resolved).toMatchObject({ path: at, missing });
  expect(resolved.entry?.path).toBe(missing === "" ? at : undefined);
});

test("a last symlink stays one where it is not followed; those before it never do", async () => {
  expect((await resolvePath(tree, "bin", { followLast: false })).entry?.type).toBe("symlink");
  expect((await resolvePath(tree, "here/bin/sh", { followLast: false })).path).toBe("usr/bin/sh");
});

test("C08 a file with something behind it blocks the way and says so", async () => {
  expect(await resolvePath(tree, "bin/sh/x/y")).toMatchObject({
    path: "usr/bin/sh/x/y",
    blockedBy: "usr/bin/sh",
    entry: undefined,
  });
  expect((await resolvePath(tree, "usr/lib")).blockedBy).toBeUndefined();
});

test("C08, T19 links that never end are an error, a long chain is not", async () => {
  await expect(resolvePath(tree, "l1/x")).rejects.toMatchObject({
    code: "source",
    message: "too many links",
    summary: 'too many links in "/l1/x"',
  });
  const chain = Array.from({ length: 255 }, (_, i) => `c${i} symlink 0777 0:0 -> ${i === 254 ? "end" : `c${i + 1}`}`);
  const long = new MemoryTree(parseEntries([...chain, 'end file 0644 0:0 "e"']));
  expect((await resolvePath(long, "c0")).path).toBe("end");
});
