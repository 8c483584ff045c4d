// Whether two texts are the same Dockerfile: every image that can be built from them is planned with stand-ins for the base images, and compared by
// what is identity. Asks no registry; spans, names of steps and comments do not count.
import { digestOf } from "../oci/digest.ts";
import { formatPlatform, hostPlatform, type Platform } from "../oci/platform.ts";
import type { Dockerfile } from "../frontend/ast.ts";
import type { ResolvedImage } from "../plan/options.ts";
import { planImage } from "../plan/plan.ts";

/** Whether both plan the same images, and fail with the same errors where they fail. */
export async function isSameDockerfile(before: Dockerfile, after: Dockerfile): Promise<boolean> {
  const targets = targetsOf(before);
  if (targets.join() !== targetsOf(after).join()) return false;
  for (const target of [undefined, ...targets]) {
    if ((await identityOf(before, target)) !== (await identityOf(after, target))) return false;
  }
  return true;
}

function targetsOf({ stages }: Dockerfile): readonly string[] {
  return stages.flatMap(({ from }) => (from.name ? [from.name.text.toLowerCase()] : []));
}

async function identityOf(dockerfile: Dockerfile, target: string | undefined): Promise<string> {
  const platform = hostPlatform();
  const { plan, diagnostics } = await planImage(dockerfile, {
    ...(target === undefined ? {} : { target }),
    buildArgs: new Map(),
    labels: new Map(),
    platform,
    isPlatformExplicit: false,
    buildPlatform: platform,
    isMultiPlatform: false,
    resolveImage: (reference, wanted) => Promise.resolve(standIn(reference, wanted)),
    context: { kind: "local", name: "context" },
    contexts: new Map(),
    noCache: false,
    network: "default",
    ulimits: [],
    extraHosts: [],
    isEveryStagePlanned: false,
  });
  if (!plan) {
    const errors = diagnostics.filter(({ severity }) => severity === "error");
    return JSON.stringify(errors.map(({ code, message }) => [code, message]));
  }
  // a vertex's name is the digest of all that it is made of
  const { graph: _named, base, ...image } = plan;
  return JSON.stringify({ ...image, base: base?.vertex ?? null });
}

/** An image whose name says everything of it. */
function standIn(reference: string, { os, architecture, ...more }: Platform): ResolvedImage {
  const digest = digestOf(`${reference} ${formatPlatform({ os, architecture, ...more })}`);
  return {
    reference,
    digest,
    config: { os, architecture, config: {}, history: [{}], rootfs: { type: "layers", diff_ids: [digest] } },
  };
}
