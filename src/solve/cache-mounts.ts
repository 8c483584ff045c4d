// Directories of RUN --mount=type=cache for a step: what names one, what it starts with, who has to wait (reference Q30, M20–M25, T47, pain 30).
import { chmodSync, chownSync } from "node:fs";
import { digestOfJson } from "../oci/digest.ts";
import { materializeLayer } from "../layer/materialize.ts";
import type { Vertex } from "../graph/graph.ts";
import type { CacheMount } from "../graph/op.ts";
import { treeDigest } from "../tree/digest.ts";
import type { CacheStart } from "./mounted-files.ts";
import type { SolveServices } from "./services.ts";
import { shortName } from "./step-name.ts";

export interface CacheMountUse {
  readonly vertex: Vertex;
  readonly mount: CacheMount;
  readonly start: CacheStart;
  readonly signal: AbortSignal;
}

/** Stands for what the cache starts with; "" = nothing. */
export function cacheSeed(mount: CacheMount, { entries, mode, uid, gid }: CacheStart): string {
  if (mount.input !== undefined) return digestOfJson([treeDigest(entries), mode, uid, gid]);
  return hasOwner(mount)
    ? digestOfJson([treeDigest([]), mount.mode ?? null, mount.uid ?? null, mount.gid ?? null])
    : "";
}

/** The directory, held until it is disposed; it may have to be waited for. */
export async function openCacheMount(
  services: SolveServices,
  { vertex, mount, start, signal }: CacheMountUse,
): ReturnType<SolveServices["acquireCacheMount"]> {
  const { entries, mode, uid, gid } = start;
  return services.acquireCacheMount({
    id: mount.id,
    sharing: mount.sharing,
    step: shortName(vertex),
    seed: cacheSeed(mount, start),
    // Q30: --no-cache starts a cache with an owner of its own afresh, and keeps plain ones.
    isFresh: vertex.meta.cache === "ignore" && hasOwner(mount),
    prepare: async (directory) => {
      const { xattrNamespace } = services;
      if (entries.length > 0) await materializeLayer(entries, directory, { xattrNamespace, signal });
      // In this order: a change of owner can take bits away.
      chownSync(directory, uid, gid);
      chmodSync(directory, mode);
    },
    onWait: (holder) => {
      const message = `${shortName(vertex)}: waiting for cache mount ${mount.id} held by ${holder}`;
      services.onEvent({ kind: "notice", message });
    },
    signal,
  });
}

function hasOwner({ mode, uid, gid }: CacheMount): boolean {
  return mode !== undefined || uid !== undefined || gid !== undefined;
}
