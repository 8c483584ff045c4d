import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readGroups, readUsers } from "../../../src/rootfs/passwd.ts";
import { parseGroup, parsePasswd } from "../../../src/tree/passwd.ts";
import { MemoryTree, parseEntries } from "../solve/file/golden.ts";

test("C10 lines of /etc/passwd and /etc/group, also those that lack fields", () => {
  expect(
    parsePasswd("root:x:0:0:Root:/root:/bin/sh\n\n  bob:x:1001:1002::/home/bob:\r\nshort:x:7\nodd:x:what:-1"),
  ).toEqual([
    { name: "root", uid: 0, gid: 0, home: "/root", shell: "/bin/sh" },
    { name: "bob", uid: 1001, gid: 1002, home: "/home/bob", shell: "" },
    { name: "short", uid: 7, gid: 0, home: "", shell: "" },
    { name: "odd", uid: 0, gid: -1, home: "", shell: "" },
  ]);
  expect(parseGroup("staff:x:50:bob,eve\nempty:x:51:")).toEqual([
    { name: "staff", gid: 50, members: ["bob", "eve"] },
    { name: "empty", gid: 51, members: [] },
  ]);
});

test("C10 the databases are found behind symlinks, on disk or in memory, and are empty where there are none", async () => {
  const directory = await mkdtemp(join(tmpdir(), "passwd-"));
  try {
    await writeFile(join(directory, "group"), "staff:x:50:\n");
    const [passwd, link, etc, group] = parseEntries([
      'p file 0644 0:0 "bob:x:5:6::/:\\n"',
      "etc/passwd symlink 0777 0:0 -> ../p",
      "etc dir 0755 0:0",
      'etc/group file 0644 0:0 "staff:x:50:\\n"',
    ]);
    const tree = new MemoryTree([
      etc!,
      passwd!,
      link!,
      { ...group!, bytes: { kind: "host", path: join(directory, "group") } },
    ]);
    expect((await readUsers(tree)).map(({ name, uid }) => [name, uid])).toEqual([["bob", 5]]);
    expect((await readGroups(tree)).map(({ name, gid }) => [name, gid])).toEqual([["staff", 50]]);
    expect(await readUsers(new MemoryTree([]))).toEqual([]);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("C10 a database that is no regular file, or larger than 10 MiB, is refused", async () => {
  const refusal = (line: string, size = 0) => {
    const [etc, entry] = parseEntries(["etc dir 0755 0:0", line]);
    return readUsers(new MemoryTree([etc!, { ...entry!, size }]));
  };
  await expect(refusal("etc/passwd fifo 0644 0:0")).rejects.toMatchObject({
    code: "source",
    message: "/etc/passwd of the image is not a regular file",
  });
  await expect(refusal("etc/passwd dir 0755 0:0")).rejects.toMatchObject({
    message: "read /etc/passwd: is a directory",
    summary: "/etc/passwd of the image is not a regular file",
  });
  await expect(refusal('etc/passwd file 0644 0:0 ""', 10 * 1024 * 1024 + 1)).rejects.toMatchObject({
    message: /larger than 10 MiB/,
  });
});
