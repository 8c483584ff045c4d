// What a target takes from who builds it. The expectations are what BuildKit's frontend.outline says of the same file.
import { expect, test } from "vitest";
import { positionAt, type Span } from "../../../../src/diagnostics/source.ts";
import { parseDockerfile } from "../../../../src/frontend/parser.ts";
import { outlineOf, type Outline } from "../../../../src/plan/outline.ts";
import { planImage } from "../../../../src/plan/plan.ts";
import { planOptions, type RigOptions } from "../rig.ts";

const TEXT = `ARG A=1
# B is b
# something else
ARG B=\${A}x UNUSED=3
# TAG the tag  of it

# TAG a second one
ARG TAG=latest

# base the base stage
FROM --platform=$BUILDPLATFORM busybox:\${TAG} AS Base
# C see
ARG C=$B
ARG B
RUN --mount=type=secret,id=s1,required=true --mount=type=ssh --mount=type=cache,target=/c true

FROM scratch AS other
ARG NOPE
ARG D=dd
RUN --mount=type=secret,target=/run/s2 --mount=type=secret,id=s1 true

FROM busybox AS unrelated
ARG UNREL=1
RUN --mount=type=secret,id=unrelated true

# final thing here
# final The final image
FROM base AS Final
ARG TARGETARCH
ARG D=2 \\
  E
ENV X=$A
COPY --from=other / /
RUN --mount=type=bind,from=other,target=/x --mount=type=ssh,id=k,required true
FROM final
`;

async function outline(text: string, options: RigOptions = {}): Promise<Outline> {
  const { dockerfile } = parseDockerfile({ path: "Dockerfile", text });
  const wanted = planOptions(options);
  const found = outlineOf(dockerfile, wanted, await planImage(dockerfile, wanted));
  if (!found) throw new Error("no plan");
  return found;
}

const line = ({ source, start }: Span): number => positionAt(source, start).line;

function shown({ args, secrets, ssh, caches }: Outline): unknown {
  const mounts = (all: Outline["ssh"]) => all.map(({ id, isRequired, span }) => [line(span), id, isRequired]);
  return {
    args: args.map(({ name, value, description, span }) => [line(span), name, value, description]),
    secrets: mounts(secrets),
    ssh: mounts(ssh),
    caches: mounts(caches),
  };
}

test("K40, K47: arguments, secrets, ssh and caches of all that the target needs, in file order", async () => {
  const found = await outline(TEXT);
  expect([found.name, found.description]).toEqual([undefined, undefined]);
  expect(shown(found)).toEqual({
    args: [
      [1, "A", "1", undefined],
      [4, "B", "1x", "is b"],
      [8, "TAG", "latest", "the tag  of it"],
      [13, "C", "", "see"],
      [18, "NOPE", "", undefined],
      [30, "D", "2", undefined],
      [30, "E", "", undefined],
    ],
    secrets: [
      [15, "s1", true],
      [20, "s2", false],
    ],
    ssh: [
      [15, "default", false],
      [34, "k", true],
    ],
    caches: [[15, "/c", false]],
  });
});

test("K40: a named target with its description; build arguments show, and end what a default needs", async () => {
  const found = await outline(TEXT, { target: "final", buildArgs: { D: "given", B: "own", E: "" } });
  expect([found.name, found.description]).toEqual(["final", "thing here"]);
  expect(found.args.map(({ name, value, span }) => [line(span), name, value])).toEqual([
    [8, "TAG", "latest"],
    [13, "C", ""],
    [14, "B", "own"],
    [18, "NOPE", ""],
    [30, "D", "given"],
    [30, "E", ""],
  ]);
});

test("K47: a stage that nothing needs is not in it", async () => {
  expect(shown(await outline(TEXT, { target: "other" }))).toEqual({
    args: [
      [18, "NOPE", "", undefined],
      [19, "D", "dd", undefined],
    ],
    secrets: [
      [20, "s2", false],
      [20, "s1", false],
    ],
    ssh: [],
    caches: [],
  });
});

test("K47: of two declarations or secrets of one name the nearest counts: base stages with all that they need, then the others by use", async () => {
  const one = "FROM scratch AS one\nARG A=one\nRUN --mount=type=secret,id=s,required=true true\n";
  const two = "FROM scratch AS two\nARG A=two\nARG B=two\nRUN --mount=type=secret,id=s true\n";
  const base = "FROM scratch AS below\nARG B=below\nFROM scratch AS base\nCOPY --from=below / /\n";
  const uses = "FROM base\nRUN --mount=from=one,target=/x true\nCOPY --from=two / /\n";
  expect(shown(await outline(one + two + base + uses))).toMatchObject({
    args: [
      [2, "A", "one", undefined],
      [9, "B", "below", undefined],
    ],
    secrets: [[3, "s", true]],
  });
});

test("K47: what a default names does not count where a build argument replaces it, nor a stage that a context replaces", async () => {
  const text = "ARG A=la\nARG T=${A}test\nFROM busybox:$T AS one\nARG B\nFROM scratch\nCOPY --from=one / /\n";
  const names = async (options?: RigOptions) => (await outline(text, options)).args.map(({ name }) => name);
  expect(await names()).toEqual(["A", "T", "B"]);
  expect(await names({ buildArgs: { T: "latest" } })).toEqual(["T", "B"]);
  expect(await names({ contexts: new Map([["one", { kind: "local" }]]) })).toEqual([]);
});

test("K47: a name that FROM uses counts, platform arguments do not", async () => {
  const found = await outline("ARG I=busybox\nARG P=linux/amd64\nARG Z=1\nFROM --platform=$P $I\nARG TARGETOS\n");
  expect(found.args.map(({ name }) => name)).toEqual(["I", "P"]);
});

test("K47: an ARG before the first FROM without a value shows none, not that of an earlier one or of the platform", async () => {
  const found = await outline("ARG TARGETPLATFORM\nARG I=box\nARG I\nFROM --platform=$TARGETPLATFORM busy$I AS a\n");
  expect(found.args.map(({ name, value }) => [name, value])).toEqual([
    ["TARGETPLATFORM", ""],
    ["I", ""],
  ]);
});
