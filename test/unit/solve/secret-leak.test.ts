// Pain 26: what a step wrote is searched for its secrets.
import { chmodSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { RootfsView } from "../../../src/rootfs/view.ts";
import { findLeak, type MountedSecret, type SecretLeak } from "../../../src/solve/secret-leak.ts";
import type { LayerEntry } from "../../../src/tree/entry.ts";

let upperDir: string;
beforeEach(() => {
  upperDir = mkdtempSync(join(tmpdir(), "tsbuild-leak-"));
});
afterEach(() => rmSync(upperDir, { recursive: true, force: true }));

const VALUE = "s3cr3t/value+x?y";
const secret = (value: string | Uint8Array): MountedSecret => ({ id: "t", value: Buffer.from(value) });
const signal = new AbortController().signal;

const search = (value: string | Uint8Array = `${VALUE}\n`, below: readonly LayerEntry[] = []) => {
  const layer = {
    entries: () => Promise.resolve(below),
    locate: ({ bytes }: { bytes?: unknown }) => Promise.resolve(bytes as never),
  };
  return findLeak({
    upperDir,
    below: new RootfsView([layer]),
    secrets: [secret(value)],
    xattrNamespace: "trusted",
    signal,
  });
};

const write = (path: string, data: string | Uint8Array): void => writeFileSync(join(upperDir, path), data);
const leak = (path: string, part: SecretLeak["part"] = "content"): SecretLeak => ({ id: "t", path, part });

test.each([
  ["as it is", VALUE],
  ["in base64", Buffer.from(`${VALUE}\n`).toString("base64")],
  ["inside of a longer base64, one byte on", Buffer.from(`u${VALUE}@host`).toString("base64")],
  ["inside of a longer base64, two bytes on", Buffer.from(`u:${VALUE}@host`).toString("base64")],
  ["inside of a longer base64url, three bytes on", Buffer.from(`u::${VALUE}@host`).toString("base64url")],
  ["URL-encoded", encodeURIComponent(VALUE)],
])("pain 26: the value is found %s", async (_, text) => {
  mkdirSync(join(upperDir, "etc"));
  write("etc/a", "nothing here");
  expect(await search()).toBeUndefined();
  write("etc/conf", `token=${text}&`);
  expect(await search()).toEqual(leak("etc/conf"));
});

test("pain 26: the value is found in names and link targets, and once for a file of two names", async () => {
  const value = "plain-secret-value";
  write(`x-${value}`, "");
  expect(await search(value)).toEqual(leak(`x-${value}`, "name"));
  rmSync(join(upperDir, `x-${value}`));
  symlinkSync(`/home/${value}`, join(upperDir, "link"));
  expect(await search(value)).toEqual(leak("link", "link target"));
  rmSync(join(upperDir, "link"));
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
