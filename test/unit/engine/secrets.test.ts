// Files that --secret and --ssh name and that are not there (reference U17).
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readSecret, sshSocketOf } from "../../../src/engine/secrets.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tsbuild-secrets-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const option = { code: "source", details: { culprit: "option" } } as const;

test("U17: a secret's file that is not there is the flag's mistake; what is advised fits what was written", async () => {
  const file = join(folder, "no");
  await expect(readSecret("t", { secrets: [{ id: "t", file }], environment: {} })).rejects.toMatchObject({
    ...option,
    message: `failed to stat ${file}: no such file or directory`,
    summary: `--secret id=t: there is no file ${file}`,
    help: "correct src, a path relative to the directory that you run tsbuild in, or create the file (and keep it out of the context, or in .dockerignore)",
  });
  await expect(readSecret(file, { secrets: [{ id: file }], environment: {} })).rejects.toMatchObject({
    ...option,
    help: "add src=FILE, a path relative to the directory that you run tsbuild in, or create the file (and keep it out of the context, or in .dockerignore)",
  });
});

test("U17: a key that is not there is told in BuildKit's words, before an agent is started", async () => {
  const path = join(folder, "no");
  const openAgent = (): never => {
    throw new Error("an agent was started");
  };
  await expect(
    sshSocketOf("k", { ssh: [{ id: "k", paths: [path] }], environment: {}, openAgent }),
  ).rejects.toMatchObject({
    ...option,
    message: `failed to convert agent config for ID: "k": stat ${path}: no such file or directory`,
    summary: `--ssh k: there is no key or agent socket at ${path}`,
  });
});
