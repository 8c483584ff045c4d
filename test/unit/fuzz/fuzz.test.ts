// The fuzzer's own parts: what it makes is fixed by the seed, what it finds is found, what it shrinks stays a failure.
import { afterAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "../../compare/cases.ts";
import type { ImageFacts } from "../../compare/image-facts.ts";
import type { Builder, Outcome } from "../../fuzz/builders.ts";
import { dockerfileText, type FuzzCase } from "../../fuzz/fuzz-case.ts";
import { applyEdit, drawEdit } from "../../fuzz/generate/edits.ts";
import { generateCase } from "../../fuzz/generate/generate.ts";
import { WIDE_FROM } from "../../fuzz/generate/wide.ts";
import { judge, type Finding, type Trial } from "../../fuzz/judge.ts";
import { shrink } from "../../fuzz/shrink.ts";

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

const CASE: FuzzCase = { parts: ["FROM busybox", "RUN a"], lineEnd: "\n", files: [], ignore: [], args: [] };
const FACTS: ImageFacts = { config: {}, history: [], layers: [] };

function outcome(given: Partial<Outcome> = {}): Outcome {
  return { facts: FACTS, digest: "sha256:1", error: "", steps: new Map(), ...given };
}

/** Gives one outcome after the other, the last one again and again. */
function builder(...outcomes: readonly Outcome[]): Builder {
  const left = [...outcomes];
  return () => Promise.resolve(left.length > 1 ? left.shift()! : left[0]!);
}

let trials = 0;

async function findings(docker: Builder, tsbuild: Builder, trial: Partial<Trial> = {}): Promise<readonly Finding[]> {
  const place = { folder: folder.path, store: "", baseLayout: "", bases: new Map(), base: [], origin: "", agent: "" };
  const whole = { name: `t-${trials++}`, fuzzCase: CASE, edit: undefined, repeats: false, ...trial };
  return (await judge({ docker, tsbuild, place }, whole)).findings;
}

describe("the generator", () => {
  test("a seed is a case and an edit, always the same; seeds differ", () => {
    for (const seed of [1, 2, 77]) {
      expect(generateCase(seed)).toEqual(generateCase(seed));
      expect(drawEdit(seed, generateCase(seed))).toEqual(drawEdit(seed, generateCase(seed)));
    }
    expect(new Set(Array.from({ length: 50 }, (_, seed) => JSON.stringify(generateCase(seed)))).size).toBe(50);
  });

  test("all instructions and every flag of COPY, ADD and RUN are drawn", () => {
    const text = Array.from({ length: 600 }, (_, seed) => dockerfileText(generateCase(seed))).join("\n");
    const names =
      "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR";
    for (const name of names.split(" ")) expect(text, name).toMatch(new RegExp(`^${name} `, "m"));
    const flags = "--from= --chown= --chmod= --link --exclude= --parents --keep-git-dir --network= --platform=";
    for (const flag of flags.split(" ")) expect(text, flag).toContain(flag);
    for (const type of ["bind", "cache", "tmpfs", "secret", "ssh"]) expect(text, type).toContain(`type=${type}`);
  });

  test("the seeds of the wide part draw what the others do not", () => {
    const cases = Array.from({ length: 400 }, (_, at) => generateCase(WIDE_FROM + at));
    const text = cases.map(dockerfileText).join("\n");
    const marks = [
      "readwrite=1",
      "TYPE=",
      "size=1k",
      "/odd/moved",
      "-w",
      "<<.hid",
      "/proc/kcore",
      "1h2m3.004s",
      "[::1]:80:81",
    ];
    for (const mark of marks) expect(text, mark).toContain(mark);
    expect(cases.some(({ ignoreName }) => ignoreName !== undefined)).toBe(true);
    expect(cases.some(({ args }) => args.some((word) => word.includes("SOURCE_DATE_EPOCH")))).toBe(true);
    expect(
      cases.some(({ files }) => files.some((file) => file.kind === "archive" && file.compression === "bzip2")),
    ).toBe(true);
  });

  test("an edit of what is gone changes nothing", () => {
    const edit = { kind: "part", from: "RUN b", to: undefined } as const;
    expect(applyEdit(CASE, edit)).toEqual(CASE);
    expect(applyEdit(CASE, { ...edit, from: "RUN a" }).parts).toEqual(["FROM busybox"]);
  });
});

describe("the judge", () => {
  const failed = outcome({ facts: undefined, error: "no" });

  test("finds a build that fails on one side only, on either", async () => {
    expect(await findings(builder(failed), builder(outcome()))).toMatchObject([{ where: "build", why: undefined }]);
    expect(await findings(builder(outcome()), builder(failed))).toMatchObject([{ where: "build", why: undefined }]);
    expect(await findings(builder(failed), builder(failed))).toEqual([]);
  });

  test("docker is asked again where it alone fails, tsbuild is not; another image is found", async () => {
    const chance = { where: "build", why: expect.stringContaining("docker's chance") as string };
    const other = outcome({ facts: { ...FACTS, config: { User: "1" } } });
    expect(await findings(builder(failed, outcome()), builder(outcome()))).toMatchObject([chance]);
    expect(await findings(builder(failed, other), builder(outcome()))).toMatchObject([{ why: undefined }]);
    expect(await findings(builder(outcome()), builder(failed, outcome()))).toMatchObject([{ why: undefined }]);
  });

  test("finds a crash where both fail", async () => {
    const crashed = outcome({ facts: undefined, error: "this is a bug in tsbuild" });
    expect(await findings(builder(failed), builder(crashed))).toMatchObject([{ where: "crash" }]);
  });

  test("finds a step that only docker had in its cache; early cut-off is none", async () => {
    const ended = (how: "ran" | "cached") => outcome({ steps: new Map([["[2/2] RUN a", how]]) });
    const edit = { kind: "nothing" } as const;
    const lost = await findings(builder(ended("ran"), ended("cached")), builder(ended("ran")), { edit });
    expect(lost).toMatchObject([{ where: "cache [2/2] RUN a", when: "after the edit", why: undefined }]);
    expect(await findings(builder(ended("ran")), builder(ended("ran"), ended("cached")), { edit })).toEqual([]);
  });

  test("finds an image that differs when nothing changed", async () => {
    const again = builder(outcome(), outcome({ digest: "sha256:2" }));
    expect(await findings(builder(outcome()), again, { repeats: true })).toMatchObject([{ where: "digest" }]);
  });

  test("L10: finds another reason and another line, but not other words around the same one", async () => {
    const said = (line: number, text: string) =>
      outcome({
        facts: undefined,
        error: `Dockerfile:${line}\n  ${line} | >>> x\nERROR: failed to build: failed to solve: ${text}`,
      });
    const own = (line: number, text: string) =>
      outcome({ facts: undefined, error: `/c/Dockerfile:${line}:1: error: there is none\n  buildkit: ${text}` });
    const missing = (ref: string) => `failed to calculate checksum of ref ${ref}: "/a": not found`;
    expect(await findings(builder(said(2, missing("x::y"))), builder(own(2, missing('stage "s"'))))).toEqual([]);
    const found = { where: "error", why: undefined };
    expect(await findings(builder(said(2, missing("x::y"))), builder(own(1, missing("x"))))).toMatchObject([found]);
    expect(await findings(builder(said(2, "unknown flag: --x")), builder(own(2, "unknown flag: --y")))).toMatchObject([
      found,
    ]);
    const snapshot = "/var/lib/docker/buildkit/containerd-overlayfs/cachemounts/buildkit4036225147";
    const blocked = (path: string) => `cannot copy to non-directory: ${path}`;
    expect(await findings(builder(said(2, blocked(`${snapshot}/d/a`))), builder(own(2, blocked("/d/a"))))).toEqual([]);
    expect(await findings(builder(said(2, blocked(`${snapshot}/d/a`))), builder(own(2, blocked("/a"))))).toMatchObject([
      found,
    ]);
    const needed = (line: number) =>
      outcome({
        facts: undefined,
        error: `/c/Dockerfile:1:1: error: no user (line ${line} needs it)\n  buildkit: no entry`,
      });
    expect(await findings(builder(said(2, "no entry")), builder(needed(2)))).toEqual([]);
    expect(await findings(builder(said(2, "no entry")), builder(needed(3)))).toMatchObject([found]);
    const triggered = (from: number) =>
      outcome({
        facts: undefined,
        error: `/c/Dockerfile:1:9: error: no\n    ╰─ /c/Dockerfile:${from}:1: this FROM runs it\n  buildkit: none`,
      });
    expect(await findings(builder(said(2, "none")), builder(triggered(2)))).toEqual([]);
    expect(await findings(builder(said(1, "none")), builder(triggered(2)))).toMatchObject([found]);
    const read = (path: string) => `read ${path}/etc/passwd: is a directory`;
    expect(await findings(builder(said(2, read("/v/tmp/buildkit-mount255"))), builder(own(2, read(""))))).toEqual([]);
    const links = (ref: string) => `failed to calculate checksum of ref ${ref}: too many links`;
    expect(await findings(builder(said(2, links("x::y"))), builder(own(2, links("local::context"))))).toEqual([]);
    expect(await findings(builder(said(2, links("x::y"))), builder(own(2, "too many links")))).toMatchObject([found]);
    const status = (code: number) => `invalid response status ${code}`;
    const loading = (text: string) => builder(said(2, `failed to load cache key: ${text}`));
    expect(await findings(loading(status(404)), builder(own(2, status(404))))).toEqual([]);
    expect(await findings(loading(status(404)), builder(own(2, status(403))))).toMatchObject([found]);
  });

  test("of two mistakes, either may be found first: docker is asked without the one that it blames", async () => {
    const said = (line: number, text: string) =>
      outcome({ facts: undefined, error: `  ${line} | >>> x\nERROR: failed to build: failed to solve: ${text}` });
    const own = outcome({ facts: undefined, error: "/c/Dockerfile:1:1: error: second" });
    expect(await findings(builder(said(2, "first"), said(1, "second")), builder(own))).toMatchObject([
      { why: expect.stringMatching(/^L08/) as string },
    ]);
    expect(await findings(builder(said(2, "first"), said(1, "third")), builder(own))).toMatchObject([
      { why: undefined },
    ]);
    expect(await findings(builder(said(2, "first"), outcome()), builder(own))).toMatchObject([{ why: undefined }]);
  });
});

test("T05: what tsbuild alone refuses is left out, and both are asked again", async () => {
  const said = (text: string) =>
    outcome({ facts: undefined, error: `  3 | >>> x\nERROR: failed to build: failed to solve: ${text}` });
  const own = (line: number, text: string) =>
    outcome({ facts: undefined, error: `/c/Dockerfile:${line}:1: error: ${text}` });
  const fuzzCase: FuzzCase = {
    ...CASE,
    parts: ["FROM busybox", "COPY .wh.x /", "COPY a /"],
    files: [{ kind: "file", path: ".wh.x", mode: "0644", text: "" }],
  };
  const refusal = own(2, 'an image layer cannot hold ".wh.x": names that begin with ".wh." mark deletions');
  const asked = async (after: Outcome, first = refusal) =>
    await findings(builder(said("no a")), builder(first, after), { fuzzCase });
  expect(await asked(own(3, "no a"))).toMatchObject([{ why: expect.stringMatching(/^T05/) as string }]);
  for (const after of [own(3, "no b"), own(2, "no a"), outcome()])
    expect(await asked(after)).toMatchObject([{ why: undefined }]);
  expect(await asked(own(3, "no a"), own(2, "else"))).toMatchObject([{ why: undefined }]);
  // A third mistake, which docker comes upon before that which tsbuild names.
  const third = async (last: string) =>
    await findings(builder(said("no a"), outcome(), said("no z"), said(last)), builder(refusal, own(3, "no a")), {
      fuzzCase,
    });
  expect(await third("no a")).toMatchObject([{ why: expect.stringMatching(/^T05/) as string }]);
  expect(await third("no b")).toMatchObject([{ why: undefined }]);
});

test("a failing case shrinks to what makes it fail", async () => {
  const start: FuzzCase = { ...CASE, parts: ["FROM busybox", "RUN a", "COPY x  y z", "CMD b"], args: ["--label=a=b"] };
  const small = await shrink(start, (each) => Promise.resolve(each.parts.some((part) => part.includes(" y"))), 100);
  expect(small).toEqual({ ...CASE, parts: ["COPY y "] });
  expect(await shrink(start, () => Promise.resolve(false), 100)).toEqual(start);
});
