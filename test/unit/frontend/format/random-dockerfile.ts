// Dockerfiles that parse, in every ugly way of writing them: blanks, continuations, comments, heredocs, quotes, both escapes, both line ends.
import fc from "fast-check";

interface Style {
  readonly escape: string;
  /** What stands between two words. */
  readonly gap: fc.Arbitrary<string>;
  /** Any case of a name. */
  readonly name: (text: string) => fc.Arbitrary<string>;
}

function styleOf(escape: string): Style {
  const blanks = fc.constantFrom(" ", "  ", "\t", " \t ");
  const comment = fc.constantFrom("", "# c\n", "   #inner  \n", "\n", "  \n\n", "# a\n\n  # b\n");
  const broken = fc
    .tuple(fc.constantFrom("", " ", "  "), fc.constantFrom("", "  "), comment, fc.constantFrom("", "  ", "\t"))
    // one blank at least, before or after
    .map(([before, trailing, lines, after]) => `${before || (after ? "" : " ")}${escape}${trailing}\n${lines}${after}`);
  return {
    escape,
    gap: fc.oneof({ weight: 3, arbitrary: blanks }, { weight: 2, arbitrary: broken }),
    name: (text) => fc.constantFrom(text, text.toLowerCase(), text[0]! + text.slice(1).toLowerCase()),
  };
}

/** Parts with gaps between them. */
function joined(style: Style, parts: readonly fc.Arbitrary<string>[]): fc.Arbitrary<string> {
  return fc
    .tuple(fc.tuple(...parts), fc.array(style.gap, { minLength: parts.length, maxLength: parts.length }))
    .map(([texts, gaps]) => texts.map((text, at) => (at === 0 ? text : gaps[at]! + text)).join(""));
}

function list(style: Style, item: fc.Arbitrary<string>, minLength: number): fc.Arbitrary<string> {
  return fc
    .array(fc.tuple(style.gap, item), { minLength, maxLength: minLength + 3 })
    .map((items) => items.map(([gap, text], at) => (at === 0 ? text : gap + text)).join(""));
}

const word = fc.constantFrom("a", "b/c", "x.y", "d-e", "0", "$V", "${V:-w}", "*.txt", "#no");

function shellText({ escape }: Style): fc.Arbitrary<string> {
  const piece = fc.constantFrom(
    "echo  a",
    "'x  y'",
    `"p ${escape}" q"`,
    "&&",
    "|| true",
    "${V}",
    ` ${escape}\n`,
    ` ${escape}\n    `,
    `${escape}  \n# in\n\n  # side\n\t`,
    `${escape}${escape}`,
    `${escape}n`,
    "# not a comment",
    "é…",
    "[",
  );
  return fc
    .array(piece, { maxLength: 8 })
    .map((pieces) => `true ${pieces.join(" ")}`)
    .chain((text) => fc.constantFrom(text, `${text} `, `${text}\u00a0`));
}

function json(style: Style): fc.Arbitrary<string> {
  const item = fc.constantFrom('"a"', '"b c"', '"\\u00e9\\n"', '"$V"', '"#"');
  const space = fc.oneof(fc.constantFrom("", " ", "   "), style.gap);
  return fc
    .array(fc.tuple(space, item, space), { minLength: 2, maxLength: 4 })
    .map((items) => `[${items.map((parts) => parts.join("")).join(",")}]`);
}

function pair({ escape }: Style): fc.Arbitrary<string> {
  const value = fc.constantFrom("1", '"x  y"', "'$V  '", `a${escape} b`, `c${escape}\n  d`, "", "$V");
  return fc.tuple(fc.constantFrom("K", "L", "M_1"), value).map(([key, text]) => `${key}=${text}`);
}

function heredoc(name: string, text: (words: string) => string): fc.Arbitrary<string> {
  const body = fc.constantFrom("", "a\n", "\n\n\n# x\n", "\t1\n  run  x\n", "echo $V \\\n  b\n");
  const form = fc.constantFrom("<<E", '<<"E"', "<<-E", "<<-'E'");
  return fc.tuple(form, body).map(([opening, lines]) => `${name} ${text(opening)}\n${lines}E`);
}

function instruction(style: Style): fc.Arbitrary<string> {
  const { name } = style;
  const flags = (...all: string[]): fc.Arbitrary<string>[] => [fc.subarray(all).chain((some) => spread(style, some))];
  const line = (keyword: string, ...parts: fc.Arbitrary<string>[]): fc.Arbitrary<string> =>
    joined(style, [name(keyword), ...parts]);
  const command = fc.oneof(shellText(style), json(style));
  return fc.oneof(
    line("RUN", ...flags("--network=none", "--mount=type=cache,target=/c", '--mount="type=tmpfs,target=/t"'), command),
    line("RUN", fc.constantFrom("--", "--network=none"), fc.constant("x  --y")),
    line("CMD", command),
    line("ENTRYPOINT", command),
    line("SHELL", json(style)),
    line("COPY", ...flags("--link", "--chown=1:2", "--exclude=*.md"), fc.oneof(json(style), list(style, word, 2))),
    line("ADD", ...flags("--chmod=755"), list(style, word, 2)),
    line("ENV", list(style, pair(style), 1)),
    line("LABEL", list(style, pair(style), 1)),
    line("ARG", list(style, fc.oneof(pair(style), fc.constant("V")), 1)),
    line("ENV", fc.constant("legacy"), fc.constantFrom("v  w", '"q" ', "x=1  y")),
    line("EXPOSE", list(style, fc.constantFrom("80", "81/udp", "90-92"), 1)),
    line("VOLUME", fc.oneof(json(style), list(style, fc.constantFrom("/v", "/w"), 1))),
    line("USER", fc.constantFrom("u", "1:2")),
    line("WORKDIR", fc.constantFrom("/w", "/a  b", `/c${style.escape}\n  d`)),
    line("STOPSIGNAL", fc.constant("9")),
    line("HEALTHCHECK", ...flags("--interval=5s", "--retries=2"), name("CMD"), command),
    line("HEALTHCHECK", name("NONE")),
    line("ONBUILD", fc.constantFrom("run  echo  a", "copy  a   b", 'CMD [ "x" ]')),
    heredoc("RUN", (words) => words),
    heredoc("run", (words) => `cat   ${words}  > /x`),
    heredoc("COPY", (words) => `a   ${words}  /x/`),
  );
}

/** Flags with gaps; where there are none, a flag that is always allowed would change the line, so nothing. */
function spread(style: Style, some: readonly string[]): fc.Arbitrary<string> {
  return some.length === 0
    ? fc.constant("")
    : joined(
        style,
        some.map((flag) => fc.constant(flag)),
      );
}

const between = fc.constantFrom(
  "\n",
  "\n\n",
  "\n\n\n\n",
  "\n  \n",
  "\n# note\n",
  "\n\n   #x \n\n\n#\n",
  "\n# V says\n\n",
);

/** A whole file. */
export function dockerfileText(): fc.Arbitrary<string> {
  return fc
    .tuple(
      fc.constantFrom(
        "",
        "\n",
        "\n\n#escape=`\n",
        "# escape=\\\n",
        "#  escape =  `\n",
        "#check=skip=all\n",
        "# hello\n",
      ),
      fc.constantFrom("\n", "\r\n"),
      fc.constantFrom("", "\n", "\n\n\n", "\n# end", "\n\n#end\n\n"),
    )
    .chain(([head, lineEnd, tail]) => {
      const style = styleOf(/^#\s*escape\s*=\s*`/.test(head) ? "`" : "\\");
      const meta = joined(style, [style.name("ARG"), list(style, pair(style), 1)]);
      const stage = joined(style, [style.name("FROM"), fc.constant("scratch"), style.name("AS"), fc.constant("St")]);
      const parts = fc.tuple(
        fc.array(fc.tuple(meta, between), { maxLength: 2 }),
        fc.tuple(fc.constantFrom("", "  "), stage, between),
        fc.array(fc.tuple(fc.constantFrom("", "\t"), instruction(style), between), { maxLength: 8 }),
      );
      return parts.map(([args, from, instructions]) => {
        const text = [...args, from, ...instructions].map((part) => part.join("")).join("");
        return `${head}${text.trimEnd()}${tail}`.replaceAll("\n", lineEnd);
      });
    });
}
