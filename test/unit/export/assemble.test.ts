// Config and manifest of an image, from a plan and layers (reference N01, N08, HI15).
import { expect, test } from "vitest";
import { assembleImage, type AssembledLayer } from "../../../src/export/assemble.ts";
import type { ImagePlan } from "../../../src/graph/image-plan.ts";
import { digestOf } from "../../../src/oci/digest.ts";
import type { HistoryEntry, ImageConfig, Manifest } from "../../../src/oci/image.ts";
import { planned } from "../plan/rig.ts";

const layer = (name: string, vertex?: string): AssembledLayer => ({
  descriptor: { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: digestOf(name), size: 1 },
  diffId: digestOf(`diff ${name}`),
  createdAt: `2020-01-0${name}T00:00:00Z`,
  description: `pulled from ${name}`,
  ...(vertex === undefined ? {} : { vertex: digestOf(vertex) }),
});

function assembled(plan: ImagePlan, layers: readonly AssembledLayer[]): { config: ImageConfig; manifest: Manifest } {
  const image = assembleImage(plan, layers, {
    format: "oci",
    createdAt: "2030-01-01T00:00:00Z",
    members: {},
    annotations: { b: "2", a: "<1>" },
  });
  const read = (bytes: Uint8Array): unknown => JSON.parse(Buffer.from(bytes).toString());
  return { config: read(image.config) as ImageConfig, manifest: read(image.manifest) as Manifest };
}

async function planWith(baseHistory: readonly HistoryEntry[], epoch?: number): Promise<ImagePlan> {
  const plan = await planned("FROM scratch\nENV A=1");
  const own = [{ createdBy: "RUN x", vertex: digestOf("run"), comment: "c" }, ...plan.history];
  return { ...plan, baseHistory, history: own, ...(epoch === undefined ? {} : { epoch }) };
}

const told = ({ history = [] }: ImageConfig) =>
  history.map(({ created_by, empty_layer }) => `${created_by ?? ""}${empty_layer === true ? " (empty)" : ""}`);

test("HI15: layers that no history speaks of get an entry at the end, with their time and where they are from", async () => {
  const { config } = assembled(await planWith([]), [layer("1"), layer("2"), layer("3", "run")]);
  expect(told(config)).toEqual(["RUN x", "ENV A=1 (empty)", "pulled from 2", "pulled from 3"]);
  expect(config.history?.at(-1)).toEqual({
    created: "2020-01-03T00:00:00Z",
    created_by: "pulled from 3",
    comment: "buildkit.exporter.image.v0",
  });
  expect(config.rootfs.diff_ids).toHaveLength(3);
});

test("HI15: a history that speaks of more layers than there are has no layer for the last ones", async () => {
  const base = [{ created_by: "one" }, { created_by: "meta", empty_layer: true }, { created_by: "two" }];
  const { config } = assembled(await planWith(base), [layer("1"), layer("2", "run")]);
  expect(told(config)).toEqual(["one", "meta (empty)", "two", "RUN x (empty)", "ENV A=1 (empty)"]);
});

test("N08: created is the latest time or the epoch; our times are the epoch, the base's are not", async () => {
  const base = [{ created: "2019-05-05T00:00:00Z", created_by: "base" }];
  const layers = [layer("1"), layer("4", "run")];
  const plain = assembled(await planWith(base), layers).config;
  expect([plain.created, plain.history?.map(({ created }) => created)]).toEqual([
    "2020-01-04T00:00:00Z",
    ["2019-05-05T00:00:00Z", "2020-01-04T00:00:00Z", "2020-01-04T00:00:00Z"],
  ]);
  const dated = assembled(await planWith(base, 1_000_000_000), layers).config;
  expect([dated.created, dated.history?.map(({ created }) => created)]).toEqual([
    "2001-09-09T01:46:40Z",
    ["2019-05-05T00:00:00Z", "2001-09-09T01:46:40Z", "2001-09-09T01:46:40Z"],
  ]);
  // Also where a layer is older: a cache's layers make the same image as new ones.
  const later = assembled(await planWith(base, 2_000_000_000), layers).config;
  expect([later.created, later.history?.map(({ created }) => created)]).toEqual([
    "2033-05-18T03:33:20Z",
    ["2019-05-05T00:00:00Z", "2033-05-18T03:33:20Z", "2033-05-18T03:33:20Z"],
  ]);
  const newer = [{ created: "2029-05-05T00:00:00Z", created_by: "base" }];
  expect(assembled(await planWith(newer), layers).config.created).toBe("2029-05-05T00:00:00Z");
});

test("N08: what makes no layer has the time of the layer before it, or else of the first one after it", async () => {
  const plan = await planWith([]);
  const history = [...plan.history.slice(1), ...plan.history];
  const { config } = assembled({ ...plan, history }, [layer("4", "run")]);
  expect(told(config)).toEqual(["ENV A=1 (empty)", "RUN x", "ENV A=1 (empty)"]);
  expect(new Set(config.history?.map(({ created }) => created))).toEqual(new Set(["2020-01-04T00:00:00Z"]));
});

test("N07: the config has the media type of the manifest's family", async () => {
  const plan = await planWith([]);
  const types = (["oci", "docker"] as const).map((format) => {
    const { configDescriptor, manifest } = assembleImage(plan, [], { format, createdAt: "", annotations: {} });
    const { mediaType, config } = JSON.parse(Buffer.from(manifest).toString()) as Manifest;
    expect(config).toEqual(configDescriptor);
    return [mediaType, config.mediaType];
  });
  expect(types).toEqual([
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json"],
    ["application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.container.image.v1+json"],
  ]);
});

test("N01, E27: the manifest names config and layers; annotations are sorted, JSON is Go's", async () => {
  const plan = await planWith([]);
  const { manifest } = assembled(plan, [layer("1", "run")]);
  expect(Object.keys(manifest)).toEqual(["schemaVersion", "mediaType", "config", "layers", "annotations"]);
  expect(manifest.annotations).toEqual({ a: "<1>", b: "2" });
  const bytes = assembleImage(plan, [], {
    format: "docker",
    createdAt: "",
    members: {},
    annotations: { a: "<1>" },
  }).manifest;
  expect(Buffer.from(bytes).toString()).toContain(
    '\n  "layers": [],\n  "annotations": {\n    "a": "\\u003c1\\u003e"\n  }',
  );
});
