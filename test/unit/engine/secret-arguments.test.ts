import { expect, test } from "vitest";
import { noteSecretArguments } from "../../../src/engine/secret-arguments.ts";

const token = (prefix: string, length: number) => prefix + "a1B2".repeat(length / 4);

test.each([
  ["NPM_TOKEN", "x", true],
  ["GITHUB", token("ghp_", 36), true],
  ["GITLAB", token("glpat-", 20), true],
  ["NPM", token("npm_", 36), true],
  ["AWS", "AKIAIOSFODNN7EXAMPLE", true],
  ["URL", "https://me:secret@host/x", true],
  ["PEM", "-----BEGIN OPENSSH PRIVATE KEY-----\nx", true],
  ["URL", "https://host/x", false],
  ["VERSION", "1.2.3", false],
  ["PUBLIC_KEY", "x", false],
  ["NPM_TOKEN", "", false],
  ["HTTPS_PROXY", "http://me:secret@proxy", false],
])("pain 27: --build-arg %s=%s looks like a credential: %s; its value is not repeated", (name, value, isSaid) => {
  const messages: string[] = [];
  noteSecretArguments(new Map([[name, value]]), (event) => {
    if (event.kind === "notice") messages.push(event.message);
  });
  expect(messages).toHaveLength(isSaid ? 1 : 0);
  for (const message of messages) {
    expect(message).toContain(`--build-arg ${name} looks like a credential`);
    if (value.length > 1) expect(message).not.toContain(value);
  }
});
