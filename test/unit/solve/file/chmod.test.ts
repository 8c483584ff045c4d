import { expect, test } from "vitest";
import { parseChmod } from "../../../../src/solve/file/chmod.ts";

const show = (mode: number): string => mode.toString(8).padStart(4, "0");

test.for([
  // text, mode before, file or directory, mode after
  ["0", 0o755, "file", "0000"],
  ["755", 0o640, "file", "0755"],
  ["04711", 0o640, "dir", "4711"],
  ["u+x", 0o640, "file", "0740"],
  ["+x", 0o640, "file", "0751"],
  ["go-rwx", 0o4777, "file", "4700"],
  ["a=", 0o7777, "file", "1000"],
  ["o=", 0o7777, "file", "7770"],
  ["u=rw,go=r", 0o4777, "file", "0644"],
  ["u=rwX,go=rX", 0o600, "file", "0644"],
  ["u=rwX,go=rX", 0o600, "dir", "0755"],
  ["u=rwX,go=rX", 0o610, "file", "0755"],
  ["-X", 0o755, "file", "0644"],
  ["u-x,+X", 0o700, "file", "0711"],
  ["g=u", 0o640, "file", "0660"],
  ["o=g-w", 0o670, "file", "0675"],
  ["go=u-w", 0o700, "file", "0755"],
  ["o+u", 0o640, "file", "0646"],
  ["u-g", 0o750, "file", "0250"],
  ["u=g+x", 0o040, "file", "0540"],
  ["u+s,g+s,+t", 0o755, "file", "7755"],
  ["u-s", 0o6755, "file", "2755"],
  ["o+s", 0o755, "file", "0755"],
  ["o+t", 0o755, "file", "0755"],
  ["+s", 0o755, "file", "6755"],
  ["u=rws", 0o2755, "file", "6655"],
  ["u+r-w+x", 0o200, "file", "0500"],
] as const)("C11 %s on %o (%s) makes %s", ([text, before, type, after]) => {
  expect(show(parseChmod(text).apply(before, type === "dir"))).toBe(after);
});

test("C11 directories on the way get the permission bits of an octal mode, 0755 otherwise", () => {
  expect(show(parseChmod("4711").parentMode)).toBe("0711");
  expect(show(parseChmod("u=,go=").parentMode)).toBe("0755");
});

test.for(["", "8", "0o755", "77777", "010000"])("C11 %j is no octal mode", (text) => {
  const message = `invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`;
  expect(() => parseChmod(text)).toThrow(expect.objectContaining({ code: "source", message }));
});

test.for(["u+q", "u", "u+x,", ",u+x", "rwx", "+755", "u +x"])("C11 %j is no symbolic mode", (text) => {
  expect(() => parseChmod(text)).toThrow(
    expect.objectContaining({ code: "source", message: `invalid syntax of the chmod parameter '${text}'` }),
  );
});
