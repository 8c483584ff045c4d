// What a remote cache has of cache mounts, for builds that will not ask it: `warm` fetches them beside the steps (pain 2, what nobody has 14).
import type { Graph, Vertex } from "../graph/graph.ts";
import type { CacheMount } from "../graph/op.ts";
import { openCacheMount } from "../solve/cache-mounts.ts";
import { cacheStart } from "../solve/mounted-files.ts";
import type { SolveServices } from "../solve/services.ts";
import type { Store } from "../store/store.ts";

export interface MountFill {
  readonly store: Store;
  /** With the caches that are asked. */
  readonly services: SolveServices;
  readonly graph: Graph;
  readonly signal: AbortSignal;
}

/** Makes the mounts that the store does not have yet. One that starts with files of a stage is made by the step that has them. */
export async function fillCacheMounts({ store, services, graph, signal }: MountFill): Promise<void> {
  const wanted = new Map<string, { readonly vertex: Vertex; readonly mount: CacheMount }>();
  for (const vertex of graph.vertices.values())
    for (const mount of vertex.op.kind === "exec" ? vertex.op.mounts : [])
      if (mount.kind === "cache" && mount.input === undefined && mount.source === "")
        wanted.set(mount.id, { vertex, mount });
  if (wanted.size === 0) return;
  const there = (await store.cacheMountReader()).list([...wanted.keys()]);
  for (const { id } of there) wanted.delete(id);
  for (const { vertex, mount } of wanted.values()) {
    const opened = await openCacheMount(services, { vertex, mount, start: cacheStart(mount, undefined), signal });
    await opened[Symbol.asyncDispose]();
  }
}
