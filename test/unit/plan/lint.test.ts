// The build checks that need values.
import { expect, test } from "vitest";
import { imageWith, plan, warningsOf } from "./rig.ts";

/** Every word that makes a name a secret, in some place and case. */
const SECRET_NAMES = "X_APIKEY AUTH_X CREDENTIAL credentials Key A_password_B PWORD PASSWD SECRET token".split(" ");

test.each([
  [
    "K09",
    "ARG BASE\nFROM busybox$BSE",
    ["UndefinedArgInFrom [busybox$BSE] FROM argument 'BSE' is not declared (did you mean BASE?)"],
  ],
  ["K09", "ARG BASE\nFROM busybox$BASE", []],
  [
    "K10",
    "FROM busybox AS a\nWORKDIR x\nFROM a\nWORKDIR y",
    ['WorkdirRelativePath [x] Relative workdir "x" can have unexpected results if the base image changes'],
  ],
  ["K10", "FROM busybox\nWORKDIR /x\nWORKDIR y", []],
  [
    "K10",
    "# escape=`\nFROM busybox\nWORKDIR C:\\app",
    [
      'WorkdirRelativePath [C:\\app] Relative workdir "C:\\\\app" can have unexpected results if the base image changes',
    ],
  ],
  [
    "K11",
    "FROM busybox\nENV VAR=1\nLABEL a=$VRA b=${X:-1}",
    [
      "UndefinedVar [$VRA] Usage of undefined variable '$VRA' (did you mean $VAR?)",
      "UndefinedVar [${X:-1}] Usage of undefined variable '$X'",
    ],
  ],
  ["K11", "FROM busybox\nARG DECLARED\nLABEL a=$DECLARED$BUILDKIT_SBOM_SCAN_STAGE", []],
  [
    "K15",
    "FROM --platform=$TARGETPLATFORM busybox",
    [
      "RedundantTargetPlatform [$TARGETPLATFORM] Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    ],
  ],
  ["K15", "FROM --platform=$BUILDPLATFORM busybox", []],
  [
    "K16",
    "FROM busybox\nARG GITHUB_TOKEN TOKENS\nENV my_password=x PUBLIC_KEY=y",
    [
      'SecretsUsedInArgOrEnv [GITHUB_TOKEN] Do not use ARG or ENV instructions for sensitive data (ARG "GITHUB_TOKEN")',
      'SecretsUsedInArgOrEnv [my_password] Do not use ARG or ENV instructions for sensitive data (ENV "my_password")',
    ],
  ],
  [
    "K16",
    `FROM busybox\nARG ${SECRET_NAMES.join(" ")}`,
    SECRET_NAMES.map(
      (name) => `SecretsUsedInArgOrEnv [${name}] Do not use ARG or ENV instructions for sensitive data (ARG "${name}")`,
    ),
  ],
  ["K16", "FROM busybox\nARG PUBLIC_KEY SECRET_FILE TOKEN_version MONKEY SECRETS", []],
  [
    "K18",
    "FROM --platform=linux/amd64 busybox AS b",
    ['FromPlatformFlagConstDisallowed [linux/amd64] FROM --platform flag should not use constant value "linux/amd64"'],
  ],
  ["K18", "FROM --platform=linux/amd64 busybox AS build-amd64", []],
  ["K18", "FROM --platform=linux/amd64 busybox AS linux-tools", []],
  [
    "K21",
    "FROM busybox\nEXPOSE 80/TCP",
    ["ExposeProtoCasing [80/TCP] Defined protocol '80/TCP' in EXPOSE instruction should be lowercase"],
  ],
  [
    "K22",
    "FROM busybox\nEXPOSE 1.2.3.4:80:8080",
    [
      "ExposeInvalidFormat [1.2.3.4:80:8080] EXPOSE instruction should not define an IP address or host-port mapping, found '1.2.3.4:80:8080'",
    ],
  ],
])("%s: %s", async (_row, text, warnings) => {
  expect(await warningsOf(text)).toEqual(warnings);
});

test("K14: the base is of another platform than asked for", async () => {
  const other = imageWith("docker.io/library/other:latest", {});
  const images = [{ ...other, config: { ...other.config, architecture: "arm64", variant: "v8" } }];
  expect(await warningsOf("FROM other", { images })).toEqual([
    'InvalidBaseImagePlatform [other] Base image other was pulled with platform "linux/arm64", expected "linux/amd64" for current build',
  ]);
});

test("K17: a FROM that needs a build argument", async () => {
  const buildArgs = { TAG: "latest" };
  expect(await warningsOf("ARG TAG\nFROM busybox:$TAG", { buildArgs })).toEqual([
    "InvalidDefaultArgInFrom [busybox:$TAG] Default value for ARG busybox:$TAG results in empty or invalid base image name",
  ]);
  expect(await warningsOf("ARG TAG=latest\nFROM busybox:$TAG AS Base\nFROM base", { buildArgs })).toEqual([]);
});

test("K34: only stages that are needed are checked", async () => {
  expect(await warningsOf("FROM busybox\nWORKDIR x\nFROM busybox")).toEqual([]);
});

test("checks carry BuildKit's description and page", async () => {
  const { diagnostics } = await plan("FROM busybox\nWORKDIR x");
  expect(diagnostics[0]).toMatchObject({ url: "https://docs.docker.com/go/dockerfile/rule/workdir-relative-path/" });
});
