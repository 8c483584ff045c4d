// What an image's registry has instead of it (reference RG22).
import { expect, test } from "vitest";
import { amend, BuildError } from "../../../src/diagnostics/build-error.ts";
import { withTags, type ListTags } from "../../../src/engine/missing-image.ts";
import { parseReference } from "../../../src/oci/reference.ts";

const REFERENCE = parseReference("r.io/team/app:2.1")!;
const MISSING = new BuildError("registry", "r.io/team/app:2.1: not found", {
  summary: "r.io/team/app:2.1 is not in the registry",
  help: "check",
  details: { status: 404 },
});
const { signal } = new AbortController();

function explained(list: ListTags, error: unknown = MISSING, reference = REFERENCE): Promise<unknown> {
  return withTags(error, reference, list, signal);
}

const has =
  (...tags: readonly string[]): ListTags =>
  () =>
    Promise.resolve(tags);
const failing =
  (error: Error): ListTags =>
  async () => {
    throw error;
  };
const unknown = new BuildError("registry", "r.io/team/app:2.1: not found: NAME_UNKNOWN: no such", {
  details: { status: 404 },
});

test.each([
  [["1", "2.0", "3"], 'did you mean "2.0"?'],
  [["1"], "use the only tag that it has: 1"],
  [["1", "3", "4", "5", "6", "7"], "use a tag that it has: 1, 3, 4, 5, 6, …"],
])("RG22: a tag that is not there, among %j", async (tags, help) => {
  expect(await explained(has(...tags))).toMatchObject({
    message: MISSING.message,
    summary: 'r.io/team/app has no tag "2.1"',
    help,
    details: { status: 404 },
  });
});

test("RG22: a repository that is not there", async () => {
  expect(await explained(failing(unknown))).toMatchObject({
    message: MISSING.message,
    summary: "the registry has no repository r.io/team/app",
    help: "check the name for typing errors",
  });
});

test("RG22: where the registry does not say, or only a mirror was asked, the failure stays as it was", async () => {
  expect(await explained(has())).toBe(MISSING);
  expect(await explained(failing(new SyntaxError("no JSON")))).toBe(MISSING);
  expect(await explained(failing(new BuildError("registry", "x: not found", { details: { status: 404 } })))).toBe(
    MISSING,
  );
  expect(await explained(failing(amend(unknown, { cause: new Error("unreachable") })))).toBe(MISSING);
  const ofMirror = amend(MISSING, { cause: new Error("unreachable") });
  expect(await explained(has("1"), ofMirror)).toBe(ofMirror);
});

test("RG22: other failures, and digests, are not asked about", async () => {
  const asked: string[] = [];
  const list: ListTags = ({ tag = "" }) => {
    asked.push(tag);
    return Promise.resolve(["1"]);
  };
  const denied = amend(MISSING, { details: { status: 401 } });
  expect(await explained(list, denied)).toBe(denied);
  expect(await explained(list, MISSING, parseReference(`r.io/a@sha256:${"0".repeat(64)}`))).toBe(MISSING);
  expect(asked).toEqual([]);
});
