// Which of the named contexts stands for a name: familiar names without ":latest", the platform's own first.
import { expect, test } from "vitest";
import { parsePlatform } from "../../../src/oci/platform.ts";
import { findNamedContext } from "../../../src/plan/named-contexts.ts";

test.each([
  ["the plain one", ["other"], "other", "linux/amd64", "other"],
  ["by its whole name", ["docker.io/library/other:latest"], "other", "linux/amd64", "docker.io/library/other:latest"],
  ["a whole name by the familiar one", ["other"], "docker.io/library/other", "linux/amd64", "other"],
  ["a tag is part of the name", ["other"], "other:1", "linux/amd64", undefined],
  ["a tag is found", ["other", "other:1"], "other:1", "linux/amd64", "other:1"],
  ["the platform's own", ["other", "other::linux/amd64"], "other", "linux/amd64", "other::linux/amd64"],
  ["the platform's own, given first", ["other::linux/amd64", "other"], "other", "linux/amd64", "other::linux/amd64"],
  ["with its variant", ["other", "other::linux/arm/v7"], "other", "linux/arm/v7", "other::linux/arm/v7"],
  ["not of another variant", ["other::linux/arm/v6"], "other", "linux/arm/v7", undefined],
  ["not of another platform", ["other::linux/arm64", "other"], "other", "linux/amd64", "other"],
  ["scratch is nothing else", ["scratch", "SCRATCH"], "scratch", "linux/amd64", undefined],
  ["context is no name of one", ["context"], "context", "linux/amd64", undefined],
  ["in any case", ["context", "scratch"], "Context", "linux/amd64", undefined],
])("X05: %s", (_what, given, name, platform, expected) => {
  const contexts = new Map(given.map((one) => [one, { kind: "local" } as const]));
  expect(findNamedContext(contexts, name, parsePlatform(platform)!)?.name).toBe(expected);
});
