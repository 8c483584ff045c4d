import { expect, test } from "vitest";
import { maskUsers, redactUrls, redactUsers } from "../../../src/base/url-text.ts";

test("credentials of URLs are not shown", () => {
  expect(redactUrls("fatal: https://user:p@ss@h/x and ssh://git@h/y")).toBe(
    "fatal: https://xxxxx:xxxxx@h/x and ssh://xxxxx@h/y",
  );
  expect(redactUrls("https://h/x?a=1&X-Amz-Signature=abc&token=t")).toBe(
    "https://h/x?a=1&X-Amz-Signature=xxxxx&token=xxxxx",
  );
  expect(redactUsers("https://h/x?token=t https://tok@h")).toBe("https://h/x?token=t https://xxxxx@h");
  expect(redactUsers('["curl", "https://h", "a@b"]')).toBe('["curl", "https://h", "a@b"]');
  expect(maskUsers("ADD https://me:p@ss@h/x")).toBe("ADD https://xx:xxxx@h/x");
  expect(redactUrls("https://h/@scope/pkg")).toBe("https://h/@scope/pkg");
});
