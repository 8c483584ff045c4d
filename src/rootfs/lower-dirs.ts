// What overlayfs is given to mount a root file system: the directory faces of its layers.
import type { Rootfs } from "./layer.ts";

/**
 * Directory faces, bottom first. A layer that is there twice counts once, where it is topmost: overlayfs refuses the same directory twice
 * (ELOOP), and whatever the lower one would show the upper one shows as well.
 */
export async function lowerDirsOf(layers: Rootfs): Promise<string[]> {
  const topmost = new Map(layers.map(({ id }, index) => [id, index]));
  return Promise.all(layers.filter(({ id }, index) => topmost.get(id) === index).map((layer) => layer.directory()));
}
