// Flags, arguments and their number, instruction by instruction: reference L09–L13, P04, F01, O10–O15. Whole files are in fixtures/dockerfiles.
import { expect, test } from "vitest";
import type { ParseResult } from "../../../src/frontend/ast.ts";
import { parseDockerfile } from "../../../src/frontend/parser.ts";

function parse(text: string): ParseResult {
  return parseDockerfile({ path: "Dockerfile", text });
}

function messages(text: string): readonly string[] {
  return parse(text).diagnostics.map(({ message }) => message);
}

test.each([
  ['["a"] x', false],
  ['["a"]]', false],
  ['["a",]', false],
  ["['a']", false],
  ['["\\q"]', false],
  ['["a" "b"]', false],
  [' [ "a" , "b" ] ', true],
  ['["\\u00e9"]', true],
  ["[]", true],
])("L11: %j is a list in JSON: %s", (text, isJson) => {
  const kindOf = (line: string): string | undefined => {
    const node = parse(`FROM a\n${line}\n`).dockerfile.stages[0]!.instructions[0];
    return node?.kind === "cmd" || node?.kind === "entrypoint" || node?.kind === "run" ? node.command.kind : undefined;
  };
  for (const name of ["RUN", "CMD", "ENTRYPOINT"]) expect(kindOf(`${name} ${text}`)).toBe(isJson ? "exec" : "shell");
  const check = parse(`FROM a\nHEALTHCHECK CMD ${text}\n`).dockerfile.stages[0]!.instructions[0];
  if (text !== "[]") expect(check?.kind === "healthcheck" && check.command?.kind).toBe(isJson ? "exec" : "shell");
  const isShell = messages(`FROM a\nSHELL ${text}\n`).every((message) => !message.includes("JSON form"));
  expect(isShell).toBe(isJson);
});

/** What is wrong with one line below a FROM. */
const problems = (line: string): readonly string[] =>
  messages(`FROM a\n${line}\n`).map((message) => message.replace("dockerfile parse error on line 2: ", ""));

test.each([
  ["COPY --fro=x a b", ["unknown flag: --fro"]],
  ["COPY --from=x --from=y a b", ["duplicate flag specified: --from"]],
  ["COPY --exclude=x --exclude=y --link --parents a b", []],
  ["COPY --from a b", ["missing a value on flag: --from"]],
  ["COPY --link=maybe a b", ["expecting boolean value for flag --link, not: maybe"]],
  ["COPY --link= a b", ["missing a value on flag: --link"]],
  ["COPY --link=TRUE --parents=False a b", []],
  ["HEALTHCHECK --", ["HEALTHCHECK requires at least one argument"]],
  ["RUN -- --x", []],
  ["RUN --network= x", ['invalid network mode ""']],
  ["RUN --=x y", ["unknown flag: --"]],
  ["RUN --NETWORK=none x", ["unknown flag: --NETWORK"]],
  ["RUN --net\\work=none x", []],
  ["RUN --network='no''ne' -- --x", []],
  ['RUN "--network=bad" x', []],
  ['RUN --network="no x', ['invalid network mode "no x"']],
  ["COPY --link=1 a b", ["expecting boolean value for flag --link, not: 1"]],
  ["HEALTHCHECK CMD --interval=1 x", []],
])("L09, L10: %s", (line, expected) => {
  expect(problems(line)).toEqual(expected);
});

test.each([
  ["ENV a=b c", [`Syntax error - can't find = in "c". Must be of the form: name=value`]],
  ["LABEL a=b c", [`Syntax error - can't find = in "c". Must be of the form: name=value`]],
  ["ENV a", ["ENV must have two arguments"]],
  ["LABEL a", ["LABEL must have two arguments"]],
  // The word is quoted as Go quotes it
  [
    'ENV a=b "c\u00e9\u200b"',
    [`Syntax error - can't find = in "\\"c\u00e9\\u200b\\"". Must be of the form: name=value`],
  ],
  ["ENV =b", ["ENV names can not be blank"]],
  ["LABEL =b", ["LABEL names can not be blank"]],
  ["ENV a b=c", []],
  ["ONBUILD ENV =b", []],
])("L13: %s", (line, expected) => {
  expect(problems(line)).toEqual(expected);
});

test("L13: what has no = in its first word is one name and the rest of the line, as it is", () => {
  const node = parse('FROM a\nENV k  "v"  w=x \n').dockerfile.stages[0]!.instructions[0];
  expect(node?.kind === "env" && node.pairs.map(({ key, value }) => [key.text, value?.text])).toEqual([
    ["k", '"v"  w=x'],
  ]);
});

test.each([
  ["ENV a", "ENV must have two arguments"],
  ["LABEL a=b c", `Syntax error - can't find = in "c". Must be of the form: name=value`],
  ["HEALTHCHECK FOO [1]", "when using JSON array syntax, arrays must be comprised of strings only"],
  ["HEALTHCHECK CMD [1]", "when using JSON array syntax, arrays must be comprised of strings only"],
  ["ONBUILD RUN [1]", "when using JSON array syntax, arrays must be comprised of strings only"],
  ["RUN <<E", "unterminated heredoc"],
])("L08: of what it finds while it takes the lines apart BuildKit says no line: %s", (line, message) => {
  expect(messages(`FROM a\n${line}\n`)).toEqual([message]);
});

test.each([
  ["EXPOSE", "EXPOSE requires at least one argument"],
  ["VOLUME []", "VOLUME requires at least one argument"],
  ["SHELL []", "SHELL requires at least one argument"],
  ["ENV", "ENV requires at least one argument"],
  ["LABEL", "LABEL requires at least one argument"],
  ["ARG", "ARG requires at least one argument"],
  ["ONBUILD", "ONBUILD requires at least one argument"],
  ["USER", "USER requires exactly one argument"],
  ["WORKDIR", "WORKDIR requires exactly one argument"],
  ["STOPSIGNAL", "STOPSIGNAL requires exactly one argument"],
  ["MAINTAINER", "MAINTAINER requires exactly one argument"],
  ["SHELL bash", "SHELL requires the arguments to be in JSON form"],
  ["ARG =x", "ARG names can not be blank"],
])("O10, O14, O15: %s", (line, message) => {
  expect(problems(line)).toEqual([message]);
});

test.each([
  ["FROM a as b", []],
  ["FROM a AS b", []],
  ["FROM a aS b", []],
  ["FROM", ["FROM requires either one or three arguments"]],
  ["FROM a b", ["FROM requires either one or three arguments"]],
  ["FROM a is b", ["FROM requires either one or three arguments"]],
  ["FROM a AS b c", ["FROM requires either one or three arguments"]],
  ["FROM a AS b/c", [`invalid name for build stage: "b/c", name can't start with a number or contain symbols`]],
])("F01, F02: %s", (line, expected) => {
  expect(messages(`${line}\n`).map((message) => message.replace("dockerfile parse error on line 1: ", ""))).toEqual(
    expected,
  );
});

test("P04, T42: the escape character joins lines and escapes blanks everywhere, and nothing else does then", () => {
  const nodes = (text: string) => parse(text).dockerfile.stages[0]!.instructions;
  const [env, run, copy] = nodes("# escape=`\nFROM a\nENV x=a` b y=c:\\\nRUN a `\n  b\nCOPY c:\\ d\\\n");
  expect(env?.kind === "env" && env.pairs.map(({ value }) => value?.text)).toEqual(["a` b", "c:\\"]);
  expect(run?.kind === "run" && run.command.kind === "shell" && run.command.text).toBe("a   b");
  expect(copy?.kind === "copy" && copy.dest.text).toBe("d\\");
  expect(messages("# escape=x\nFROM a\n")).toEqual(["invalid escape token 'x' does not match ` or \\"]);
});

test("L12: blanks that end a word: tab, line tabulation and form feed, but no other of Unicode, except in ENV, LABEL and ARG", () => {
  const words = (line: string): readonly string[] => {
    const node = parse(`FROM a\n${line}\n`).dockerfile.stages[0]!.instructions[0];
    if (node?.kind === "expose") return node.ports.map(({ text }) => text);
    if (node?.kind === "volume") return node.paths.map(({ text }) => text);
    if (node?.kind === "arg") return node.args.map(({ key }) => key.text);
    return node?.kind === "user" ? [node.user.text] : [];
  };
  expect(words("EXPOSE 1\t2\v3\f4\u00a05")).toEqual(["1", "2", "3", "4\u00a05"]);
  expect(words("VOLUME 'a b'")).toEqual(["'a", "b'"]);
  expect(words("ARG a\u00a0b 'c d'")).toEqual(["a", "b", "'c d'"]);
  expect(words("USER a  b\tc ")).toEqual(["a  b\tc"]);
});

test.each([
  ["--interval=999999ns CMD x", 'Interval "interval" cannot be less than 1ms'],
  ["--start-period=-1s CMD x", 'Interval "start-period" cannot be less than 1ms'],
  ["--timeout=1 CMD x", 'time: missing unit in duration "1"'],
  ["--start-interval=1x CMD x", 'time: unknown unit "x" in duration "1x"'],
  ["--retries=-1 CMD x", "--retries cannot be negative (-1)"],
  ["--retries=1.5 CMD x", 'strconv.ParseInt: parsing "1.5": invalid syntax'],
  ["--retries=1_0 CMD x", 'strconv.ParseInt: parsing "1_0": invalid syntax'],
  ["CMD", "Missing command after HEALTHCHECK CMD"],
  ["CMD []", "Missing command after HEALTHCHECK CMD"],
  ['CMD["x"]', 'Unknown type "CMD[\\"X\\"]" in HEALTHCHECK (try CMD)'],
  ["NONE x", "HEALTHCHECK NONE takes no arguments"],
  ['NONE ["x"]', "HEALTHCHECK NONE takes no arguments"],
])("O11: HEALTHCHECK %s", (line, message) => {
  expect(problems(`HEALTHCHECK ${line}`)).toEqual([message]);
});

test("O11: limits of a HEALTHCHECK, which NONE does not look at", () => {
  const check = (text: string) => {
    expect(problems(`HEALTHCHECK ${text}`)).toEqual([]);
    const node = parse(`FROM a\nHEALTHCHECK ${text}\n`).dockerfile.stages[0]!.instructions[0];
    if (node?.kind !== "healthcheck") return undefined;
    const { command, interval, timeout, startPeriod, startInterval, retries } = node;
    return [command?.kind, Number(interval), Number(timeout), Number(startPeriod), Number(startInterval), retries];
  };
  expect(check("--interval=1ms --timeout=2s --start-period=3m --start-interval=1.5h --retries=4 cmd\tx")).toEqual([
    "shell",
    1e6,
    2e9,
    180e9,
    5400e9,
    4,
  ]);
  expect(check("--interval=0 --timeout=0s --retries= --start-period= CMD x")).toEqual(["shell", 0, 0, 0, 0, 0]);
  expect(check('CMD [""]')).toEqual(["exec", 0, 0, 0, 0, 0]);
  for (const text of ["none", "NONE []", "--interval=5s NONE", "--interval=1ns --retries=-1 NONE"])
    expect(check(text)).toEqual([undefined, 0, 0, 0, 0, 0]);
});

test("O11: --retries is an int32, not negative", () => {
  const retries = (text: string) => messages(`FROM a\nHEALTHCHECK --retries=${text} CMD x\n`);
  for (const text of ["2147483647", "+3", "0"]) expect(retries(text)).toEqual([]);
  for (const text of ["2147483648", "-2147483649"])
    expect(retries(text)).toEqual([
      `dockerfile parse error on line 2: strconv.ParseInt: parsing "${text}": value out of range`,
    ]);
});

test.each([
  ["//  Syntax = foo/bar x", "foo/bar"],
  ["#\tsyntax\t=\tfoo/baz z", "foo/baz"],
  ["# SYNTAX=docker/dockerfile/x:1", "docker/dockerfile/x:1"],
  ["#!/bin/x\n# syntax=foo/bar", "foo/bar"],
  ["# syntax=notdocker/dockerfile", "notdocker/dockerfile"],
  ["# syntax=host:5000/docker/dockerfile-upstream:master", undefined],
  ["# syntax=docker/dockerfile@sha256:1 a/b", undefined],
])("P01, P05: %j asks for a frontend that is not there: %s", (line, image) => {
  const found = messages(`${line}\nFROM a\n`).join("\n");
  if (image === undefined) expect(found).toBe("");
  else expect(found).toContain(image);
});

test.each([
  ["\t # escape=`", true],
  ["#escape= `  ", true],
  ["# Escape\t=`", true],
  ["# escape=`\n\n# escape=x", true],
  ["# 1x=2\n# escape=`", false],
  ["#!/bin/x\n# escape=`", false],
  ["# escape=", false],
])("P01, P02, P04: %j makes a backtick the escape character: %s", (line, isEscape) => {
  const { dockerfile, diagnostics } = parse(`${line}\nFROM a\nENV x=a\` b\n`);
  const node = dockerfile.stages[0]?.instructions[0];
  expect(node?.kind === "env" && diagnostics.length === 0).toBe(isEscape);
});
