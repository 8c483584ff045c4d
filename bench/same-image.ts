// Whether all builders made the same: every workload once more in small, each result as an OCI layout, compared file by file and word by word of the
// config that a container sees. Times are not compared, nor history and layers, which buildah cuts in its own way.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { differences } from "../test/compare/differences.ts";
import { imageFacts, type ImageFacts } from "../test/compare/image-facts.ts";
import type { Builder } from "./builders.ts";
import { measure } from "./measure.ts";
import type { Size, Workload } from "./workloads.ts";

/** What a container is started with. */
const CONFIG = ["Env", "Cmd", "Entrypoint", "WorkingDir", "User", "ExposedPorts", "Volumes"];

/** What differs between the first builder's image and the others', a line each; empty = the same. */
export async function imageDifferences(
  workload: Workload,
  builders: readonly Builder[],
  options: { readonly size: Size; readonly folder: string; readonly log: string },
): Promise<readonly string[]> {
  const { size, folder, log } = options;
  const context = join(folder, "context");
  mkdirSync(context, { recursive: true });
  workload.write(context, size);
  const images: { readonly name: string; readonly facts: ImageFacts }[] = [];
  for (const { name, env, build, layout } of builders) {
    const [tag, dest] = [`tsbuild-bench-same-${workload.name}`, join(folder, name)];
    await measure([...build(context, tag, {}), ...layout(context, tag, dest)], { env, log });
    images.push({ name, facts: whatCounts(imageFacts(dest, new Map())) });
  }
  rmSync(folder, { recursive: true });
  const [first, ...others] = images;
  return others.flatMap(({ name, facts }) =>
    differences(facts, first!.facts, [])
      .filter(({ where }) => /^(tree|config)/.test(where))
      .map(({ where, docker, tsbuild }) => `${where}: ${name} ${docker ?? "–"}, ${first!.name} ${tsbuild ?? "–"}`),
  );
}

function whatCounts({ config, layers }: ImageFacts): ImageFacts {
  const own = (config["config"] ?? {}) as Readonly<Record<string, unknown>>;
  const kept = CONFIG.filter((name) => own[name] !== undefined && own[name] !== null && own[name] !== "");
  const { architecture, os } = config;
  return {
    config: { architecture, os, ...Object.fromEntries(kept.map((name) => [name, own[name]])) },
    history: [],
    layers,
  };
}
