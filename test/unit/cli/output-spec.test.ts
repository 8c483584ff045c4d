// What `--output` says, as the build takes it (reference 4.1). What comes out of it: integration/build/output-options.test.ts.
import { expect, test } from "vitest";
import { parseOutputs } from "../../../src/cli/output-spec.ts";
import type { OutputSpec } from "../../../src/engine/options.ts";

const NAMED = "type=image,name=h.example/a:1";

function outputs(...output: readonly string[]): readonly OutputSpec[] {
  return parseOutputs({ output, push: false, load: false, annotation: [], tags: [], cwd: "/cwd" });
}

function image(text: string): object {
  const [spec] = outputs(text);
  return spec !== undefined && "image" in spec ? spec.image : {};
}

test.each([
  ["", true],
  ["=true", true],
  ["=1", true],
  ["=T", true],
  ["=TRUE", true],
  ["=f", false],
  ["=False", false],
  ["=false", false],
  ["=0", false],
])("E31: a key%s is %s", (value, expected) => {
  expect(image(`${NAMED},registry.insecure${value}`)).toMatchObject({ insecureRegistry: expected });
  expect(image(`${NAMED},force-compression${value}`)).toMatchObject({ forceCompression: expected });
  expect(image(`${NAMED},name-canonical${value}`)).toMatchObject({ nameCanonical: expected });
  expect(image(`${NAMED},prefer-nondist-layers${value}`)).toMatchObject({ keepsForeignLayers: expected });
  expect(outputs(`${NAMED},push${value}`)).toMatchObject([{ push: expected }]);
  expect(outputs(`${NAMED},store${value}`)).toMatchObject([{ isStored: expected }]);
  expect(outputs(`${NAMED},unpack${value}`)).toMatchObject([{ isUnpacked: expected }]);
  expect(outputs(`type=oci,dest=x,tar${value}`)).toMatchObject([{ tar: expected }]);
});

test.each([
  [NAMED, "push"],
  [NAMED, "store"],
  [NAMED, "unpack"],
  [NAMED, "oci-mediatypes"],
  [NAMED, "oci-artifact"],
  [NAMED, "force-compression"],
  [NAMED, "rewrite-timestamp"],
  [NAMED, "prefer-nondist-layers"],
  [NAMED, "push-by-digest"],
  [NAMED, "name-canonical"],
  [NAMED, "registry.insecure"],
  [NAMED, "danging-name-empty-only"],
  ["type=oci,dest=x", "tar"],
  ["type=local,dest=x", "platform-split"],
  ["type=tar,dest=x", "platform-split"],
])("E31: %s,%s is a boolean", (spec, key) => {
  for (const value of ["maybe", "", "2", "tRue"])
    expect(() => outputs(`${spec},${key}=${value}`)).toThrow(
      expect.objectContaining({
        code: "usage",
        message: `non-bool value specified for ${key}`,
        help: `use ${key}=true or ${key}=false`,
      }),
    );
});

test.each(["image", "registry", "oci", "docker", "local", "tar"])(
  "E28, PV07, SB05: attestations of type=%s are refused, whatever they are called",
  (type) => {
    for (const key of ["attestation-inline", "attestation-prefix"])
      expect(() => outputs(`type=${type},${key}=true`)).toThrow(
        expect.objectContaining({
          code: "unsupported",
          message: `output option ${key} is not built yet: tsbuild makes no attestations`,
          help: "leave it out",
        }),
      );
  },
);

test("E01, E02, E20–E24: what holds where nothing is said", () => {
  expect(outputs("type=image")).toMatchObject([{ kind: "image", push: false, isStored: true, isUnpacked: false }]);
  expect(outputs("type=registry,name=h.example/a:1")).toMatchObject([{ kind: "image", push: true, isUnpacked: false }]);
  expect(image("type=image")).toEqual({
    ociMediaTypes: true,
    compression: "gzip",
    isSeekable: false,
    forceCompression: false,
    keepsForeignLayers: false,
    rewriteTimestamp: false,
    pushByDigest: false,
    nameCanonical: false,
    insecureRegistry: false,
    annotations: {},
    descriptorAnnotations: {},
    annotatedPlatforms: [],
  });
  expect(outputs()).toMatchObject([{ kind: "image", push: false }]);
});

test("E03–E08: kinds and where they write; several, in their order", () => {
  expect(outputs("type=oci", "type=oci,tar=false,dest=d", "type=docker", "type=tar", "type=cacheonly")).toMatchObject([
    { kind: "oci", tar: true, dest: "-" },
    { kind: "oci", tar: false, dest: "/cwd/d" },
    { kind: "docker", image: { ociMediaTypes: false } },
    { kind: "tar", dest: "-" },
    { kind: "cacheonly" },
  ]);
  expect(outputs("-", "out", "type=local,dest=/abs,mode=delete")).toMatchObject([
    { kind: "tar", dest: "-" },
    { kind: "local", dest: "/cwd/out", mode: "copy" },
    { kind: "local", dest: "/abs", mode: "delete" },
  ]);
  expect(() => outputs("type=oci,oci-mediatypes=false")).toThrow(
    'exporter option "oci-mediatypes=false" conflicts with type=oci',
  );
});

test.each([
  ["gzip", 9],
  ["estargz", 9],
  ["zstd", 22],
])("E23: %s has levels 0 to %i", (compression, last) => {
  const at = (level: number | string): object =>
    image(`${NAMED},compression=${compression},compression-level=${level}`);
  expect([at(0), at(last)]).toMatchObject([{ compressionLevel: 0 }, { compressionLevel: last }]);
  for (const level of [last + 1, -1, "best", ""])
    expect(() => at(level)).toThrow(`compression-level ${JSON.stringify(String(level))} is not 0 to ${String(last)}`);
});

test("E26: source-date-epoch is a whole number with or without a sign, or nothing", () => {
  for (const [text, epoch] of [
    ["0", 0],
    ["+5", 5],
    ["-1", -1],
    ["", null],
  ] as const)
    expect(image(`${NAMED},source-date-epoch=${text}`)).toMatchObject({ epoch });
  expect(image(NAMED)).not.toHaveProperty("epoch");
  for (const text of ["1.5", "0x1", "1e3", "soon"])
    expect(() => image(`${NAMED},source-date-epoch=${text}`)).toThrow(`invalid source-date-epoch: ${text}`);
});

test("E30: compatibility-version 30 is made, 10 and 20 are not, others there are none", () => {
  expect(image(`${NAMED},compatibility-version=30`)).toEqual(image(NAMED));
  for (const known of ["10", "20"])
    expect(() => image(`${NAMED},compatibility-version=${known}`)).toThrow(
      `compatibility-version=${known} is not built`,
    );
  for (const none of ["", "0", "11", "030"])
    expect(() => image(`${NAMED},compatibility-version=${none}`)).toThrow(`unsupported compatibility-version ${none}`);
});

test.each([
  ["tarball", "did you mean type=tar (the files of the image, in a tar)? The others: image, registry, oci, "],
  ["docker-archive", "did you mean type=docker (an archive for docker load)? The others: "],
  ["rgistry", "did you mean type=registry (in a registry)?"],
  ["moon", "one of image (in tsbuild's store), registry (in a registry), "],
  ["", "one of image ("],
])("U14: instead of the output type %j", (type, help) => {
  expect(() => outputs(`type=${type},dest=x`)).toThrowError(
    expect.objectContaining({
      message: `unknown output type ${JSON.stringify(type)}`,
      help: expect.stringContaining(help) as string,
    }),
  );
});
