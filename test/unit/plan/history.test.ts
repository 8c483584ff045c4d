// What each instruction leaves in an image's history, by itself (reference 1.12, 1.13). Whole images that BuildKit recorded are in fixtures/plan.
import { expect, test } from "vitest";
import { imageWith, planned } from "./rig.ts";

/** Entries of the last instructions: the text, and whether a layer goes with it. */
async function historyOf(lines: string, before = ""): Promise<(readonly [string, boolean])[]> {
  const plan = await planned(`FROM busybox\n${before}\n${lines}`);
  const count = before === "" ? 0 : before.split("\n").length;
  return plan.history.slice(count).map(({ createdBy, vertex }) => [createdBy, vertex !== undefined]);
}

const ARGS = "ARG a=1 b\nARG UNSET";

test.each([
  ["HI01", "RUN x  y", "RUN |3 a=1 b= UNSET= /bin/sh -c x  y # buildkit", true],
  ["HI02", 'RUN ["x", "y z", "$a"]', "RUN |3 a=1 b= UNSET= x y z $a # buildkit", true],
  ["HI03", "COPY a $a /d/", "COPY a 1 /d/ # buildkit", true],
  ["HI03", "ADD --chown=$a a /d", "ADD --chown=1 a /d # buildkit", true],
  ["HI04", "WORKDIR w/$a", "WORKDIR /w/1", true],
  ["HI04", "WORKDIR /", "WORKDIR /", false],
  ["HI05", 'ENV k=$a k2="w x"', "ENV k=1 k2=w x", false],
  ["HI06", 'LABEL "l m"=$a n=', "LABEL l m=1 n=", false],
  ["HI07", "ARG c=$a d", "ARG c=1 d", false],
  ["HI08", "CMD echo $a", 'CMD ["/bin/sh" "-c" "echo $a"]', false],
  ["HI08", 'ENTRYPOINT ["e", "f g"]', 'ENTRYPOINT ["e" "f g"]', false],
  ["HI09", "EXPOSE 9 81/udp 8$a", "EXPOSE [81/tcp 81/udp 9/tcp]", false],
  ["HI10", "VOLUME /v $a", "VOLUME [/v 1]", false],
  ["HI10", 'VOLUME ["/v w"]', "VOLUME [/v w]", false],
  ["HI11", "USER u:$a", "USER u:1", false],
  ["HI11", "STOPSIGNAL $a", "STOPSIGNAL 1", false],
  ["HI11", "MAINTAINER me $a", "MAINTAINER me $a", false],
  ["HI12", 'SHELL ["/bin/bash", "-c"]', "SHELL [/bin/bash -c]", false],
  [
    "HI13",
    'HEALTHCHECK --timeout=1.5s --retries=2 CMD ["c", "d"]',
    "HEALTHCHECK {Test:[CMD c d] Interval:0s Timeout:1.5s StartPeriod:0s StartInterval:0s Retries:2}",
    false,
  ],
  [
    "HI13",
    "HEALTHCHECK NONE",
    "HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
    false,
  ],
])("%s, 1.12: %s", async (_row, line, createdBy, isLayer) => {
  expect(await historyOf(line, ARGS)).toEqual([[createdBy, isLayer]]);
});

test("HI01: a RUN lists the arguments that were declared before it, with the values of its environment, and none without them", async () => {
  expect(await historyOf("RUN x\nARG a=1\nRUN y\nENV a=2\nARG b\nRUN z")).toEqual([
    ["RUN /bin/sh -c x # buildkit", true],
    ["ARG a=1", false],
    ["RUN |1 a=1 /bin/sh -c y # buildkit", true],
    ["ENV a=2", false],
    ["ARG b", false],
    ["RUN |2 a=2 b= /bin/sh -c z # buildkit", true],
  ]);
});

test("HI14: ONBUILD, FROM and --label leave none; every other entry says who made it", async () => {
  const below = imageWith("docker.io/library/below:latest", {}, [{ created_by: "theirs" }]);
  const plan = await planned("FROM below AS a\nONBUILD RUN x\nFROM below\nENV k=v\nRUN y", {
    images: [below],
    labels: { l: "m" },
  });
  expect(plan.baseHistory.map(({ created_by }) => created_by)).toEqual(["theirs"]);
  expect(plan.history.map(({ createdBy, comment }) => [createdBy, comment])).toEqual([
    ["ENV k=v", "buildkit.dockerfile.v0"],
    ["RUN /bin/sh -c y # buildkit", "buildkit.dockerfile.v0"],
  ]);
  expect((await planned("FROM below\nONBUILD RUN x", { images: [below] })).history).toEqual([]);
});
