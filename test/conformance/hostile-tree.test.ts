// A tree with everything that file systems can hold, made by two RUNs, as other tools see it after its way through layers and a registry.
// What it must look like is what the same commands make on a plain disk.
import { spawn } from "node:child_process";
import { createReadStream, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { createZstdDecompress } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDockerRegistry, type DockerRegistry } from "../support/docker-registry.ts";
import { accepted, Podman } from "../support/judges.ts";
import { differences, listTree, type FileAttributes } from "../support/judges-tree.ts";
import { openRig, type Rig } from "../support/rig.ts";
import { makeTools } from "../support/tools.ts";

/** The lower layer. `$T` are tools that busybox lacks; every time is set at the end. */
const LOWER = `
set -e
mkdir t && cd t
long=$(printf '%0120d' 0)
name255=$(printf '%0255d' 0)
mkdir -p gone/deep kept/deep whole/deep d2f/x d2l/x d2d/x d2c/x opaque/x swap special xattr owners names times "$long/$long/$long"
for d in gone/deep kept/deep whole/deep d2f/x d2l/x d2d/x d2c/x opaque/x; do echo $d > $d/file; done
echo 1 > opaque/same; mkdir opaque/keptname; echo 1 > opaque/keptname/old
for f in f2d f2l f2p f2gone chmod chown xattr-later mtime rewritten "del
nl" "del-ü" .wh .whx; do echo $f > "$f"; done
echo 255 > $name255
ln -s whole l2d; ln -s whole l2f; ln -s whole l2gone; ln -s aaaa retarget; ln -s whole swap/link
mkfifo special/fifo p2f; mkfifo -m 0620 special/fifo2
mknod special/null c 1 3; mknod special/loop b 7 300; mknod -m 0666 special/major c 511 1048575; mknod dev2f c 1 5
echo a > hard1; ln hard1 hard2; mkdir hard; ln hard1 hard/3; echo b > cross; echo c > hgone1; ln hgone1 hgone2
mkfifo special/linked; ln special/linked special/linked2
echo suid > special/suid; chown 7:8 special/suid; chmod 4755 special/suid
echo sgid > special/sgid; chmod 2711 special/sgid; echo none > special/none; chmod 0 special/none; echo all > special/all; chmod 7777 special/all
mkdir special/sticky special/sgid-dir special/closed; chmod 1777 special/sticky; chmod 2775 special/sgid-dir; chmod 0 special/closed
for id in 65536 2097151 2097152 4294967294; do echo $id > owners/$id; chown $id:$id owners/$id; mkdir owners/d$id; chown $id:0 owners/d$id; ln -s x owners/l$id; chown -h 0:$id owners/l$id; done
echo x > xattr/file; $T/setfattr -n user.text -v value xattr/file; $T/setfattr -n user.binary -v 0x00ff0a3d00 xattr/file
$T/setfattr -n "user.with space and ü" -v 'line
break' xattr/file; $T/setfattr -n user.dir -v d xattr; $T/setfattr -n user.gone -v 1 xattr-later
cp /bin/busybox xattr/cap; $T/setcap cap_net_raw,cap_net_bind_service+ep xattr/cap; ln xattr/cap xattr/cap-link
echo x > xattr/chowned-cap; chown 5:5 xattr/chowned-cap; $T/setcap cap_chown+p xattr/chowned-cap
echo x > "$long/$long/$long/$long"; ln -s "$long/$long/$long/$long" long-link
for n in "ünï-日本-🙂" "new
line" " space " "-dash" 'back\\slash' 'quo"te' "*?[a]" "$(printf 'tab\\tbell\\007')" "$(printf 'latin\\377\\376x')" "a=b" "%41" "..." "~"; do echo "$n" > "names/$n"; done
ln -s "ünï-日本-🙂" names/link; ln -s "$(printf 'raw\\377')" names/raw-link; ln -s ../../../../etc/passwd names/up; ln -s / names/root; ln -s loop names/loop
truncate -s 64M sparse; printf end >> sparse; printf x > tiny; : > empty; mkdir empty-dir
dd if=/bin/busybox of=big bs=64k count=12 2>/dev/null
find . -depth -exec $T/touch -h -d '2001-02-03 04:05:06.123456789Z' {} +
for t in 1969-12-31T23:59:58.500000001Z 1970-01-01T00:00:00Z 2038-01-19T03:14:08.000000001Z 2250-01-01T00:00:00.999999999Z; do : > times/$t; $T/touch -d $t times/$t; done
$T/touch -d '2001-02-03 04:05:06.123456789Z' times
`;

/** The upper layer: what is gone, hidden, replaced or changed in one attribute only. */
const UPPER = `
set -e
cd t
long=$(printf '%0120d' 0)
name255=$(printf '%0255d' 0)
rm -r gone kept/deep f2gone l2gone "del
nl" "del-ü" .wh $name255 hgone1
rm -r opaque; mkdir opaque; echo 2 > opaque/same; mkdir opaque/keptname; echo 2 > opaque/keptname/new
rm -r d2f d2l d2d d2c f2d f2l f2p l2d l2f p2f dev2f
echo file > d2f; ln -s whole d2l; mkdir -p d2d/y; echo y > d2d/y/file; mknod d2c c 1 7
mkdir f2d; echo in > f2d/in; ln -s whole f2l; mkfifo f2p; mkdir l2d; echo in > l2d/in; echo file > l2f; echo file > p2f; echo file > dev2f
mv swap swapped; mkdir swap; echo s > swap/link; $T/touch -h swapped/link swapped
chmod 0600 chmod; chown 9:2097153 chown; $T/setfattr -x user.gone xattr-later; $T/setfattr -n user.new -v 2 xattr-later
$T/touch -d '2003-03-03 03:03:03.000000003Z' mtime
printf 'REWRITTEN\\n' > rewritten; $T/touch -d '2001-02-03 04:05:06.123456789Z' rewritten
ln -sfn bbbb retarget; $T/touch -h -d '2001-02-03 04:05:06.123456789Z' retarget
ln cross cross2; chmod 1700 special/sticky; echo more >> "$long/$long/$long/$long"
rm "names/new
line"
mv whole/deep/file whole/moved; echo new > new
find . -depth -mtime -1 ! -path './times/*' -exec $T/touch -h -d '2002-02-03 04:05:06.987654321Z' {} +
`;

let rig: Rig;
let registry: DockerRegistry;
let podman: Podman;
let tools: string;
let expected: ReadonlyMap<string, FileAttributes>;
beforeAll(async () => {
  [rig, registry] = await Promise.all([openRig(), openDockerRegistry()]);
  podman = new Podman(rig.root);
  tools = await makeTools(rig.root, ["setcap", "setfattr", "touch"]);
  const plain = join(rig.root, "plain");
  mkdirSync(plain);
  for (const script of [LOWER, UPPER])
    await accepted("/bin/busybox", ["sh", "-c", `umask 022; ${script}`], { cwd: plain, env: { T: tools } });
  expected = await listTree(join(plain, "t"));
});
afterAll(async () => {
  await podman[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

const DOCKERFILE = `FROM busybox
RUN --mount=from=tools,target=/tools --mount=source=lower.sh,target=/lower.sh cd / && T=/tools sh /lower.sh
RUN --mount=from=tools,target=/tools --mount=source=upper.sh,target=/upper.sh cd / && T=/tools sh /upper.sh
`;

/** Builds the hostile image with these flags. */
const build = (...flags: readonly string[]) => {
  const context = rig.context({ Dockerfile: DOCKERFILE, "lower.sh": LOWER, "upper.sh": UPPER }, "hostile");
  return rig.must(["-q", "--build-context", `tools=${tools}`, ...flags, context]);
};

test("the plain disk holds what the test is about", () => {
  const one = (path: string) => expected.get(Buffer.from(path).toString("latin1"));
  const everything = [...expected.values()];
  expect(expected.size).toBeGreaterThan(100);
  expect(new Set(everything.map(({ type }) => type))).toEqual(
    new Set(["dir", "file", "symlink", "fifo", "char", "block"]),
  );
  expect([...expected.keys()].some((path) => path.length > 480)).toBe(true);
  expect(one("xattr/cap")?.xattrs).toHaveProperty(["security.capability"]);
  expect(one("xattr/file")?.xattrs).toMatchObject({ "user.binary": "0x00ff0a3d00" });
  expect(one("owners/4294967294")?.owner).toBe("4294967294:4294967294");
  expect(one("special/suid")?.mode).toBe("4755");
  expect(one("times/1969-12-31T23:59:58.500000001Z")?.mtime).toBe("-1499999999");
  expect(one("hard1")?.links).toHaveLength(3);
  expect(one("names/ünï-日本-🙂")?.type).toBe("file");
  expect([one("d2f"), one("f2d"), one("d2l"), one("l2d"), one("gone")].map((file) => file?.type)).toEqual([
    "file",
    "dir",
    "symlink",
    "dir",
    undefined,
  ]);
});

test("the comparison sees one changed attribute", async () => {
  const changed = join(rig.root, "changed");
  await accepted("cp", ["-a", join(rig.root, "plain/t"), changed]);
  const spoil = `chmod 0601 chmod; chown 9:9 chown; setfattr -n user.new -v 3 xattr-later; touch -d @1.000000001 mtime
    echo other > rewritten; ln -sfn cccc retarget; cp -a hard1 h && mv h hard1; rm new; mkdir newer; rm special/null; mknod special/null c 1 5`;
  await accepted("sh", ["-ec", spoil], { cwd: changed });
  const wrong = differences(expected, await listTree(changed));
  for (const line of [
    '"chmod": mode: "600" → "601"',
    '"chown": owner: "9:2097153" → "9:9"',
    '"xattr-later": xattrs: {"user.new":"0x32"} → {"user.new":"0x33"}',
    '"mtime": mtime: "1046660583000000003" → "1000000001"',
    '"rewritten": content: ',
    '"retarget": target: "bbbb" → "cccc"',
    '"hard1": links: ["hard/3","hard1","hard2"] → none',
    '"new" is missing',
    '"newer" should not be there',
    '"special/null": device: "259" → "261"',
  ])
    expect(wrong.join("\n")).toContain(line);
});

test("T11–T18: RUN → layers → registry → podman: every attribute is equal", async () => {
  const layout = join(rig.root, "layout");
  const reference = `${registry.host}/hostile:1`;
  await build("-t", reference, "--push", "-o", `type=oci,tar=false,dest=${layout}`);
  await podman.pull(reference);
  const mounted = await podman.mount(reference);
  const wrong = differences(expected, await listTree(join(mounted, "t")));
  // podman knows no time before 1970 (containers/storage, "chtimes"); umoci, below, sees it.
  expect(wrong).toEqual(['"times/1969-12-31T23:59:58.500000001Z": mtime: "-1499999999" → "0"']);
  // S62, T21: what was mounted for the steps left nothing but what every runtime leaves on an empty base.
  expect(readdirSync(mounted).sort()).toEqual(["bin", "dev", "etc", "proc", "sys", "t", "tmp"]);
});

test("umoci unpacks the same tree from the layout", async () => {
  const bundle = join(rig.root, "bundle");
  await accepted("umoci", ["unpack", "--image", `${join(rig.root, "layout")}:1`, bundle]);
  expect(differences(expected, await listTree(join(bundle, "rootfs/t")))).toEqual([]);
});

test("T18, pain 36: a sparse file of more than 8 GiB is packed in seconds, and GNU tar reads it", async () => {
  const layout = join(rig.root, "big");
  const context = rig.context({ Dockerfile: "FROM busybox\nRUN truncate -s 8G /big && printf end >> /big\n" });
  await rig.must(["-q", "-t", "big:1", "-o", `type=oci,tar=false,dest=${layout},compression=zstd`, context]);
  const blobs = readdirSync(join(layout, "blobs/sha256")).map((name) => join(layout, "blobs/sha256", name));
  const layer = blobs.find((path) => readFileSync(path).readUInt32LE(0) === 0xfd2fb528)!;
  const tar = spawn(
    "tar",
    ["-x", "-b", "2048", "--to-command", 'echo "$TAR_FILENAME $TAR_SIZE" && tail -c 4 | od -An -c'],
    {
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  const [said] = await Promise.all([
    text(tar.stdout),
    pipeline(createReadStream(layer), createZstdDecompress({ chunkSize: 1 << 20 }), tar.stdin),
  ]);
  expect(said.replace(/\s+/g, " ")).toBe("big 8589934595 \\0 e n d ");
});

test("tsbuild reads its own layers back: FROM the image, out as a tar, unpacked by GNU tar", async () => {
  const context = rig.context({
    Dockerfile: "FROM hostile\nRUN echo 2 >> /t/new && $$".replace("$$", "touch -r /t/rewritten /t/new") + "\n",
  });
  const other = join(rig.root, "other-store");
  const archive = join(rig.root, "back.tar");
  const layout = `hostile=oci-layout://${join(rig.root, "layout")}:1`;
  await rig.must(["-q", "--build-context", layout, "-o", `type=tar,dest=${archive}`, context], {
    env: { TSBUILD_ROOT: other },
  });
  const unpacked = join(rig.root, "back");
  mkdirSync(unpacked);
  await accepted("tar", ["-xpf", archive, "--xattrs", "--xattrs-include=*", "--numeric-owner", "-C", unpacked]);
  const wrong = differences(expected, await listTree(join(unpacked, "t")));
  expect(wrong.filter((line) => !line.startsWith('"new": '))).toEqual([]);
});
