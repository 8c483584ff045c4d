import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MAX_TEXT_SIZE, readDockerfile, readIgnoreFile } from "../../../src/source/dockerfile-file.ts";

let cwd = "";
let contextDir = "";
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), "tsbuild-dockerfile-"));
  contextDir = join(cwd, "app");
  mkdirSync(contextDir);
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

async function* stream(...parts: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield typeof part === "string" ? Buffer.from(part) : part;
}

test("X01: Dockerfile in the context, then dockerfile", async () => {
  writeFileSync(join(contextDir, "dockerfile"), "FROM b\n");
  expect((await readDockerfile({ contextDir, cwd })).source).toEqual({ path: "app/dockerfile", text: "FROM b\n" });
  writeFileSync(join(contextDir, "Dockerfile"), "\uFEFFFROM a\n");
  expect((await readDockerfile({ contextDir, cwd })).source).toEqual({ path: "app/Dockerfile", text: "FROM a\n" });
});

test("X01: -f is relative to the working directory, else to the context", async () => {
  writeFileSync(join(contextDir, "x.Dockerfile"), "FROM context\n");
  expect((await readDockerfile({ file: "x.Dockerfile", contextDir, cwd })).source.text).toBe("FROM context\n");
  writeFileSync(join(cwd, "x.Dockerfile"), "FROM cwd\n");
  const found = await readDockerfile({ file: "x.Dockerfile", contextDir, cwd });
  expect(found).toEqual({ source: { path: "x.Dockerfile", text: "FROM cwd\n" }, path: join(cwd, "x.Dockerfile") });
});

test("X06: the Dockerfile may be a link", async () => {
  writeFileSync(join(cwd, "real"), "FROM a\n");
  symlinkSync("../real", join(contextDir, "Dockerfile"));
  expect((await readDockerfile({ contextDir, cwd })).source.text).toBe("FROM a\n");
});

test("X02: -f - reads the stream", async () => {
  const stdin = stream("FROM ", "a\n");
  expect(await readDockerfile({ file: "-", contextDir, cwd, stdin })).toEqual({
    source: { path: "Dockerfile", text: "FROM a\n" },
    path: undefined,
  });
  await expect(readDockerfile({ file: "-", contextDir, cwd })).rejects.toMatchObject({ code: "usage" });
});

test("X01: a missing one is told in BuildKit's words, with what may have been meant", async () => {
  const message = "failed to read dockerfile: open Dockerfile: no such file or directory";
  await expect(readDockerfile({ contextDir, cwd })).rejects.toMatchObject({ code: "source", message });
  writeFileSync(join(contextDir, "Dockerfil"), "");
  writeFileSync(join(contextDir, "Dockerfile.dockerignore"), "");
  const help = 'did you mean "Dockerfil"? Add -f Dockerfil';
  await expect(readDockerfile({ contextDir, cwd })).rejects.toMatchObject({ message, help });
});

test("X01: a context that is a file, and a Dockerfile that is a link to nothing, are told as what they are", async () => {
  writeFileSync(join(contextDir, "file"), "FROM a\n");
  await expect(readDockerfile({ contextDir: join(contextDir, "file"), cwd })).rejects.toMatchObject({
    message: 'unable to prepare context: path "app/file" not found',
    summary: 'the context "app/file" is a file, not a directory',
    help: expect.stringContaining("-f app/file, and the directory that COPY copies from, app for") as unknown,
  });
  symlinkSync("nowhere", join(contextDir, "Dockerfile"));
  await expect(readDockerfile({ contextDir, cwd })).rejects.toMatchObject({
    message: "failed to read dockerfile: open Dockerfile: no such file or directory",
    summary: `"Dockerfile" in ${contextDir} is a link to what is not there: nowhere`,
  });
});

test("a directory, a huge file and other encodings are refused by name", async () => {
  mkdirSync(join(contextDir, "Dockerfile"));
  await expect(readDockerfile({ contextDir, cwd })).rejects.toMatchObject({
    message: expect.stringContaining("is a directory") as unknown,
  });
  writeFileSync(join(cwd, "latin"), Buffer.from([0x46, 0xe9]));
  await expect(readDockerfile({ file: "latin", cwd })).rejects.toMatchObject({
    message: expect.stringContaining("UTF-8") as unknown,
  });
  writeFileSync(join(cwd, "huge"), Buffer.alloc(MAX_TEXT_SIZE + 1, 35));
  await expect(readDockerfile({ file: "huge", cwd })).rejects.toMatchObject({
    message: expect.stringContaining("larger than 2 MiB") as unknown,
  });
  writeFileSync(join(cwd, "big"), Buffer.alloc(MAX_TEXT_SIZE, 35));
  expect((await readDockerfile({ file: "big", cwd })).source.text).toHaveLength(MAX_TEXT_SIZE);
  const stdin = stream(Buffer.alloc(MAX_TEXT_SIZE), "x");
  await expect(readDockerfile({ file: "-", cwd, stdin })).rejects.toMatchObject({ code: "source" });
});

test("I01: <Dockerfile>.dockerignore beside the Dockerfile wins, without a merge", () => {
  const dockerfile = join(cwd, "ci", "x.Dockerfile");
  mkdirSync(join(cwd, "ci"));
  expect(readIgnoreFile(contextDir, dockerfile)).toBeUndefined();
  writeFileSync(join(contextDir, ".dockerignore"), "a\n");
  expect(readIgnoreFile(contextDir, dockerfile)).toEqual({ path: ".dockerignore", text: "a\n" });
  writeFileSync(`${dockerfile}.dockerignore`, "b\n");
  expect(readIgnoreFile(contextDir, dockerfile)?.text).toBe("b\n");
  expect(readIgnoreFile(contextDir, undefined)?.text).toBe("a\n");
});
