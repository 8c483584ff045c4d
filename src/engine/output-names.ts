// Names of what a build makes: checked before anything runs.
import { BuildError } from "../diagnostics/build-error.ts";
import type { Digest } from "../oci/digest.ts";
import { formatReference, repositoryName } from "../oci/reference.ts";
import type { BuildOptions, OutputSpec } from "./options.ts";
import { readName, readReference } from "./references.ts";

type NamedOutput = Extract<OutputSpec, { readonly names: readonly string[] }>;

/** The build's tags, which buildx puts in the place of an output's own names, else those; normalised, `latest` filled in unless it is to be pushed by digest. Fails with "usage". */
export function namesOf({ names, image }: NamedOutput, tags: readonly string[]): string[] {
  const read = image.pushByDigest ? readName : readReference;
  return (tags.length > 0 ? tags : names).map((text) => formatReference(read(text)));
}

/** What the store calls an image: with `name-canonical` each name also with the digest, with `dangling-name-prefix` one of that (E01); no names where it is pushed by digest. */
export function storeNames(
  names: readonly string[],
  digest: Digest,
  { image, dangling }: Extract<OutputSpec, { readonly kind: "image" }>,
): string[] {
  const isDangling = dangling !== undefined && (names.length === 0 || !dangling.isForUnnamed);
  const unnamed = isDangling ? [formatReference({ ...readName(dangling.prefix), digest })] : [];
  if (image.pushByDigest) return unnamed;
  const canonical = image.nameCanonical ? names.map((name) => formatReference({ ...readReference(name), digest })) : [];
  return [...names, ...canonical, ...unnamed];
}

/** Fails with "usage" where a name cannot be one, or where a push has none. */
export function checkNames({ outputs, tags }: BuildOptions): void {
  for (const tag of tags) readReference(tag);
  for (const output of outputs) {
    if (!("names" in output)) continue;
    const names = namesOf(output, tags);
    if (output.kind === "image" && output.dangling) readName(output.dangling.prefix);
    if (output.kind !== "image" || !output.push) continue;
    if (names.length === 0)
      throw new BuildError("usage", "tag is needed when pushing to registry", {
        summary: "a push needs a name for the image",
        help: "name the image with -t REGISTRY/NAME:TAG",
      });
    const tagged = output.image.pushByDigest ? names.map(readName).find(({ tag }) => tag !== undefined) : undefined;
    if (tagged)
      throw new BuildError("usage", `can't push tagged ref ${repositoryName(tagged)}:${tagged.tag} by digest`, {
        help: "leave the tag out of the name",
      });
  }
}

/** What the progress calls an output. */
export function exportName(output: OutputSpec): string {
  switch (output.kind) {
    case "image":
      return "exporting to image";
    case "oci":
      return "exporting to oci image format";
    case "docker":
      return output.dest === undefined ? "exporting to docker" : "exporting to docker image format";
    case "local":
      return "exporting to client directory";
    case "tar":
      return "exporting to client tarball";
    case "cacheonly":
      return "exporting cache only";
  }
}
