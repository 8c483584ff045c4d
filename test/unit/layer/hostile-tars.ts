// Archives that try to reach outside of their root, to confuse, or to exhaust. Each is refused, or contained: then `inside` says which paths it may make.
import { archive, END, member, patched, pax, record, type RawMember } from "./raw-tar.ts";

export interface HostileTar {
  readonly name: string;
  readonly tar: Buffer;
  /** What the error says; absent = contained. */
  readonly refused?: RegExp;
  /** Paths in the layer's list, if contained. */
  readonly inside?: readonly string[];
}

const file = (name: string, rest: Partial<RawMember> = {}): RawMember => ({ name, data: "evil", ...rest });
const link = (name: string, linkname: string): RawMember => ({ name, type: "2", linkname });
const hard = (name: string, linkname: string): RawMember => ({ name, type: "1", linkname });

export const HOSTILE_TARS: readonly HostileTar[] = [
  { name: "a name that climbs", tar: archive(file("../escaped")), refused: /^invalid entry name "\.\.\/escaped"$/ },
  { name: "a name that climbs from below", tar: archive(file("a/../../escaped")), refused: /^invalid entry name/ },
  { name: "an absolute name that climbs", tar: archive(file("/../escaped")), refused: /^invalid entry name/ },
  { name: "the parent as a member", tar: archive({ name: "../" }), refused: /^invalid entry name/ },
  { name: "an absolute name", tar: archive(file("/etc/escaped")), inside: ["etc/escaped"] },
  {
    name: "a PAX name that climbs",
    tar: archive(pax(record("path", "../escaped")), file("a")),
    refused: /^invalid entry name/,
  },
  {
    name: "a symlink out, then a file through it",
    tar: archive(link("out", "../../.."), file("out/escaped")),
    inside: ["escaped", "out"],
  },
  {
    name: "an absolute symlink out, then a file through it",
    tar: archive(link("out", "/"), file("out/escaped")),
    inside: ["escaped", "out"],
  },
  {
    name: "an absolute symlink below, then a file through it",
    tar: archive(link("a/b/out", "/x"), file("a/b/out/f"), link("a/b/up", "../.."), file("a/b/up/g")),
    inside: ["a/b/out", "a/b/up", "g", "x/f"],
  },
  {
    name: "symlinks through symlinks",
    tar: archive(link("a", "b/.."), link("b", "/../.."), { name: "a/d/" }, file("a/d/escaped")),
    inside: ["a", "b", "d", "d/escaped"],
  },
  {
    name: "a directory turned into a symlink under its files",
    tar: archive({ name: "d/" }, file("d/kept"), link("d", "/tmp"), file("d/escaped")),
    inside: ["d", "tmp/escaped"],
  },
  {
    name: "a file through a symlink loop",
    tar: archive(link("a", "b"), link("b", "a"), file("a/x")),
    refused: /too many/,
  },
  { name: "a file below a file", tar: archive(file("a"), file("a/b")), refused: /no directory/ },
  { name: "a file in the place of a symlink", tar: archive(link("a", "../../escaped"), file("a")), inside: ["a"] },
  { name: "a hard link that climbs", tar: archive(hard("a", "../../etc/passwd")), refused: /^invalid entry name/ },
  {
    name: "a hard link to what is not there",
    tar: archive(hard("a", "/etc/passwd")),
    refused: /^linkat etc\/passwd a: no such file or directory$/,
  },
  {
    name: "a hard link through a symlink that points out",
    tar: archive(link("out", "/"), hard("a", "out/etc/passwd")),
    refused: /^linkat/,
  },
  {
    name: "a hard link to a symlink, then a file on it",
    tar: archive(link("a", "../../escaped"), hard("b", "a"), file("b")),
    inside: ["a", "b"],
  },
  { name: "a hard link to a directory", tar: archive({ name: "d/" }, hard("a", "d")), refused: /a directory/ },
  { name: "a hard link to itself", tar: archive(hard("a", "a")), refused: /^linkat a a: no such/ },
  { name: "a hard link without a target", tar: archive(hard("a", "")), refused: /^invalid hardlink target ""$/ },
  {
    name: "a hard link, by names that are not clean and behind a symlink, to what is not there",
    tar: archive(link("l", "d"), hard("l/./a", "x//f/")),
    refused: /^linkat x\/f d\/a: no such file or directory$/,
  },
  {
    name: "a hard link in the place of its target's directory",
    tar: archive({ name: "d/" }, file("d/a"), hard("d", "d/a")),
    refused: /replaces the directory/,
  },
  { name: "a whiteout of the root", tar: archive(file(".wh.")), refused: /names no file/ },
  { name: "a whiteout of this directory", tar: archive(file("d/.wh..")), refused: /names no file/ },
  { name: "a whiteout of the parent", tar: archive(file("d/.wh...")), refused: /names no file/ },
  { name: "a whiteout through a symlink", tar: archive(link("d", "/"), file("d/.wh.etc")), inside: ["d", "etc"] },
  { name: "a directory named like a whiteout", tar: archive(file(".wh.a/b")), refused: /below a whiteout/ },
  { name: "a directory with content, which no reader skips", tar: archive(file("./")), refused: /checksum/ },
  { name: "the root as a symlink", tar: archive(link(".", "/etc")), refused: /the root itself/ },
  { name: "the root as a whiteout device", tar: archive({ name: "./.", type: "3" }), refused: /the root itself/ },
  { name: "a claimed size", tar: Buffer.concat([member(file("a", { size: 2 ** 40 })), END]), refused: /middle of "a"/ },
  {
    name: "a negative size",
    tar: archive(patched(member(file("a")), 124, Buffer.alloc(12, 0xff))),
    refused: /size|number/,
  },
  {
    name: "a size that is no number",
    tar: archive(pax(record("size", "-1")), file("a")),
    refused: /"size" is no number/,
  },
  {
    name: "a PAX size larger than the archive",
    tar: archive(pax(record("size", "9999999")), file("a")),
    refused: /middle/,
  },
  {
    name: "an extended header of a gigabyte",
    tar: member({ name: "x", type: "x", size: 2 ** 30 }),
    refused: /extended header of/,
  },
  { name: "a record that overlaps the next", tar: archive(pax("99 path=a\n"), file("a")), refused: /no sound length/ },
  { name: "a record of length 0", tar: archive(pax("0 path=a\n"), file("a")), refused: /no sound length/ },
  { name: "a zero byte in a name", tar: archive(pax(record("path", "a\0b")), file("a")), refused: /zero byte/ },
  {
    name: "a member after a zero block",
    tar: Buffer.concat([END.subarray(512), member(file("a")), END]),
    refused: /after a zero/,
  },
  { name: "garbage", tar: Buffer.alloc(4096, "garbage!"), refused: /checksum/ },
  { name: "half a header", tar: member(file("a")).subarray(0, 300), refused: /middle of a header/ },
  {
    name: "half a file",
    tar: member(file("a", { data: "x".repeat(900) })).subarray(0, 1000),
    refused: /middle of "a"/,
  },
  {
    name: "an extended header about nothing",
    tar: archive(pax(record("path", "a"))).subarray(0, -1024),
    refused: /ends after/,
  },
  {
    name: "an id that no file can have",
    tar: archive(pax(record("uid", "4294967295")), file("a")),
    refused: /4294967295/,
  },
  { name: "an id beyond 32 bits", tar: archive(pax(record("gid", "4294967296")), file("a")), refused: /4294967296/ },
  { name: "an old GNU sparse file", tar: archive(file("a", { type: "S" })), refused: /sparse/ },
  { name: "a PAX sparse file", tar: archive(pax(record("GNU.sparse.major", "1")), file("a")), refused: /sparse/ },
  { name: "an unknown type", tar: archive(file("a", { type: "Z" })), refused: /unknown type "Z"/ },
  { name: "a name longer than Linux allows", tar: archive(file("n".repeat(256))), refused: /too long/ },
  { name: "a path longer than Linux allows", tar: archive(file("d/".repeat(3000) + "f")), refused: /too long/ },
  { name: "a path that is only deep", tar: archive(file("d/".repeat(200_000) + "f")), refused: /too long/ },
  { name: "a symlink without a target", tar: archive(link("a", "")), refused: /without a target/ },
  {
    name: "overlay state of its own",
    tar: archive({
      name: "d/",
      xattrs: { "trusted.overlay.opaque": Buffer.from("y"), "user.overlay.opaque": Buffer.from("y") },
    }),
    inside: ["d"],
  },
];
