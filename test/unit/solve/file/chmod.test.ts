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

// Recorded from docker 28: directories, then files, of these modes.
const BEFORE = [0o000, 0o111, 0o604, 0o640, 0o755, 0o1777, 0o2755, 0o4755, 0o7777];

test.for([
  ["u=s,g=s,o=t", "6000 6000 6000 6000 6000 7000 6000 6000 7000", "6000 6000 6000 6000 6000 7000 6000 6000 7000"],
  ["g+s", "2000 2111 2604 2640 2755 3777 2755 6755 7777", "2000 2111 2604 2640 2755 3777 2755 6755 7777"],
  ["u+t", "1000 1111 1604 1640 1755 1777 3755 5755 7777", "1000 1111 1604 1640 1755 1777 3755 5755 7777"],
  ["o=t", "0 110 600 640 750 1770 2750 4750 7770", "0 110 600 640 750 1770 2750 4750 7770"],
  ["a=rX", "555 555 555 555 555 1555 555 555 1555", "444 555 444 444 555 1555 555 555 1555"],
  ["u=,+X", "111 111 115 151 155 1177 2155 155 3177", "0 111 4 40 155 1177 2155 155 3177"],
  ["g=uX", "10 111 674 670 775 1777 2775 4775 7777", "0 111 664 660 775 1777 2775 4775 7777"],
  ["ug=rwXo", "0 111 444 0 555 1777 555 555 1777", "0 111 444 0 555 1777 555 555 1777"],
  ["o-u", "0 110 600 640 750 1770 2750 4750 7770", "0 110 600 640 750 1770 2750 4750 7770"],
  ["u=rwgo", "0 111 404 40 555 1777 2555 555 3777", "0 111 404 40 555 1777 2555 555 3777"],
  ["+rX-w=o", "555 555 555 555 555 1555 2555 4555 7555", "444 555 444 444 555 1555 2555 4555 7555"],
  ["u-X,o+t", "0 11 604 640 655 1677 2655 4655 7677", "0 11 604 640 655 1677 2655 4655 7677"],
  ["g=t", "1000 1101 1604 1600 1705 1707 1705 5705 5707", "1000 1101 1604 1600 1705 1707 1705 5705 5707"],
  ["ugo=u", "0 111 666 666 777 1777 2777 4777 7777", "0 111 666 666 777 1777 2777 4777 7777"],
  ["go=g+X", "11 111 611 655 755 1777 2755 4755 7777", "0 111 600 644 755 1777 2755 4755 7777"],
  ["o=s+x", "1 111 601 641 751 1771 2751 4751 7771", "1 111 601 641 751 1771 2751 4751 7771"],
  ["a-st", "0 111 604 640 755 777 755 755 777", "0 111 604 640 755 777 755 755 777"],
  ["-t", "0 111 604 640 755 777 2755 4755 6777", "0 111 604 640 755 777 2755 4755 6777"],
  ["o-t", "0 111 604 640 755 1777 2755 4755 7777", "0 111 604 640 755 1777 2755 4755 7777"],
  ["uo=xs", "4101 4111 4101 4141 4151 5171 6151 4151 7171", "4101 4111 4101 4141 4151 5171 6151 4151 7171"],
] as const)("C11 %s on directories and files of every kind", ([text, directories, files]) => {
  const after = (isDirectory: boolean): string =>
    BEFORE.map((mode) => parseChmod(text).apply(mode, isDirectory).toString(8)).join(" ");
  expect(after(true)).toBe(directories);
  expect(after(false)).toBe(files);
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
