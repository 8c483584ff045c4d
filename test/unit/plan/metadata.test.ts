// Instructions that change the config only, and WORKDIR.
import { describe, expect, test } from "vitest";
import { encodeGoJson } from "../../../src/base/go-json.ts";
import type { ContainerConfig } from "../../../src/oci/image.ts";
import { createdBy, errorsOf, files, imageWith, names, planned } from "./rig.ts";

const configOf = async (lines: string, base: ContainerConfig = {}, options = {}) =>
  (await planned(`FROM base\n${lines}`, { ...options, images: [imageWith("docker.io/library/base:latest", base)] }))
    .config;

describe("CMD and ENTRYPOINT", () => {
  test("O01: the last CMD wins, in the shell of its line", async () => {
    expect(await configOf('CMD a\nSHELL ["/s"]\nCMD b')).toMatchObject({ Cmd: ["/s", "b"], ArgsEscaped: true });
    expect(await configOf("CMD []", { Cmd: ["x"] })).not.toHaveProperty("Cmd");
  });

  test("O02, T46: ENTRYPOINT drops a CMD from below, not one of its own stage", async () => {
    expect(await configOf('ENTRYPOINT ["e"]', { Cmd: ["below"] })).not.toHaveProperty("Cmd");
    expect(await configOf('CMD ["own"]\nENTRYPOINT ["e"]', { Cmd: ["below"] })).toMatchObject({ Cmd: ["own"] });
    expect(await configOf("ENTRYPOINT []", { Entrypoint: ["x"] })).not.toHaveProperty("Entrypoint");
  });

  test("V28: nothing is expanded", async () => {
    expect((await configOf("ENV A=1\nCMD echo $A")).Cmd?.[2]).toBe("echo $A");
    const plan = await planned(
      'FROM busybox\nENV A=1\nSHELL ["$A"]\nENTRYPOINT e $A\nHEALTHCHECK CMD h ${A}\nMAINTAINER "$A"\nONBUILD RUN $A',
    );
    expect(plan).toMatchObject({
      author: '"$A"',
      config: {
        Shell: ["$A"],
        Entrypoint: ["$A", "e $A"],
        Healthcheck: { Test: ["CMD-SHELL", "h ${A}"] },
        OnBuild: ["RUN $A"],
      },
    });
  });
});

describe("HEALTHCHECK, T39", () => {
  test("O11: nanoseconds, zero values left out, the whole check replaced", async () => {
    const below = { Healthcheck: { Test: ["CMD", "x"], Retries: 9 } };
    expect((await configOf("HEALTHCHECK --interval=1m CMD a b", below)).Healthcheck).toEqual({
      Test: ["CMD-SHELL", "a b"],
      Interval: 60_000_000_000,
    });
    expect((await configOf("HEALTHCHECK NONE", below)).Healthcheck).toEqual({ Test: ["NONE"] });
    expect(createdBy(await planned("FROM busybox\nHEALTHCHECK --interval=1m CMD a"))).toEqual([
      "HEALTHCHECK {Test:[CMD-SHELL a] Interval:1m0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
    ]);
  });
});

test.each([
  ["1h2m3.5s", 3_723_500_000_000],
  ["1ms2us3ns", 1_002_003],
  ["1ms2µs", 1_002_000],
  ["+.5s", 500_000_000],
  ["1ms2μs", 1_002_000],
  ["0", undefined],
  ["0s", undefined],
  ["-0", undefined],
  ["2.s", 2_000_000_000],
  ["2562047h", 9_223_369_200_000_000_000n],
])("O11: a duration of %s", async (text, nanoseconds) => {
  const flags = ["interval", "timeout", "start-period", "start-interval"].map((name) => `--${name}=${text}`).join(" ");
  const { Healthcheck } = await configOf(`HEALTHCHECK ${flags} --retries=3 CMD x`);
  const { Interval, Timeout, StartPeriod, StartInterval, Retries } = Healthcheck!;
  expect([Interval, Timeout, StartPeriod, StartInterval]).toEqual(Array.from({ length: 4 }, () => nanoseconds));
  expect(Retries).toBe(3);
});

/** What the history says of a check's interval. */
async function shownInterval(text: string): Promise<string | undefined> {
  const [line] = createdBy(await planned(`FROM busybox\nHEALTHCHECK --interval=${text} CMD x`));
  return /Interval:(\S+)/.exec(line!)?.[1];
}

test.each(["9223372036854775807ns", "2562047h47m16.854775807s", "9223372036854775.807us"])(
  "O11: %s is the longest duration, to the nanosecond, also in the image's config",
  async (text) => {
    expect(await shownInterval(text)).toBe("2562047h47m16.854775807s");
    const config = await configOf(`HEALTHCHECK --interval=${text} CMD x`);
    expect(Buffer.from(encodeGoJson(config.Healthcheck)).toString()).toContain('"Interval":9223372036854775807');
  },
);

test.each([
  ["1000000ns", "1ms"],
  ["0.9999999999999999999999ms", "1ms"],
  ["1.0000000000000000000009ms", "1ms"],
  ["0.5us1ms", "1.0005ms"],
  ["0.3333333333333333333h", "20m0s"],
  ["9007199254740993ns", "2501h59m59.254740993s"],
  ["0.30000000000000004s", "300ms"],
  ["0.92233720368547758085s", "922.337203ms"],
])("O11: of %s nothing is lost that Go keeps: %s", async (text, shown) => {
  expect(await shownInterval(text)).toBe(shown);
});

test.each(["-5s", "-1ms", "999us", "999999ns", "0.999999999ms", "-9223372036854775808ns"])(
  "O11: a duration of %s is too short",
  async (text) => {
    await expect(planned(`FROM busybox\nHEALTHCHECK --interval=${text} CMD x`)).rejects.toThrow(
      'Interval "interval" cannot be less than 1ms',
    );
  },
);

test.each([
  ["xm1s", 'time: invalid duration "xm1s"'],
  ["+", 'time: invalid duration "+"'],
  [".", 'time: invalid duration "."'],
  ["2562048h", 'time: invalid duration "2562048h"'],
  ["9223372036854775808ns", 'time: invalid duration "9223372036854775808ns"'],
  ["9223372036854775.808us", 'time: invalid duration "9223372036854775.808us"'],
  ["10000000000000000000ns", 'time: invalid duration "10000000000000000000ns"'],
  ["1ns9223372036854775807ns", 'time: invalid duration "1ns9223372036854775807ns"'],
  ["-9223372036854775809ns", 'time: invalid duration "-9223372036854775809ns"'],
  ["1s-2s", 'time: unknown unit "s-" in duration "1s-2s"'],
  ["1S", 'time: unknown unit "S" in duration "1S"'],
  ["1constructor", 'time: unknown unit "constructor" in duration "1constructor"'],
  ["1.5.5s", 'time: missing unit in duration "1.5.5s"'],
])("O11: %s is no duration, in the words of Go", async (text, message) => {
  await expect(planned(`FROM busybox\nHEALTHCHECK --interval=${text} CMD x`)).rejects.toThrow(message);
});

describe("ENV and LABEL", () => {
  test("O03, V21: in the place of the same name, else at the end; keys are expanded", async () => {
    const { Env } = await configOf("ENV B=2 A=3 $K=4\nENV K=key\nENV $K=5", { Env: ["PATH=/p", "A=1"] });
    expect(Env).toEqual(["PATH=/p", "A=3", "B=2", "=4", "K=key", "key=5"]);
    const first = await configOf("ENV A=2 BARE=3", { Env: ["A=1", "BARE", "PATH=/p"] });
    expect(first.Env).toEqual(["A=2", "BARE=3", "PATH=/p"]);
  });

  test("V21: keys of LABEL are expanded too", async () => {
    expect((await configOf("ENV K=key V=value\nLABEL a.$K=$V")).Labels).toEqual({ "a.key": "value" });
  });

  test("O04: --label comes last, without history; labels are sorted", async () => {
    const plan = await planned("FROM busybox\nLABEL b=1 a=$X", { labels: { b: "$X", c: "3" } });
    expect(Object.entries(plan.config.Labels!)).toEqual([
      ["a", ""],
      ["b", "$X"],
      ["c", "3"],
    ]);
    expect(createdBy(plan)).toEqual(["LABEL b=1 a="]);
  });
});

describe("EXPOSE", () => {
  test("HI09 the history has the written words sorted, then expanded, each port as often as it is named", async () => {
    const text = "FROM busybox\nENV A=90\nEXPOSE 9-10 80 443/tcp 80/tcp $A ${A}/UDP 10/tcp";
    expect(createdBy(await planned(text)).at(-1)).toBe(
      "EXPOSE [90/tcp 90/udp 10/tcp 443/tcp 80/tcp 80/tcp 9/tcp 10/tcp]",
    );
  });

  test("O05, V24: ranges, protocols, variables that hold several", async () => {
    const { ExposedPorts } = await configOf('ENV P="80 81/UDP"\nEXPOSE $P 7000-7002 1.2.3.4:8:9', {
      ExposedPorts: { "1/tcp": {} },
    });
    expect(Object.keys(ExposedPorts!)).toEqual([
      "1/tcp",
      "7000/tcp",
      "7001/tcp",
      "7002/tcp",
      "80/tcp",
      "81/udp",
      "9/tcp",
    ]);
  });

  test.each(["tcp", "udp", "sctp"])("O05: %s, in any case, is a protocol", async (protocol) => {
    const { ExposedPorts } = await configOf(`EXPOSE 80/${protocol} 81/${protocol.toUpperCase()}`);
    expect(Object.keys(ExposedPorts!)).toEqual([`80/${protocol}`, `81/${protocol}`]);
  });

  test.each([
    ["/tcp", 'invalid port: "/tcp": no port specified'],
    ["80/foo", 'invalid port: "80/foo": invalid proto: foo'],
    ["abc", "invalid containerPort: abc"],
    ["70000", "invalid containerPort: 70000"],
    ["x:80", "invalid hostPort: x"],
    ["x:80:80", "invalid IP address: x"],
    ["80-85:90-91", "invalid ranges specified for container and host Ports: 90-91 and 80-85"],
    ["85-80", "invalid containerPort: 85-80"],
    ["65536", "invalid containerPort: 65536"],
    ["x80", "invalid containerPort: x80"],
    ["80x", "invalid containerPort: 80x"],
    ["65536:80", "invalid hostPort: 65536"],
    ["80-82:90-91", "invalid ranges specified for container and host Ports: 90-91 and 80-82"],
    ["256.1.1.1:8:80", "invalid IP address: 256.1.1.1"],
    ["x1.2.3.4:8:80", "invalid IP address: x1.2.3.4"],
    ["1.2.3:8:80", "invalid IP address: 1.2.3"],
    ["1.2.3.4.:8:80", "invalid IP address: 1.2.3.4."],
    ["1.2.3.4.5:8:80", "invalid IP address: 1.2.3.4.5"],
    ["g::1:8:80", "invalid IP address: g::1"],
    ["x[::1]:8:80", "invalid IP address: x[::1]"],
    ["[::1]x:8:80", "invalid IP address [::1]x: address [::1]x:: missing port in address"],
    ["[[::1]]:8:80", "invalid IP address [[::1]]: address [[::1]]:: missing port in address"],
    ["[::1:8:80", "invalid IP address [::1: address [::1:: missing ']' in address"],
    ["::1]:8:80", "invalid IP address: ::1]"],
    ["fe80::1%eth0:8:80", "invalid IP address: fe80::1%eth0"],
    ["[fe80::1%eth0]:8:80", "invalid IP address: fe80::1%eth0"],
    ["1.2.3.4:80", "invalid hostPort: 1.2.3.4"],
    ["::ffff:1.2.3.256:8:80", "invalid IP address: ::ffff:1.2.3.256"],
  ])("O05: %s, as it is and after expansion", async (port, message) => {
    expect(await errorsOf(`FROM busybox\nEXPOSE ${port}`)).toEqual([`[${port}] ${message}`]);
    expect(await errorsOf(`FROM busybox\nARG P=${port}\nEXPOSE $P`)).toEqual([`[$P] ${message}`]);
  });

  test.each([
    ["0", ["0/tcp"]],
    ["65535", ["65535/tcp"]],
    ["80/", ["80/tcp"]],
    ["80-80", ["80/tcp"]],
    ["8000-8010:80", ["80/tcp"]],
    ["8-9:80-81/udp", ["80/udp", "81/udp"]],
    ["255.249.199.99::80", ["80/tcp"]],
    ["[::1]:8:80", ["80/tcp"]],
    ["::1:8:80", ["80/tcp"]],
    ["[1.2.3.4]:8:80", ["80/tcp"]],
    ["::ffff:1.2.3.4:8:80", ["80/tcp"]],
    ["[]:8:80", ["80/tcp"]],
    ["::80", ["80/tcp"]],
    [":8:80", ["80/tcp"]],
  ])("O05: what EXPOSE %s says", async (port, ports) => {
    expect(Object.keys((await configOf(`EXPOSE ${port}`)).ExposedPorts!)).toEqual(ports);
  });

  test("F08, O05, O09: a stage that nothing needs may say what no port and no signal is", async () => {
    expect(await errorsOf("FROM busybox\nEXPOSE abc\nSTOPSIGNAL 0")).toHaveLength(2);
    expect(await errorsOf("FROM busybox\nEXPOSE abc\nSTOPSIGNAL 0\nFROM busybox")).toEqual([]);
  });
});

describe("USER, VOLUME, STOPSIGNAL, MAINTAINER", () => {
  test("O06, O08, O09, O13, T40", async () => {
    const plan = await planned(
      'FROM busybox\nARG A=x\nUSER $A:g\nVOLUME $A /b\nVOLUME ["/c d"]\nSTOPSIGNAL sig$S\nMAINTAINER $A\n',
      {
        buildArgs: {},
      },
    ).catch((error: unknown) => String(error));
    expect(plan).toContain("invalid signal: sig");
    const good = await planned(
      'FROM busybox\nARG A=x S=term\nUSER $A:g\nVOLUME $A /b\nVOLUME ["/c d"]\nSTOPSIGNAL sig$S\nMAINTAINER $A',
    );
    expect(good).toMatchObject({
      author: "$A",
      config: { User: "x:g", Volumes: { "/b": {}, "/c d": {}, x: {} }, StopSignal: "sigterm" },
    });
  });
});

test.each([
  "9",
  "+9",
  "-1",
  "64",
  "9223372036854775807",
  "-9223372036854775808",
  "kill",
  "SIGKILL",
  "SigTerm",
  "RTMIN",
  "rtmin+3",
  "SIGRTMIN+15",
  "SIGRTMAX-1",
  "RTMAX",
])("O09: STOPSIGNAL %s is a signal, kept as written", async (signal) => {
  expect((await configOf(`STOPSIGNAL ${signal}`)).StopSignal).toBe(signal);
});

test("O09: every signal that moby knows, and those of the real-time ones that it names", async () => {
  const names =
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX";
  const above = Array.from({ length: 15 }, (_none, index) => `RTMIN+${String(index + 1)}`);
  const below = Array.from({ length: 14 }, (_none, index) => `RTMAX-${String(index + 1)}`);
  for (const name of [...names.split(" "), ...above, ...below])
    expect((await configOf(`STOPSIGNAL SIG${name}`)).StopSignal).toBe(`SIG${name}`);
});

test.each([
  "0",
  "SIG",
  "FOO",
  "RTMIN+0",
  "RTMIN+16",
  "RTMAX-0",
  "RTMAX-15",
  "RTMIN+99",
  "9x",
  "x9",
  "-0",
  "TERMSIG",
  "RTMIN+01",
  "RTMIN+3x",
  "XRTMIN+3",
  "9223372036854775808",
  "-9223372036854775809",
])("O09: STOPSIGNAL %s is none", async (signal) => {
  expect(await errorsOf(`FROM busybox\nSTOPSIGNAL ${signal}`)).toEqual([`[${signal}] invalid signal: ${signal}`]);
});

describe("WORKDIR", () => {
  test("O07, HI04: clean and absolute, one layer unless it is the root, owned by the user", async () => {
    const plan = await planned("FROM busybox\nUSER me\nWORKDIR a/./b//\nWORKDIR ../$X\nWORKDIR /\nRUN x");
    expect(files(plan).map(({ action }) => action)).toEqual([
      { kind: "mkdir", path: "/a/b", user: "me", mode: 0o755 },
      { kind: "mkdir", path: "/a", user: "me", mode: 0o755 },
    ]);
    expect(plan.config.WorkingDir).toBe("/");
    expect(plan.history.map(({ createdBy, vertex }) => [createdBy, vertex !== undefined]).slice(1, 4)).toEqual([
      ["WORKDIR /a/b", true],
      ["WORKDIR /a", true],
      ["WORKDIR /", false],
    ]);
  });

  test("Q09: nothing else is a step", async () => {
    const text =
      'FROM busybox\nENV a=1\nARG b\nLABEL c=d\nUSER e\nEXPOSE 1\nVOLUME /f\nSTOPSIGNAL 9\nCMD g\nENTRYPOINT h\nHEALTHCHECK NONE\nSHELL ["i"]\nONBUILD RUN j\nMAINTAINER k';
    expect(names(await planned(text))).toHaveLength(1);
  });
});

test("HI08: lists are quoted as Go quotes them", async () => {
  const plan = await planned('FROM busybox\nCMD ["a\\tb", "é\\u00a0\\u200b\\u0001", "q\\"\\\\"]');
  expect(createdBy(plan)).toEqual(['CMD ["a\\tb" "é\\u00a0\\u200b\\x01" "q\\"\\\\"]']);
});
