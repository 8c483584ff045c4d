// What golden files do not show: spans, recovery, triggers, robustness, speed.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { spaceClass } from "../../../grammar/dockerfile.lexer.ts";
import { excerptOfLines } from "../../../src/diagnostics/render.ts";
import { positionAt, spanText, type SourceFile, type Span } from "../../../src/diagnostics/source.ts";
import type { Dockerfile, ParseResult } from "../../../src/frontend/ast.ts";
import { lint } from "../../../src/frontend/lint/lint.ts";
import { parseDockerfile, parseTrigger } from "../../../src/frontend/parser.ts";

function parse(text: string): ParseResult {
  return parseDockerfile({ path: "Dockerfile", text });
}

/** BuildKit's excerpt of the lines of a span. */
function excerptOf({ source, start, end }: Span): string {
  const line = (offset: number): number => positionAt(source, offset).line;
  return excerptOfLines({ source, path: source.path, first: line(start), last: line(Math.max(start, end - 1)) });
}

function messages(text: string): readonly string[] {
  return parse(text).diagnostics.map(({ message }) => message);
}

/** Pieces of Dockerfiles and of what breaks them, so that random texts get past the first line. */
const fragments = [
  ..."FROM busybox AS b|FROM a|RUN |COPY |ADD |ENV |LABEL a=|ARG x|CMD |HEALTHCHECK CMD |ONBUILD |SHELL |EXPOSE 80/|VOLUME ".split(
    "|",
  ),
  ...'--mount=type=cache,target=/x|--from=b|--chown="a b"|--link|<<EOF|<<-"E F"|EOF|\tEOF|E F|["a", "b"]|["a", 1]|[\'a\']|${x:-'.split(
    "|",
  ),
  ..."}|$x|'|\"|\\|`|\\\\|#|# escape=`|# check=skip=all|=|,|a b|é|🚀|\u00a0|\uFEFF|--".split("|"),
  ..."\n~\r\n~\\\n~\\ \t\r\n~\n\n~\n# c\n~ ~\t~\v~\n~\n~\n".split("~"),
  ..."FROM a\\\n AS\\\n\tb\n~COPY --link\\\n a\\\n # c\n b\n~ENV a=b\\\n\n c=d\\\n\n".split("~"),
];
const dockerfiles = fc
  .array(
    fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom(...fragments) },
      { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
    ),
    {
      maxLength: 40,
    },
  )
  .map((parts) => parts.join(""));

/** A node's own span and those of the nodes right below it. */
interface Spanned {
  readonly span: Span;
  readonly text: string | undefined;
  readonly children: readonly Spanned[];
}

function spanned(value: unknown): readonly Spanned[] {
  if (value === null || typeof value !== "object") return [];
  if (Array.isArray(value)) return value.flatMap(spanned);
  const record = value as Readonly<Record<string, unknown>>;
  const below = Object.entries(record)
    .filter(
      ([key]) =>
        key !== "span" &&
        key !== "source" &&
        key !== "bodySpan" &&
        key !== "valueSpan" &&
        key !== "last" &&
        key !== "lines",
    )
    .flatMap(([, child]) => spanned(child));
  const own = ["bodySpan", "valueSpan"].flatMap((key) => {
    const span = record[key] as Span | undefined;
    return span === undefined ? [] : [{ span, text: undefined, children: [] }];
  });
  if (record["span"] === undefined) return [...below, ...own];
  const isWord = Object.keys(record).sort().join() === "span,text";
  const isHeredoc = record["bodySpan"] !== undefined;
  const text = isWord ? (record["text"] as string) : undefined;
  const node = { span: record["span"] as Span, text, children: isHeredoc ? below : [...below, ...own] };
  return isHeredoc ? [node, ...own] : [node];
}

/** What the raw text of a span stands for: continuations, comments and blank lines inside it dropped. */
function joined(raw: string, escape: string): string {
  const dropped = new RegExp(`^[${spaceClass}]*(?:#|$)`);
  let text = "";
  let isContinued = false;
  for (const line of raw.split("\n")) {
    const bare = line.replace(/\r+$/, "");
    if (isContinued && dropped.test(bare)) continue;
    const end = new RegExp(`(^|[^\\${escape}])\\${escape}[ \\t]*$`).exec(bare);
    isContinued = end !== null;
    text += end === null ? bare : bare.slice(0, end.index) + end[1]!;
  }
  return text;
}

function checkSpans(nodes: readonly Spanned[], within: Span, file: Dockerfile): void {
  for (const { span, text, children } of nodes) {
    expect(span.source).toBe(file.source);
    expect(span.start).toBeGreaterThanOrEqual(within.start);
    expect(span.end).toBeLessThanOrEqual(within.end);
    expect(span.start).toBeLessThanOrEqual(span.end);
    const raw = spanText(span);
    // JSON elements and flag values are decoded, so their text is not what is written
    if (text !== undefined && !raw.startsWith('"') && !/["'\\]/.test(raw.replaceAll(/\\[ \t]*\r*\n/g, ""))) {
      expect(joined(raw, file.escape).trim()).toBe(text.trim());
      // neither end reaches into a continuation
      expect([raw.at(0), raw.at(-1)]).toEqual([text.at(0), text.at(-1)]);
    }
    checkSpans(children, span, file);
  }
}

function whole(source: SourceFile): Span {
  return { source, start: 0, end: source.text.length };
}

function checkFile({ dockerfile, diagnostics }: ParseResult): void {
  const { metaArgs, stages, source } = dockerfile;
  checkSpans(spanned([metaArgs, stages]), whole(source), dockerfile);
  for (const { span } of [...diagnostics, ...lint(dockerfile)]) {
    expect(span.start).toBeGreaterThanOrEqual(0);
    expect(span.end).toBeLessThanOrEqual(source.text.length);
  }
}

/** All spans in the order of the tree. */
function offsets(result: ParseResult): readonly number[] {
  const list: number[] = [];
  const visit = (nodes: readonly Spanned[]): void => {
    for (const { span, children } of nodes) {
      list.push(span.start, span.end);
      visit(children);
    }
  };
  visit(spanned([result.dockerfile.metaArgs, result.dockerfile.stages]));
  return list;
}

describe("properties", () => {
  test("never throws, and every span lies in its parent and slices to its text (L01–L13, H01–H06)", () => {
    fc.assert(
      fc.property(dockerfiles, (text) => {
        checkFile(parse(text));
      }),
      { numRuns: 800 },
    );
  });

  test("arbitrary text never throws", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
        checkFile(parse(text));
        parseTrigger(text, "ONBUILD of x");
      }),
      { numRuns: 250 },
    );
  });

  test("text before a file without directives shifts every span by its length", () => {
    const above = "# a comment\n\n";
    fc.assert(
      fc.property(dockerfiles, (text) => {
        fc.pre(!/^\s*(?:#|\/\/|\{|\uFEFF)/.test(text));
        const plain = offsets(parse(text));
        expect(offsets(parse(above + text))).toEqual(plain.map((offset) => offset + above.length));
      }),
      { numRuns: 250 },
    );
  });

  test("CRLF files have the same nodes at the same lines and columns (L02)", () => {
    fc.assert(
      fc.property(dockerfiles, (text) => {
        fc.pre(!text.includes("\r"));
        const crlf = text.replaceAll("\n", "\r\n");
        const shift = (offset: number): number => offset + text.slice(0, offset).split("\n").length - 1;
        const plain = offsets(parse(text)).map(shift);
        expect(offsets(parse(crlf))).toEqual(plain);
      }),
      { numRuns: 250 },
    );
  });
});

test("O09: VOLUME trims what Go calls blank, which a byte order mark is not", () => {
  const paths = (text: string): unknown => {
    const node = parse(text).dockerfile.stages[0]!.instructions[0];
    return node?.kind === "volume" && node.paths.map((path) => path.text);
  };
  expect(paths('FROM a\nVOLUME [" /b\u00a0", "/c\uFEFF"]\n')).toEqual(["/b", "/c\uFEFF"]);
});

describe("recovery", () => {
  test("every error of a file is reported, in file order", () => {
    const text = "FROM a\nRUM x\nENV k\nCOPY --x a b\nRUN --mount= true\nUSER\n";
    const found = parse(text).diagnostics.map(({ code }) => code);
    expect(found).toEqual([
      "UnknownInstruction",
      "WrongArgumentCount",
      "UnknownFlag",
      "InvalidMount",
      "WrongArgumentCount",
    ]);
  });

  test("an instruction that is wrong does not hide its stage", () => {
    const { dockerfile } = parse("FROM a b\nRUN x\nFROM c\n");
    expect(dockerfile.stages.map(({ from, instructions }) => [from.image.text, instructions.length])).toEqual([
      ["a", 1],
      ["c", 0],
    ]);
  });

  test("L07: files without a stage", () => {
    expect(messages("")).toEqual(["the Dockerfile cannot be empty"]);
    expect(messages("\n# x\n")).toEqual(["file with no instructions"]);
    expect(messages("ARG a\n")).toEqual(["dockerfile contains no stages to build"]);
    expect(messages("RUN a\nRUN b\nFROM c\n")).toEqual(["no build stage in current context"]);
  });

  test("L02: a physical line has at most 65535 bytes, wherever it is", () => {
    const fits = `FROM a\nRUN ${"x".repeat(65531)}\n`;
    expect(messages(fits)).toEqual([]);
    const tooLong = `FROM a\nRUN <<E\n${"é".repeat(32768)}\nE\n`;
    expect(messages(tooLong)).toEqual(["dockerfile line greater than max allowed size of 65535"]);
  });
});

test("P01, P05: the key of a // directive is read in any case, at the start of the line only", () => {
  expect(messages("# see // syntax=example.com/mopy:1\nFROM a\n")).toEqual([]);
  expect(messages("// SYNTAX = example.com/mopy:1\n")).toEqual([
    'the frontend image "example.com/mopy:1" is not supported',
  ]);
});

test.each([
  ["RUN cat <<A<B", []],
  ["RUN echo ${12} <<E\nx\nE", ["x\n"]],
  ["RUN <<-E\n\ta\tb\nE", ["a\tb\n"]],
  ["RUN <<-EF\nE\tF\nEF", ["E\tF\n"]],
  ["RUN <<-E\n E\n\t\tE", [" E\n"]],
  ["RUN cat << E\nx\nE", ["x\n"]],
  ["RUN cat 12<<E\nx\nE", ["x\n"]],
  ['RUN cat <<"a\\b"\nx\na\\b', ["x\n"]],
  ['RUN cat <<"a\\$b"\nx\na$b', ["x\n"]],
  ["RUN cat <<'a\\$b'\nx\na\\$b", ["x\n"]],
  ["RUN cat <<a\\ b\nx\na b", ["x\n"]],
  ["RUN cat ${x//a/b} ${x:-}} <<E\nx\nE", ["x\n"]],
  ["RUN cat ${x:#y} <<E", []],
  ["RUN cat ${x//a} <<E", []],
  ['RUN cat <<""', []],
  ['RUN cat "x <<E', []],
  ['RUN ["cat", "<<E"]', []],
  ["RUN <<E\nx\nE\r\r", ["x\n"]],
])("H01–H03: the heredocs of %j", (text, contents) => {
  const { dockerfile, diagnostics } = parse(`FROM a\n${text}\n`);
  const [node] = dockerfile.stages[0]!.instructions;
  expect(diagnostics).toEqual([]);
  expect(node?.kind === "run" && node.heredocs.map(({ content }) => content)).toEqual(contents);
});

test("L01: a byte order mark anywhere but at the start of the file is text", () => {
  expect(messages("\uFEFFFROM a\n")).toEqual([]);
  expect(messages("FROM a\n\uFEFFRUN x\n")).toEqual([
    "dockerfile parse error on line 2: unknown instruction: \uFEFFRUN",
  ]);
});

test("P02: a directive that nobody knows ends them", () => {
  expect(parse("# foo=bar\n# escape=`\nFROM a\n").dockerfile.escape).toBe("\\");
  expect(parse("# syntax=docker/dockerfile:1\n# escape=`\nFROM a\n").dockerfile.escape).toBe("`");
});

test("P03: each directive stands once", () => {
  for (const line of ["syntax=docker/dockerfile:1", "check=skip=A", "escape=`"])
    expect(messages(`# ${line}\n# ${line}\nFROM a\n`)).toEqual([
      `only one ${line.slice(0, line.indexOf("="))} parser directive can be used`,
    ]);
});

test("P05: what only begins like the name of the Dockerfile frontend is another one", () => {
  expect(messages("# syntax=docker/dockerfile-other:1\nFROM a\n")).toEqual([
    'the frontend image "docker/dockerfile-other:1" is not supported',
  ]);
});

test("P05: a JSON file names its frontend in its key; a broken one, or one without, names none", () => {
  expect(messages('{"syntax": "example.com/mopy:1", "more": [1]}\n')).toEqual([
    'the frontend image "example.com/mopy:1" is not supported',
  ]);
  for (const text of ['{"syntax": "example.com/mopy:1"', '{"image": "x"}', '{"syntax": 1}'])
    expect(messages(`${text}\nFROM a\n`).join()).not.toContain("frontend image");
});

describe("ONBUILD triggers (O12)", () => {
  test.each(["COPY", "VOLUME", "ENTRYPOINT", "SHELL", "HEALTHCHECK CMD", "healthcheck none"])(
    "a list of other things than strings is wrong in %s at once",
    (name) => {
      expect(messages(`FROM a\nONBUILD ${name} ["a", 1]\n`)).toEqual([
        "when using JSON array syntax, arrays must be comprised of strings only",
      ]);
    },
  );

  test("O12: what it is forbidden to be, it is in any case of letters; what is found when it runs is not found now", () => {
    const forbidden = messages("FROM a\nONBUILD onbuild RUN x\nONBUILD maintainer x\nONBUILD From x\n");
    expect(forbidden.map((message) => message.replace(/^dockerfile parse error on line \d: /, ""))).toEqual([
      "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
      "MAINTAINER isn't allowed as an ONBUILD trigger",
      "FROM isn't allowed as an ONBUILD trigger",
    ]);
    for (const trigger of ["ENV =b", "COPY a", "FOO", "EXPOSE x", "USER ${", "RUN --mount=type=x a", "HEALTHCHECK FOO"])
      expect([trigger, messages(`FROM a\nONBUILD ${trigger}\n`)]).toEqual([trigger, []]);
  });

  test("a stored trigger parses back, heredoc included", () => {
    const { dockerfile } = parse("FROM a\nONBUILD RUN --mount=type=cache,target=/c <<E\nmake\nE\n");
    const [node] = dockerfile.stages[0]!.instructions;
    expect(node?.kind === "onbuild" && node.trigger).toBe("RUN --mount=type=cache,target=/c <<E\nmake\nE");
    const { instruction, diagnostics } = parseTrigger(
      node?.kind === "onbuild" ? node.trigger : "",
      "ONBUILD of debian:12",
    );
    expect(diagnostics).toEqual([]);
    expect(instruction).toMatchObject({ kind: "run", heredocs: [{ content: "make\n" }], mounts: [{ type: "cache" }] });
    expect(instruction?.span.source.path).toBe("ONBUILD of debian:12");
  });

  test.each([
    ["", "file with no instructions"],
    ["FROM x", "FROM isn't allowed as an ONBUILD trigger"],
    ["FOO x", "dockerfile parse error on line 1: unknown instruction: FOO"],
    ["RUN a\nRUN b", "an ONBUILD trigger is one instruction"],
  ])("%j is refused", (text, message) => {
    const { diagnostics } = parseTrigger(text, "ONBUILD of x");
    expect(diagnostics.map((diagnostic) => diagnostic.message)).toEqual([message]);
  });
});

describe("cost", () => {
  /** Milliseconds that this thread computed for one call, not waited: other tests share the processors. */
  const costOf = (work: () => unknown, times = 3): number => {
    const before = process.threadCpuUsage();
    for (let i = 0; i < times; i++) work();
    const { user, system } = process.threadCpuUsage(before);
    return (user + system) / 1000 / times;
  };

  const BLOCK =
    'RUN --mount=type=cache,target=/x echo a \\\n  && echo b\nENV a=b c="d e"\nCOPY --from=b a /b\nRUM x\n# comment\nLABEL a b\nCMD ["a", "b"]\n\n';
  const file = (lines: number): string => `FROM a AS b\n${BLOCK.repeat(Math.ceil(lines / 9))}`;

  test("10,000 lines take a few hundredths of a second (bench/parse.ts), errors and continuations included; four times the lines four times that", () => {
    const [some, many] = [file(5_000), file(20_000)];
    parse(some);
    const cost = costOf(() => parse(some), 6);
    expect(cost).toBeLessThan(150);
    // with the square of the lines it would be sixteen
    expect(costOf(() => parse(many), 2) / cost).toBeLessThan(10);
  });

  test("hostile input stays linear", () => {
    const n = 60_000;
    const hostile = [
      `# syntax=${" ".repeat(n)}x`,
      `FROM a\nRUN <<${"${a:-".repeat(n / 5)}`,
      `FROM a\nENV a=${"\\ ".repeat(n)}`,
      `FROM a\nCMD ${"[".repeat(n)}`,
      `FROM a\n${"RUN <<A <<B\n".repeat(2000)}`,
      `FROM a\nRUN ${"\\   ".repeat(n)}x`,
      `FROM a\nCOPY ${"--x ".repeat(4000)}`,
      "\\\n".repeat(n),
    ];
    expect(costOf(() => hostile.map(parse))).toBeLessThan(2000);
  });
});

test("L08: BuildKit's excerpt of an instruction of several lines, and of one", () => {
  const text = "FROM busybox\nRUN --foo a \\\n  b <<EOF\nx\nEOF\nENV x=y\n\n\n#1\n#2\n";
  const { dockerfile } = parse(text);
  expect(excerptOf(dockerfile.stages[0]!.instructions[0]!.span)).toBe(
    [
      "Dockerfile:2",
      "--------------------",
      "   1 |     FROM busybox",
      "   2 | >>> RUN --foo a \\",
      "   3 | >>>   b <<EOF",
      "   4 | >>> x",
      "   5 | >>> EOF",
      "   6 |     ENV x=y",
      "--------------------",
      "",
    ].join("\n"),
  );
  expect(excerptOf(dockerfile.stages[0]!.instructions[1]!.span)).toContain(
    "   4 |     x\n   5 |     EOF\n   6 | >>> ENV x=y\n   7 |     \n   8 |     \n",
  );
});
