// Damage that hides itself (pain 13): a file of a layer's directory and the list of the layer's entries, which would tell, go together.
// What is left is a directory that nobody can vouch for: it is compared with the layer's own digest, or made again, and never mounted as it is.
import { existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openRig, type Rig } from "../../support/rig.ts";

interface World {
  readonly rig: Rig;
  /** Builds the Dockerfile with `last` at its end: the names of steps → how they ended, and a reader of files in the image. */
  build(last: string): Promise<Built>;
}

interface Built {
  readonly outcomes: ReadonlyMap<string, "ran" | "cached" | "failed">;
  read(path: string): string;
}

async function openWorld(rig: Rig): Promise<World> {
  const base = join(rig.root, "base");
  await rig.must(["-o", `type=oci,tar=false,dest=${base}`, rig.context({ Dockerfile: "FROM busybox\n" })]);
  const context = rig.context({ "data/words": "copied\n".repeat(1000) });
  let builds = 0;
  const build = async (last: string): Promise<Built> => {
    const dockerfile = `FROM busybox
RUN seq 1 1000 > /numbers && mkdir /made && echo made > /made/file && chmod 700 /made
COPY data /data
${last}
`;
    const out = join(rig.root, `out-${builds++}`);
    writeFileSync(join(context, "Dockerfile"), dockerfile);
    const named = ["--build-context", `busybox=oci-layout://${base}`];
    const result = await rig.must(["--progress", "rawjson", ...named, "-o", out, context]);
    return { outcomes: rig.outcomes(result.stderr), read: (path) => readFileSync(join(out, path), "utf8") };
  };
  return { rig, build };
}

/** The folder of the layer whose directory has the file `path`. */
function layerWith(rig: Rig, path: string): string {
  const layers = join(rig.store, "layers");
  const found = readdirSync(layers).filter((id) => existsSync(join(layers, id, "diff", path)));
  expect(found).toHaveLength(1);
  return join(layers, found[0]!);
}

function truncateBy(path: string, bytes: number): void {
  truncateSync(path, statSync(path).size - bytes);
}

/** What happens to the list that would have told. */
const LOSSES: Readonly<Record<string, (list: string) => void>> = {
  "cut short": (list) => truncateBy(list, 1),
  removed: (list) => rmSync(list),
};

const FILES = { "RUN layer": "numbers", "COPY layer": "data/words", "base layer": "etc/passwd" } as const;

for (const [kind, path] of Object.entries(FILES))
  for (const [loss, lose] of Object.entries(LOSSES))
    test(`pain 13: file damaged together with its list, which is ${loss}: a ${kind} is made again, for the step that reads it and for the image`, async () => {
      await using rig = await openRig();
      const { build } = await openWorld(rig);
      const whole = (await build(`RUN cat /${path} > /seen`)).read("seen");
      expect(whole.length).toBeGreaterThan(50);
      const layer = layerWith(rig, path);
      truncateBy(join(layer, "diff", path), 20);
      lose(join(layer, "entries"));
      // Another step, so that the layer is mounted; then none, so that only its files are asked for.
      const mounted = await build(`RUN cat /${path} > /seen-again`);
      expect(mounted.read("seen-again")).toBe(whole);
      expect(mounted.read(path)).toBe(whole);
      const again = layerWith(rig, path);
      truncateBy(join(again, "diff", path), 20);
      lose(join(again, "entries"));
      expect((await build("ENV DONE=1")).read(path)).toBe(whole);
    });

test("pain 13: a list that is damaged while its directory is whole comes from the directory again: by the layer's digest, without the step", async () => {
  await using rig = await openRig();
  const { build } = await openWorld(rig);
  await build("RUN true");
  const lists = Object.values(FILES).map((path) => join(layerWith(rig, path), "entries"));
  const before = lists.map((list) => readFileSync(list));
  for (const list of lists) truncateBy(list, 1);
  const { outcomes } = await build("RUN cat /numbers /data/words > /both");
  const ran = [...outcomes].flatMap(([name, outcome]) => (outcome === "ran" && name.includes("RUN") ? [name] : []));
  expect(ran).toEqual(["[3/4] RUN cat /numbers /data/words > /both"]);
  // The base layer's list has come from its blob.
  expect(Object.values(FILES).map((path) => readFileSync(join(layerWith(rig, path), "entries")))).toEqual(before);
});
