// What needs real privileges, real attributes and other processes.
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lsetxattr } from "../../../src/base/libc.ts";
import { openLocalTree } from "../../../src/source/local.ts";

const SOURCE = resolve(import.meta.dirname, "../../../src/source/local.ts");
let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tsbuild-local-"));
  chmodSync(root, 0o755);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test("C09: attributes of users are carried, those of the host are not, and the index remembers them", async () => {
  mkdirSync(join(root, "context/d"), { recursive: true });
  writeFileSync(join(root, "context/d/f"), "x");
  lsetxattr(join(root, "context/d/f"), "user.kept", Buffer.from("1"));
  lsetxattr(join(root, "context/d/f"), "user.overlay.opaque", Buffer.from("y"));
  lsetxattr(join(root, "context/d/f"), "trusted.other", Buffer.from("y"));
  lsetxattr(join(root, "context/d"), "user.dir", Buffer.from("2"));
  for (const hashed of [1, 0]) {
    const nowMs = (): number => Date.now() + 60_000;
    await using tree = await openLocalTree({ root: join(root, "context"), indexPath: join(root, "index"), nowMs });
    const entries = new Map([...(await tree.walk(""))].map((entry) => [entry.path, entry.xattrs]));
    expect(tree.counts.hashedFiles).toBe(hashed);
    expect(entries.get("d/f")).toEqual({ "user.kept": new Uint8Array([49]) });
    expect(entries.get("d")).toEqual({ "user.dir": new Uint8Array([50]) });
    expect(entries.get("")).toBeUndefined();
  }
});

test("what may not be read is named, with a remedy", () => {
  mkdirSync(join(root, "context/private"), { recursive: true });
  writeFileSync(join(root, "context/secret"), "x");
  chmodSync(join(root, "context/secret"), 0o000);
  chmodSync(join(root, "context/private"), 0o000);
  const script = `
    const { openLocalTree } = await import(${JSON.stringify(SOURCE)});
    const tree = await openLocalTree({ root: ${JSON.stringify(join(root, "context"))} });
    for (const path of ["private", "secret"])
      await tree.walk(path).catch((error) => console.log(error.code, error.message, "|", error.help));
  `;
  const remedy = "make it readable for the user who builds, or name it in .dockerignore";
  // Root without the right to read everything, so that the checkout itself stays readable wherever it is.
  const weaken = ["--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-dac_override,-dac_read_search"];
  const node = [process.execPath, "--input-type=module", "-e", script];
  const out = execFileSync("setpriv", [...weaken, ...node], { encoding: "utf8" });
  expect(out.trim().split("\n")).toEqual([
    `source cannot read directory "private": permission denied | ${remedy}`,
    `source cannot read "secret": permission denied | ${remedy}`,
  ]);
});

test("writers of one index at the same time leave a whole one", async () => {
  const context = join(root, "context");
  mkdirSync(context);
  for (let i = 0; i < 200; i++) writeFileSync(join(context, `f${i}`), String(i));
  const open = { root: context, indexPath: join(root, "index") };
  const walk = async (): Promise<number> => {
    await using tree = await openLocalTree({ ...open, nowMs: () => Date.now() + 60_000 });
    await tree.walk("");
    return tree.counts.hashedFiles;
  };
  await Promise.all(Array.from({ length: 8 }, walk));
  expect(await walk()).toBe(0);
});
