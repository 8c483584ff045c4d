// The instructions that change only the image's config, and ONBUILD.
import { json, line, keyword } from "./style.ts";
import type { Draft, Stage } from "./stage.ts";
import { copyInstruction, workdirInstruction } from "./copy.ts";
import { runInstruction } from "./run.ts";
import { anyWord, NAMES, spelled } from "./words.ts";

export function variableInstruction(draft: Draft, stage: Stage): string {
  const { random, style } = draft;
  // At the end of a line an escape would take the next one into it.
  const value = (): string => anyWord(random, style).replace(/[\\`]\s?$/, "$&x");
  const name = (): string => {
    const picked = random.pick(NAMES);
    stage.known.delete(picked);
    stage.declared.add(picked);
    return picked;
  };
  return random.weighted<() => string>([
    [
      5,
      () =>
        line(
          random,
          style,
          "ENV",
          random.list(1, 3, () => `${name()}=${value()}`),
        ),
    ],
    [2, () => certain(draft, stage)],
    [
      1,
      () =>
        line(random, style, "ENV", [
          name(),
          random.pick(["one value", "x=1  y=$A", '"quoted  text"', "${B:-b} end", "tail   ", value()]),
        ]),
    ],
    [
      5,
      () =>
        line(
          random,
          style,
          "ARG",
          random.list(1, 2, () => (random.chance(0.6) ? `${name()}=${value()}` : name())),
        ),
    ],
    [
      1,
      () =>
        line(random, style, "ARG", [
          random.pick([
            "TARGETPLATFORM",
            "TARGETARCH",
            "BUILDOS",
            "TARGETSTAGE",
            "HTTP_PROXY",
            "no_proxy=x",
            "PATH",
            "TARGETVARIANT",
          ]),
        ]),
    ],
    [0.3, () => line(random, style, "ENV", [random.pick(["PATH=/only:$PATH", "PATH=$PATH:/x", "HOME=/h"])])],
  ])();
}

/** A variable whose value is known from here on. */
function certain({ random, style }: Draft, stage: Stage): string {
  const [name, value] = [random.pick(NAMES), random.pick(["src", "txt", "a", "w", "data", "app", "4"])];
  stage.known.set(name, value);
  stage.declared.add(name);
  return line(random, style, random.pick(["ENV", "ENV", "ARG"]), [`${name}=${value}`]);
}

export function metadataInstruction(draft: Draft, stage: Stage): string {
  const { random, style } = draft;
  const make = (name: string, ...words: string[]): string => line(random, style, name, words);
  const command = (): string =>
    random.pick([
      () =>
        random.pick([
          "echo hi",
          "exec  x  $A",
          "['not', 'json']",
          '["a" "b"]',
          "[ -f x ] && y",
          "a \\ b",
          '"quoted" words',
        ]),
      () => json(random, random.pick([["a"], ["a", "b c"], [], ["é\n", '"'], ["$A", "<&>"]])),
    ])();
  return random.weighted<() => string>([
    [
      4,
      () =>
        make(
          "LABEL",
          ...random.list(
            1,
            3,
            () => `${random.pick(["l", "m", '"two words"', "a.b/c", "$A", "k-$B"])}=${anyWord(random, style)}`,
          ),
        ),
    ],
    [0.5, () => make("LABEL", "old", random.pick(["style value", '"quoted" $A']))],
    [3, () => make("CMD", command())],
    [3, () => make("ENTRYPOINT", command())],
    [
      3,
      () =>
        make(
          "EXPOSE",
          ...random.list(1, 3, () =>
            random.pick([
              "80",
              "443/tcp",
              "53/udp",
              "9/SCTP",
              "8000-8003",
              "8000-8003/udp",
              "${PORT:-81}",
              "$A${NOPE:-82}",
              "0",
              "65535",
            ]),
          ),
        ),
    ],
    [
      3,
      () =>
        make(
          "VOLUME",
          random.pick([
            json(random, ["/v", "/v 2"]),
            "/v",
            "/v /w",
            "v",
            spelled(random, style, stage, "/data/x"),
            "$A/y",
          ]),
        ),
    ],
    [
      2.5,
      () =>
        make(
          "USER",
          random.pick([
            "1000",
            "1000:50",
            "0:0",
            "4242",
            // Whether or not the step that looks them up finds them.
            ...(stage.paths.has("/etc/passwd") || random.chance(0.1)
              ? ["app", "app:staff", "root", "nobody", "app:1"]
              : []),
            ...(random.chance(0.05) ? ["fz", "1000:fz"] : []),
            spelled(random, style, stage, "app"),
          ]),
        ),
    ],
    [
      2,
      () =>
        make(
          "STOPSIGNAL",
          random.pick(["9", "SIGTERM", "int", "SIGRTMIN+3", "RTMAX-1", "64", "${S:-SIGKILL}", "sigusr1"]),
        ),
    ],
    [2, () => shell(draft, stage)],
    [2.5, () => healthcheck(draft, command())],
    [0.7, () => make("MAINTAINER", random.pick(["me", "Some One <a@b.c>", "$A", '"quoted"']))],
  ])();
}

function shell({ random, style }: Draft, stage: Stage): string {
  const words = random.pick([
    ["/bin/sh", "-c"],
    ["/bin/sh", "-ec"],
    ["sh", "-x", "-c"],
    ["/bin/busybox", "sh", "-c"],
    ["/bin/sh", "-c"],
  ]);
  stage.shell = words.join(" ");
  return line(random, style, "SHELL", [json(random, words)]);
}

function healthcheck({ random, style }: Draft, command: string): string {
  if (random.chance(0.2)) return line(random, style, "HEALTHCHECK", [keyword(random, style, "NONE").trim()]);
  const flags = random.some(
    [
      "--interval=5s",
      "--timeout=1m30s",
      "--start-period=0",
      "--retries=3",
      "--start-interval=1.5s",
      "--interval=1ms",
    ].slice(0, 5),
    0.4,
  );
  return line(random, style, "HEALTHCHECK", [...flags, "CMD", command]);
}

/** The trigger works on what a child stage has; it is not noted, because only a child runs it. */
export function onbuildInstruction(draft: Draft, stage: Stage): string {
  const { random, style } = draft;
  const scratch: Stage = { ...stage, known: new Map(), declared: new Set(), paths: new Map(stage.paths) };
  const trigger = random.weighted<() => string>([
    [3, () => runInstruction(draft, scratch)],
    [2, () => copyInstruction(draft, scratch)],
    [1, () => workdirInstruction(draft, scratch)],
    [3, () => metadataInstruction(draft, scratch)],
    [2, () => variableInstruction(draft, scratch)],
  ])();
  stage.triggers.push(trigger);
  return line(random, style, "ONBUILD", [trigger.trimStart()]);
}
