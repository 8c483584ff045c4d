// Which manifest of an index is taken.
import { expect, test } from "vitest";
import { digestOf } from "../../../src/oci/digest.ts";
import type { Index } from "../../../src/oci/image.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../../../src/oci/media-type.ts";
import { parsePlatform } from "../../../src/oci/platform.ts";
import { selectPlatform } from "../../../src/oci/platform-choice.ts";

function index(...platforms: readonly (string | undefined)[]): Index {
  const manifests = platforms.map((text) => {
    const [os = "", architecture = "", variant] = (text ?? "").split("/");
    const platform =
      text === undefined ? {} : { platform: { os, architecture, ...(variant === undefined ? {} : { variant }) } };
    return { mediaType: OCI_MANIFEST, digest: digestOf(text ?? "none"), size: 1, ...platform };
  });
  return { schemaVersion: 2, mediaType: OCI_INDEX, manifests };
}

test.each<[want: string, have: (string | undefined)[], chosen: string | undefined]>([
  ["linux/amd64", ["linux/arm64", "linux/amd64"], "linux/amd64"],
  ["linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm64"], "linux/arm/v6"],
  ["linux/arm/v6", ["linux/arm/v7"], undefined],
  ["linux/arm64", ["linux/arm64/v8"], "linux/arm64/v8"],
  ["linux/arm64", ["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7"],
  ["linux/amd64", ["linux/386"], "linux/386"],
  ["linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], "linux/amd64/v2"],
  ["linux/amd64", ["windows/amd64", "unknown/unknown"], undefined],
  ["linux/amd64", ["linux/amd64", "unknown/unknown", "linux/amd64"], "linux/amd64"],
])("RG12: %s of %j is %s", (want, have, chosen) => {
  expect(selectPlatform(index(...have), parsePlatform(want)!)?.digest).toBe(
    chosen === undefined ? undefined : digestOf(chosen),
  );
});

test("RG12: a lone manifest without a platform is taken, one of several is not", () => {
  const want = parsePlatform("linux/amd64")!;
  expect(selectPlatform(index(undefined), want)).toBeDefined();
  expect(selectPlatform(index(undefined, "linux/arm64"), want)).toBeUndefined();
});
