// Archives for ADD: found by content, whatever compressed them.
import { execFileSync } from "node:child_process";
import { createReadStream, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { openArchive } from "../../../src/layer/archive.ts";
import type { Entry } from "../../../src/tree/entry.ts";
import { archive, END, inSlices } from "../../unit/layer/raw-tar.ts";
import { openRig, type Rig } from "./rig.ts";

const TAR = archive(
  { name: "dir/", mode: 0o750, uid: 5 },
  { name: "dir/file", data: "content", mode: 0o4755, mtimeNs: 1_500_000_001n },
  { name: "dir/hard", type: "1", linkname: "dir/file", mode: 0o4711, uid: 7, mtimeNs: 1_400_000_000_000_000_000n },
  { name: "dir/link", type: "2", linkname: "/etc/passwd" },
  { name: "dir/link/../empty" },
  { name: "implied/.wh.kept", data: "k" },
  // BuildKit passes over what describes the root as something else than a directory.
  { name: ".", type: "2", linkname: "/etc" },
);

function spoolOf(rig: Rig, name: string): string {
  mkdirSync(rig.path(name));
  return rig.path(name);
}

function contentOf(entry: Entry): string | undefined {
  if (entry.bytes?.kind === "host") return readFileSync(entry.bytes.path, "utf8");
  return entry.bytes && Buffer.from(entry.bytes.data).toString();
}

test.each(["tar", "gzip", "bzip2", "xz", "zstd"])(
  "AD01, AD02: %s is unpacked, from a file and from a stream",
  async (format) => {
    using rig = openRig();
    const bytes = format === "tar" ? TAR : execFileSync(format, ["-c"], { input: TAR });
    writeFileSync(rig.path("file.txt"), bytes);
    for (const source of [rig.path("file.txt"), createReadStream(rig.path("file.txt")), inSlices(bytes, 10)]) {
      const found = await openArchive(source, { tempDir: spoolOf(rig, `spool${readdirSync(rig.dir).length}`) });
      expect(found!.entries.map((entry) => [entry.path, entry.type, contentOf(entry)])).toEqual([
        ["dir", "dir", undefined],
        ["dir/empty", "file", ""],
        ["dir/file", "file", "content"],
        ["dir/hard", "file", "content"],
        ["dir/link", "symlink", undefined],
        // Only in layers is this a deletion.
        ["implied/.wh.kept", "file", "k"],
      ]);
      // A link's own header goes for the file, by all its names.
      const attributes = { mode: 0o4711, uid: 7, mtimeNs: 1_400_000_000_000_000_000n };
      expect(found!.entries[2]).toMatchObject(attributes);
      expect(found!.entries[3]).toMatchObject({ ...attributes, hardlink: "dir/file" });
      expect(found!.impliedDirectories).toEqual(["implied"]);
    }
  },
);

test("AD01: what is no archive is left alone", async () => {
  using rig = openRig();
  const text = Buffer.from("#!/bin/sh\n".repeat(200));
  const cases: readonly Buffer[] = [
    Buffer.alloc(0),
    text,
    text.subarray(0, 20),
    END,
    gzipSync(text),
    gzipSync(END),
    gzipSync(TAR).subarray(0, 15),
    Buffer.concat([Buffer.of(0x1f, 0x8b), text]),
    Buffer.concat([Buffer.from("BZh"), text]),
    ...["bzip2", "xz", "zstd"].map((program) => execFileSync(program, ["-c"], { input: text })),
  ];
  for (const [index, bytes] of cases.entries()) {
    writeFileSync(rig.path("file"), bytes);
    expect(await openArchive(rig.path("file"), { tempDir: spoolOf(rig, `s${index}`) })).toBeUndefined();
  }
});

test("a file that cannot be read is an error of the source", async () => {
  using rig = openRig();
  await expect(openArchive(rig.path("absent"), { tempDir: rig.dir })).rejects.toMatchObject({
    code: "source",
    message: /ENOENT/,
  });
});

test("an archive that is damaged behind its beginning is an error", async () => {
  using rig = openRig();
  const long = archive({ name: "a", data: Buffer.alloc(1 << 20, "abc") }, { name: "b", data: Buffer.from(TAR) });
  for (const program of ["gzip", "bzip2", "xz", "zstd"]) {
    const bytes = execFileSync(program, ["-c"], { input: long });
    writeFileSync(rig.path("file"), bytes.subarray(0, -12));
    const opening = openArchive(rig.path("file"), { tempDir: spoolOf(rig, program) });
    await expect(opening).rejects.toMatchObject({ code: "content" });
  }
});
