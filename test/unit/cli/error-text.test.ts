// Causes below a failure: what they add is shown, what they repeat is not.
import { expect, test } from "vitest";
import { errorText } from "../../../src/cli/error-text.ts";
import { BuildError } from "../../../src/index.ts";

const shown = (message: string, cause: string): string =>
  errorText(new BuildError("source", message, { cause: new Error(cause) }), { color: false, width: 80 }, "0");

test("a system call's error is no cause where its reason has been said in words", () => {
  const denied = "EACCES: permission denied, open '/store/x'";
  expect(shown('cannot read "x": permission denied', denied)).toBe('error: cannot read "x": permission denied\n');
  expect(shown("the store is not readable", denied)).toContain(`  because: ${denied}\n`);
  expect(shown("cannot reach it: connection refused", "connect ECONNREFUSED ::1:5")).not.toContain("because");
});
