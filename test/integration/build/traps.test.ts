// Traps that need a whole build to fall into: what is deleted, ignored, written below a VOLUME, or mounted. Rows I05, K07, X05, T2, T6, T7, T40, T41.
import { cpSync, existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
let count = 0;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

/** Builds and exports; the folder that came out. */
async function files(context: string, ...args: string[]): Promise<string> {
  const dest = join(rig.root, `out${String(count++)}`);
  await rig.must(["-q", "-o", dest, ...args, context]);
  return dest;
}

/** How the steps that run a command ended, by their names. */
async function runs(context: string): Promise<string> {
  const { stderr } = await rig.must(["--progress", "rawjson", "-o", "type=image", context]);
  const outcomes = [...rig.outcomes(stderr)].filter(([name]) => name.includes("RUN"));
  outcomes.sort(([a], [b]) => (a < b ? -1 : 1));
  return outcomes.map(([, how]) => how).join(" ");
}

test("T7: what a step deleted stays deleted for the steps and stages above it when its layer comes from the cache", async () => {
  const text = (last: string): string =>
    `FROM busybox AS a\nRUN mkdir /d && touch /d/gone /d/kept && echo x > /gone\nRUN rm -r /d/gone /gone && rm -r /tmp\n` +
    `RUN ls -a / /d > /seen && echo ${last}\nFROM scratch\nCOPY --from=a / /all\n`;
  const context = rig.context({ Dockerfile: text("one") });
  await files(context);
  writeFileSync(join(context, "Dockerfile"), text("two"));
  const all = join(await files(context), "all");
  expect(readFileSync(join(all, "seen"), "utf8")).not.toMatch(/gone|tmp|\.wh\./);
  expect(readdirSync(join(all, "d"))).toEqual(["kept"]);
  expect(["gone", "tmp"].filter((name) => existsSync(join(all, name)))).toEqual([]);
});

test("T2, T6, M10: what a RUN mounts counts by content: of a stage, and of the context, whose times do not", async () => {
  const context = rig.context({
    Dockerfile:
      "FROM busybox AS a\nCOPY in /in\nRUN wc -c < /in > /out\nFROM busybox\nRUN --mount=from=a,source=/out,target=/m cat /m > /n\nRUN --mount=source=other,target=/o cat /o > /p\n",
    in: "aaa",
    other: "1",
  });
  expect(await runs(context)).toBe("ran ran ran");
  writeFileSync(join(context, "in"), "bbb");
  utimesSync(join(context, "other"), 1, 1);
  expect(await runs(context)).toBe("ran cached cached");
  writeFileSync(join(context, "in"), "bbbb");
  expect(await runs(context)).toBe("ran ran ran");
  writeFileSync(join(context, "other"), "2");
  expect(await runs(context)).toBe("cached cached ran");
});

test("T40, O08: what is written below a VOLUME afterwards is kept", async () => {
  const text =
    "FROM busybox\nRUN mkdir /v && echo before > /v/f\nVOLUME /v\nRUN echo after > /v/f && touch /v/new\nCOPY own /v/\n";
  const found = join(await files(rig.context({ Dockerfile: text, own: "" })), "v");
  expect(readdirSync(found).sort()).toEqual(["f", "new", "own"]);
  expect(readFileSync(join(found, "f"), "utf8")).toBe("after\n");
});

test("I05: a Dockerfile and an ignore file that are ignored are read, and are not in the context", async () => {
  const spec = { Dockerfile: "FROM scratch\nCOPY . /all/\n", kept: "" };
  const listed = async (ignore: string): Promise<readonly string[]> =>
    readdirSync(join(await files(rig.context({ ...spec, ".dockerignore": ignore })), "all")).sort();
  expect(await listed("*\n!kept\n")).toEqual(["kept"]);
  expect(await listed("Dockerfile\n.dockerignore\n")).toEqual(["kept"]);
  expect(await listed("none\n")).toEqual([".dockerignore", "Dockerfile", "kept"]);
});

test("T41: nothing in a RUN's comment or heredoc is run by the builder, and a script has no tabs in front of its #!", async () => {
  const text =
    "FROM busybox\nRUN echo a # `touch /comment`\nRUN <<EOF sh\n#!/bin/false\necho $(echo in) > /out\nEOF\n" +
    "RUN <<-EOF\n\t#!/bin/sh\n\ttest $0 = /dev/pipes/EOF && touch /script\n\tEOF\n";
  const found = await files(rig.context({ Dockerfile: text }));
  expect(readdirSync(found)).toEqual(expect.arrayContaining(["out", "script"]));
  expect(readdirSync(found)).not.toContain("comment");
  expect(readFileSync(join(found, "out"), "utf8")).toBe("in\n");
});

test("K07: a SHELL that the base image has makes the shell form what is meant", async () => {
  const says = async (base: string): Promise<string> => {
    const context = rig.context({ Dockerfile: `FROM ${base}\nCMD run $IT\n` });
    return (await rig.tsbuild(["--check", context])).stdout;
  };
  await rig.must(["-q", "-t", "shelled", rig.context({ Dockerfile: 'FROM busybox\nSHELL ["/bin/sh", "-ec"]\n' })]);
  expect(await says("busybox")).toContain("JSONArgsRecommended");
  expect(await says("shelled")).toBe("Check complete, no warnings found.\n");
});

test("X05: an image of an OCI layout by its tag, by its digest, and by neither where there is only one", async () => {
  interface Index {
    readonly manifests: readonly { readonly digest: string }[];
  }
  const layout = async (name: string): Promise<string> => {
    const folder = join(rig.root, `layout-${name}`);
    const context = rig.context({ Dockerfile: "FROM scratch\nCOPY name /name\n", name });
    await rig.must(["-q", "-t", `x/y:${name}`, "-o", `type=oci,tar=false,dest=${folder}`, context]);
    return folder;
  };
  const [one, two] = [await layout("one"), await layout("two")];
  const indexOf = (folder: string): Index => JSON.parse(readFileSync(join(folder, "index.json"), "utf8")) as Index;
  const user = rig.context({ Dockerfile: "FROM base\nCOPY --from=base /name /copy\n" });
  const from = (where: string): string[] => ["--build-context", `base=oci-layout://${where}`];
  expect(readFileSync(join(await files(user, ...from(one)), "copy"), "utf8")).toBe("one");
  const manifests = [one, two].flatMap((folder) => indexOf(folder).manifests);
  cpSync(two, one, { recursive: true });
  writeFileSync(join(one, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
  for (const where of [":one", `@${manifests[0]!.digest}`, `:two@${manifests[0]!.digest}`])
    expect(readFileSync(join(await files(user, ...from(one + where)), "copy"), "utf8")).toBe("one");
  expect(readFileSync(join(await files(user, ...from(`${one}:two`)), "copy"), "utf8")).toBe("two");
  const { code, stderr } = await rig.tsbuild(["-q", ...from(`${one}:three`), user]);
  expect([code, stderr]).toEqual([1, expect.stringContaining("no image tagged three in the OCI layout") as string]);
  expect((await rig.tsbuild(["-q", ...from(one), user])).stderr).toContain("no image in the OCI layout");
});
