// ADD of URLs: names, times, checksums, secrets, what is unpacked; and a mount that reads nothing.
import { createHash } from "node:crypto";
import { chownSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { SourceRig } from "../../support/source-rig.ts";
import { makeCertificate, makeTar, openSite } from "../../support/site.ts";

const sources = new SourceRig();

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

describe("ADD of a URL", () => {
  const page = { body: "hello\n", headers: { etag: '"1"', "last-modified": "Wed, 21 Oct 2015 07:28:00 GMT" } };

  test("AD03: name, mode 0600, time of the server; an unchanged one costs one HEAD and no step", async () => {
    sources.site.pages.set("/dir/a%20file", page);
    const context = sources.dockerfile(
      `FROM scratch\nADD ${sources.site.base}/dir/a%20file?x=1#y /dl/\nADD ${sources.site.base}/dir/a%20file /as\n`,
    );
    const out = await sources.files([context]);
    for (const path of ["dl/a file", "as"]) {
      const stat = statSync(join(out, path));
      expect([stat.mode & 0o7777, stat.uid, stat.gid, stat.mtimeMs]).toEqual([0o600, 0, 0, 1445412480000]);
      expect(readFileSync(join(out, path), "utf8")).toBe("hello\n");
    }
    sources.site.takeRequests();
    expect(new Set(Object.values(await sources.outcomes([context])))).toEqual(new Set(["cached"]));
    expect(sources.site.takeRequests()).toEqual(["HEAD /dir/a%20file", "HEAD /dir/a%20file"]);
    sources.site.pages.set("/dir/a%20file", { ...page, body: "other\n", headers: { etag: '"2"' } });
    expect(Object.values(await sources.outcomes([context]))).toEqual(["ran", "ran"]);
    expect(statSync(join(await sources.files([context]), "as")).mtimeMs).toBe(0);
  });

  test("AD03: a URL without a name, and one that is fetched by two steps once", async () => {
    sources.site.pages.set("/", { body: "index" });
    const out = await sources.files([
      sources.dockerfile(`FROM scratch\nADD ${sources.site.base}/ /a/\nADD ${sources.site.base}/ /b/\n`),
    ]);
    expect(readFileSync(join(out, "b/__unnamed__"), "utf8")).toBe("index");
    expect(sources.site.takeRequests()).toEqual(["GET /"]);
  });

  test("AD04: with a checksum a second build asks nobody, even where the download was lost", async () => {
    sources.site.pages.set("/f", page);
    const context = sources.dockerfile(
      `FROM scratch\nADD --checksum=sha256:${sha256("hello\n")} ${sources.site.base}/f /f\n`,
    );
    await sources.rig.must([context]);
    expect(sources.site.takeRequests()).toEqual(["GET /f"]);
    sources.site.pages.clear();
    rmSync(join(sources.rig.store, "sources"), { recursive: true });
    await sources.rig.must([context]);
    expect(sources.site.takeRequests()).toEqual([]);
  });

  test("Q04, T8: a file by its content, name, mode and owner; not by its URL", async () => {
    const steps = async (path: string, name = "f"): Promise<string> => {
      const context = sources.dockerfile(`FROM busybox\nADD ${sources.site.base}/${path}/${name} /x/\n`);
      return Object.entries(await sources.outcomes([context])).find(([step]) => step.includes("] ADD "))?.[1] ?? "";
    };
    const headers = { "last-modified": "Wed, 21 Oct 2015 07:28:00 GMT" };
    sources.site.pages.set("/one/f", { body: "q04", headers });
    sources.site.pages.set("/two/f", { body: "q04", headers });
    sources.site.pages.set("/two/g", { body: "q04", headers });
    sources.site.pages.set("/three/f", { body: "q04 changed", headers });
    expect([await steps("one"), await steps("one"), await steps("two")]).toEqual(["ran", "cached", "cached"]);
    expect([await steps("two", "g"), await steps("three")]).toEqual(["ran", "ran"]);
    /** What `ADD <flags> …/one/f /x` makes of the same bytes: mode, owner, time. */
    const added = async (...flags: string[]): Promise<string> => {
      const context = sources.dockerfile(
        `FROM scratch\nADD ${[...flags, `${sources.site.base}/one/f`].join(" ")} /x\n`,
      );
      // As an image the layer is kept, for a key that is wrong to find it.
      await sources.rig.must([context]);
      const { mode, mtimeMs } = statSync(join(await sources.files([context]), "x"));
      return `${(mode & 0o7777).toString(8)} ${await sources.ownerOf("x", [context])} ${mtimeMs / 1000}`;
    };
    expect(await added()).toBe("600 0/0 1445412480");
    expect(await added("--chmod=0640")).toBe("640 0/0 1445412480");
    expect(await added("--chown=5:6")).toBe("600 5/6 1445412480");
    // As with BuildKit: a new time alone makes another source, whose content the ADD has seen.
    sources.site.pages.set("/one/f", { body: "q04", headers: { "last-modified": "Thu, 22 Oct 2015 07:28:00 GMT" } });
    expect(await added()).toBe("600 0/0 1445412480");
  });

  test("AD04: another content is refused at its line, and nothing of it is kept", async () => {
    sources.site.pages.set("/f", page);
    const wrong = `sha256:${"0".repeat(64)}`;
    await sources.fails([sources.dockerfile(`FROM scratch\nADD --checksum=${wrong} ${sources.site.base}/f /f\n`)], 1, [
      `digest mismatch for ${sources.site.base}/f: sha256:${sha256("hello\n")} (expected: ${wrong})`,
      "Dockerfile:2",
      "   2 | >>> ADD",
      "if you trust the file: --checksum=sha256:",
    ]);
  });

  test("AD05: secrets for a host, and what is said without them", async () => {
    sources.site.pages.set("/p", { body: "private", authorization: "Bearer s3cr3t" });
    sources.site.pages.set("/h", { body: "private", authorization: "Basic abc" });
    const context = sources.dockerfile(`FROM scratch\nADD ${sources.site.base}/p /p\n`);
    await sources.fails([context], 1, ["invalid response status 401", "--secret id=HTTP_AUTH_TOKEN_127.0.0.1"]);
    const token = join(sources.rig.root, "token");
    writeFileSync(token, "s3cr3t\n");
    await sources.files(["--secret", `id=HTTP_AUTH_TOKEN_127.0.0.1,src=${token}`, context]);
    const header = ["--secret", "id=HTTP_AUTH_HEADER_127.0.0.1,env=H"];
    await sources.files([...header, sources.dockerfile(`FROM scratch\nADD ${sources.site.base}/h /h\n`)], {
      env: { H: "Basic abc" },
    });
    const refused = await sources.fails([...header, context], 2, ["cannot be sent as a header"], {
      env: { H: "a\nb s3cr3t" },
    });
    expect(refused.stderr).not.toContain("s3cr3t");
  });

  test("AD03: --unpack opens what was downloaded, and only then", async () => {
    const folder = sources.rig.context({ "deep/er/f": "x", top: "y" });
    chownSync(join(folder, "top"), 12, 34);
    for (const program of ["none", "gzip", "bzip2", "xz", "zstd"] as const)
      sources.site.pages.set(`/${program}`, { body: makeTar(folder, program) });
    const adds = [...sources.site.pages.keys()]
      .map((path) => `ADD --unpack ${sources.site.base}${path} ${path}/\n`)
      .join("");
    const context = sources.dockerfile(`FROM scratch\n${adds}ADD ${sources.site.base}/gzip /kept\n`);
    const out = await sources.files([context]);
    for (const path of sources.site.pages.keys()) {
      expect(readFileSync(join(out, path, "deep/er/f"), "utf8")).toBe("x");
      expect(await sources.ownerOf(`${path.slice(1)}/top`, [context])).toBe("12/34");
    }
    expect(statSync(join(out, "kept")).isFile()).toBe(true);
  });

  test("AD02: directories that an archive only implies are made 0755 where nothing is, and are left as they are elsewhere", async () => {
    const folder = sources.rig.context({ "old/in/f": "", "new/in/f": "" });
    const body = makeTar(folder, "none", [
      "--no-recursion",
      "--owner=7",
      "--group=8",
      "old/in/f",
      "new/in/f",
      "--exclude=.",
    ]);
    sources.site.pages.set("/a", { body });
    const text = `FROM busybox\nRUN mkdir -m 0710 /d /d/old && chown 5:6 /d/old\nADD --unpack ${sources.site.base}/a /d/\nRUN stat -c '%n %a %u:%g' /d/old /d/old/in /d/new /d/new/in /d/new/in/f > /says\n`;
    const out = await sources.files([sources.dockerfile(text)]);
    expect(readFileSync(join(out, "says"), "utf8").split("\n").slice(0, 4)).toEqual([
      "/d/old 710 5:6",
      "/d/old/in 755 0:0",
      "/d/new 755 0:0",
      "/d/new/in 755 0:0",
    ]);
  });

  test("a network that fails is exit status 3, at its line, without credentials", async () => {
    const context = sources.dockerfile("FROM scratch\nADD http://me:hunter2@127.0.0.1:1/x /x\n");
    const { stderr } = await sources.fails([context], 3, [
      "cannot fetch http://xxxxx:xxxxx@127.0.0.1:1/x",
      "connection refused",
      "Dockerfile:2",
      "help:",
    ]);
    expect(stderr).not.toContain("hunter2");
    await sources.fails([sources.dockerfile(`FROM scratch\nADD ${sources.site.base}/gone /x\n`)], 1, [
      "invalid response status 404",
      "Dockerfile:2",
    ]);
  });

  test("--ca-cert is trusted for URLs and for git", async () => {
    const certificate = makeCertificate(sources.rig.context({}));
    await using secure = await openSite(sources.repositories, certificate);
    secure.pages.set("/f", { body: "tls" });
    sources.repository("tls").commit({ g: "git" });
    const context = sources.dockerfile(`FROM scratch\nADD ${secure.base}/f /f\nADD ${secure.base}/tls.git /g/\n`);
    await sources.fails([sources.dockerfile(`FROM scratch\nADD ${secure.base}/f /f\n`)], 3, [
      "self-signed",
      "--ca-cert FILE",
    ]);
    await sources.fails([sources.dockerfile(`FROM scratch\nADD ${secure.base}/tls.git /f\n`)], 3, [
      "certificate",
      "--ca-cert FILE",
    ]);
    const out = await sources.files(["--ca-cert", certificate.path, context]);
    expect([readFileSync(join(out, "f"), "utf8"), readFileSync(join(out, "g/g"), "utf8")]).toEqual(["tls", "git"]);
  });
});

test("M30: a tmpfs can be read-only, has no source, and takes nothing from where it is from", async () => {
  const run = (mount: string, command: string): string =>
    sources.dockerfile(
      `FROM busybox AS st\nRUN echo no > /ran\nFROM busybox\nRUN --mount=type=tmpfs,target=/t${mount} ${command}\n`,
    );
  await sources.rig.must([run(",ro", "! touch /t/x && grep ' /t tmpfs ro' /proc/mounts")]);
  await sources.rig.must([run(",ro=false", "touch /t/x")]);
  const steps = await sources.outcomes([run(",from=st", '[ -z "$(ls /t)" ]')]);
  expect(Object.keys(steps).filter((name) => name.includes("echo no"))).toEqual([]);
  await sources.fails([run(",from=127.0.0.1:1/no/such", "true")], 3, ["127.0.0.1:1"]);
  await sources.fails([run(",source=/sub", "true")], 1, [
    "open /sub: no such file or directory",
    "leave source out",
    "Dockerfile:4",
  ]);
});
