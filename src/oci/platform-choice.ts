// Which manifest of an index suits a platform (image-spec image-index.md; containerd platforms.Only; reference RG12). Pure.
import type { Descriptor, Index } from "./image.ts";
import { normalizePlatform, platformDistance, type Platform } from "./platform.ts";

/** Architectures that also run another one's programs, best first. */
const RUNS_TOO: Readonly<Record<string, readonly Platform[]>> = {
  amd64: [{ os: "linux", architecture: "386" }],
  arm64: [{ os: "linux", architecture: "arm", variant: "v8" }],
};

/** The best match, the earliest of equals; undefined where none can run. Attestations and unknown platforms never match. */
export function selectPlatform(index: Index, platform: Platform): Descriptor | undefined {
  let best: { readonly descriptor: Descriptor; readonly distance: number } | undefined;
  for (const descriptor of index.manifests) {
    const distance = distanceOf(platform, descriptor);
    if (distance !== undefined && (best === undefined || distance < best.distance)) best = { descriptor, distance };
  }
  if (best !== undefined) return best.descriptor;
  // An index of one manifest that does not say what it is for is what older tools wrote for single-platform images.
  const [only, ...others] = index.manifests;
  return only !== undefined && others.length === 0 && only.platform === undefined ? only : undefined;
}

function distanceOf(want: Platform, { platform }: Descriptor): number | undefined {
  if (platform === undefined || platform.os === "unknown") return undefined;
  const have = normalizePlatform(platform.os, platform.architecture, platform.variant, platform["os.version"]);
  if (want.osVersion !== undefined && have.osVersion !== undefined && !sameBuild(want.osVersion, have.osVersion))
    return undefined;
  const direct = platformDistance(want, have);
  if (direct !== undefined) return direct;
  for (const [rank, other] of (RUNS_TOO[want.architecture] ?? []).entries()) {
    const distance = platformDistance({ ...other, os: want.os }, have);
    if (distance !== undefined) return 100 * (rank + 1) + distance;
  }
  return undefined;
}

/** Windows: major.minor.build must agree, the revision may differ. */
function sameBuild(a: string, b: string): boolean {
  const build = (version: string): string => version.split(".").slice(0, 3).join(".");
  return build(a) === build(b);
}
