// A layer that would be made: what it would hold is known, and nothing of it is there. For plans; what would need its bytes is a mistake of ours.
import { InternalError } from "../base/assert.ts";
import type { Layer, LayerManifest } from "../rootfs/layer.ts";
import { treeDigest } from "../tree/digest.ts";

export function foreseenLayer({ entries }: LayerManifest): Layer {
  const absent = (): never => {
    throw new InternalError("the bytes of a layer that is only foreseen");
  };
  return {
    id: "",
    createdAt: "",
    remote: undefined,
    cached: undefined,
    contentId: () => Promise.resolve(treeDigest(entries)),
    entries: () => Promise.resolve(entries),
    knownEntries: () => Promise.resolve(entries),
    locate: absent,
    directory: absent,
    packed: absent,
    knownPacked: absent,
    knownDiffId: () => undefined,
    diffId: absent,
  };
}
