// Pain 26: what a step wrote is searched for its secrets.
import { chmodSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { RootfsView } from "../../../src/rootfs/view.ts";
import {
  assertNoLeak,
  findLeak,
  type LeakSearch,
  type MountedSecret,
  type SecretLeak,
} from "../../../src/solve/secret-leak.ts";
import type { LayerEntry } from "../../../src/tree/entry.ts";

let upperDir: string;
beforeEach(() => {
  upperDir = mkdtempSync(join(tmpdir(), "tsbuild-leak-"));
});
afterEach(() => rmSync(upperDir, { recursive: true, force: true }));

const VALUE = "s3cr3t/value+x?y";
const secret = (value: string | Uint8Array): MountedSecret => ({ id: "t", value: Buffer.from(value) });
const signal = new AbortController().signal;

const request = (secrets: readonly MountedSecret[], below: readonly LayerEntry[] = []): LeakSearch => {
  const layer = {
    entries: () => Promise.resolve(below),
    locate: ({ bytes }: { bytes?: unknown }) => Promise.resolve(bytes as never),
  };
  return { upperDir, below: new RootfsView([layer]), secrets, xattrNamespace: "trusted", signal };
};
const search = (value: string | Uint8Array = `${VALUE}\n`, below: readonly LayerEntry[] = []) =>
  findLeak(request([secret(value)], below));

const write = (path: string, data: string | Uint8Array): void => writeFileSync(join(upperDir, path), data);
const leak = (path: string, part: SecretLeak["part"] = "content"): SecretLeak => ({ id: "t", path, part });

test.each([
  ["as it is", VALUE],
  ["in base64", Buffer.from(`${VALUE}\n`).toString("base64")],
  ["inside of a longer base64, one byte on", Buffer.from(`u${VALUE}@host`).toString("base64")],
  ["inside of a longer base64, two bytes on", Buffer.from(`u:${VALUE}@host`).toString("base64")],
  ["inside of a longer base64url, three bytes on", Buffer.from(`u::${VALUE}@host`).toString("base64url")],
  ["URL-encoded", encodeURIComponent(VALUE)],
  ["in hexadecimal", Buffer.from(VALUE).toString("hex")],
  ["in hexadecimal, in capitals", Buffer.from(VALUE).toString("hex").toUpperCase()],
])("pain 26: the value is found %s", async (_, text) => {
  mkdirSync(join(upperDir, "etc"));
  write("etc/a", "nothing here");
  expect(await search()).toBeUndefined();
  write("etc/conf", `token=${text}&`);
  expect(await search()).toEqual(leak("etc/conf"));
});

const LONG = `{"user": "me",\r\n "key": "${"k3y/+=".repeat(20)}"}\r\n`;
const lines = (text: string, width: number, start = ""): string =>
  text.replace(new RegExp(`.{1,${width}}`, "g"), `${start}$&\n`);

test.each([
  ["in lines of 76", lines(Buffer.from(LONG).toString("base64"), 76)],
  ["in lines of 64, indented", lines(Buffer.from(LONG).toString("base64"), 64, "    ")],
  ["in lines, inside of a longer base64", lines(Buffer.from(`me:${LONG}:you`).toString("base64"), 76)],
  ["in lines, two bytes on, far into a file", "-".repeat(5e5) + lines(Buffer.from(`xy${LONG}`).toString("base64"), 76)],
  ["in one line", Buffer.from(LONG).toString("base64url")],
  ["with other line ends", LONG.replaceAll("\r\n", "\n")],
  ["as a JSON string", JSON.stringify({ secret: LONG })],
])("pain 26: a long value is found %s", async (_, text) => {
  write("conf", `<${text}>`);
  expect(await search(LONG)).toEqual(leak("conf"));
  write("conf", `<${text.slice(0, text.length / 2)}>`);
  expect(await search(LONG)).toBeUndefined();
});

test("pain 26: the value is found in names and link targets, and once for a file of two names", async () => {
  const value = "plain-secret-value";
  write(`x-${value}`, "");
  expect(await search(value)).toEqual(leak(`x-${value}`, "name"));
  rmSync(join(upperDir, `x-${value}`));
  symlinkSync(`/home/${value}`, join(upperDir, "link"));
  expect(await search(value)).toEqual(leak("link", "link target"));
  rmSync(join(upperDir, "link"));
  mkdirSync(join(upperDir, `a/${VALUE}/b/c`), { recursive: true });
  expect(await search(), "a value with a slash in it is two names").toEqual(leak(`a/${VALUE}`, "name"));
  rmSync(join(upperDir, "a"), { recursive: true });
  write("b", value);
  linkSync(join(upperDir, "b"), join(upperDir, "a"));
  expect(await search(value)).toEqual(leak("a"));
});

test("pain 26: wherever in a file the value stands, it is found, and not where a byte of it is missing", async () => {
  const chunk = 256 * 1024;
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: -40, max: 40 }), fc.integer({ min: 0, max: 2 }), async (shift, chunks) => {
      const at = Math.max(0, chunks * chunk + shift);
      write("f", Buffer.concat([Buffer.alloc(at, "."), Buffer.from(VALUE), Buffer.from("end")]));
      expect(await search()).toEqual(leak("f"));
      write("f", Buffer.concat([Buffer.alloc(at, "."), Buffer.from(VALUE.slice(1)), Buffer.from("end")]));
      expect(await search()).toBeUndefined();
    }),
    { numRuns: 40 },
  );
});

test("pain 26: holes are passed over: 8 TB with the value behind them", async () => {
  write("sparse", "");
  truncateSync(join(upperDir, "sparse"), 8e12);
  expect(await search()).toBeUndefined();
  writeFileSync(join(upperDir, "sparse"), VALUE, { flag: "a" });
  expect(await search()).toEqual(leak("sparse"));
});

test("pain 26: what was there below is not the step's doing, what was added to it is", async () => {
  const attributes = { mode: 0o644, uid: 0, gid: 0, mtimeNs: 0n, type: "file" } as const;
  const below = (text: string): LayerEntry[] => [
    { ...attributes, path: "f", size: text.length, bytes: { kind: "inline", data: Buffer.from(text) } },
  ];
  write("f", `old ${VALUE}`);
  chmodSync(join(upperDir, "f"), 0o600);
  expect(await search(VALUE, below(`old ${VALUE}`))).toBeUndefined();
  expect(await search(VALUE, below("old"))).toEqual(leak("f"));
  // Another form of it, beside the old one, is.
  write("f", `old ${VALUE} ${Buffer.from(VALUE).toString("base64")}`);
  expect(await search(VALUE, below(`old ${VALUE}`))).toEqual(leak("f"));
});

test("pain 26: two secrets, of which one was there below: the other is found", async () => {
  write("f", "first-secret second-secret");
  const data = Buffer.from("first-secret");
  const bytes = { kind: "inline", data } as const;
  const below = [
    { path: "f", type: "file", mode: 0o644, uid: 0, gid: 0, mtimeNs: 0n, size: data.length, bytes } as const,
  ];
  const secrets = ["first-secret", "second-secret"].map((value) => ({ id: value, value: Buffer.from(value) }));
  expect(await findLeak(request(secrets, below))).toEqual({ id: "second-secret", path: "f", part: "content" });
});

test.each([
  ["d-plain-secret-value/file", "/d-***,"],
  [`${Buffer.from("plain-secret-value").toString("base64")}.txt`, "/***.txt,"],
  ["plain-secret-value/plain-secret-value", "/***,"],
])("pain 26: the error names %s without the value", async (path, shown) => {
  mkdirSync(dirname(join(upperDir, path)), { recursive: true });
  write(path, "plain-secret-value");
  const error = await assertNoLeak(request([secret("plain-secret-value")])).catch(String);
  expect(error).toContain(shown);
  expect(error).not.toMatch(/plain-|cGxhaW4/);
});

test("pain 26: lines of a private key stand for it, its first and last line and lines of other secrets do not; short values are not looked for", async () => {
  const body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
  const key = `-----BEGIN PRIVATE KEY-----\n${body}\nq83v\n-----END PRIVATE KEY-----\n`;
  write("pem", `-----BEGIN PRIVATE KEY-----\r\n-----END PRIVATE KEY-----\r\nq83v\r\n`);
  expect(await search(key)).toBeUndefined();
  write("pem", `-----BEGIN PRIVATE KEY-----\r\n${body}\r\n`);
  expect(await search(key)).toEqual(leak("pem"));
  write("npmrc", "registry=https://registry.example.com/npm/\n");
  rmSync(join(upperDir, "pem"));
  expect(await search("registry=https://registry.example.com/npm/\n//registry/:_authToken=abcdef\n")).toBeUndefined();
  write("npmrc", "hunter2");
  expect(await search("hunter2\n")).toBeUndefined();
});
