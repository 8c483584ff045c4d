// Where cases are built: a folder with a store and with the base image that both builders start from.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { BASE, copyBaseContext, PROJECT } from "../compare/cases.ts";
import { diffIdsOf, imageFacts, newLayers, type LayerFacts } from "../compare/image-facts.ts";
import { run } from "./builders.ts";
import { serveAgent, serveFiles } from "./remote.ts";

export interface Place {
  /** Holds a folder for every case while it is worked on. */
  readonly folder: string;
  readonly store: string;
  /** OCI layout of the base image. */
  readonly baseLayout: string;
  /** diffID → name, of the layers of the base image. */
  readonly bases: ReadonlyMap<string, string>;
  /** Address of a web server, as "http://127.0.0.1:1234". */
  readonly origin: string;
  /** Socket of an ssh agent. */
  readonly agent: string;
  /** What those layers hold. */
  readonly base: readonly LayerFacts[];
}

/** Makes the base image. "of this run": with a file that no other run has, so that docker's cache knows no step on it, and whose name nothing else has. */
export async function preparePlace(folder: string, base: "of this run" | "as recorded"): Promise<Place> {
  const [context, store, baseLayout] = [join(folder, "base"), join(folder, "s"), join(folder, "base-layout")];
  copyBaseContext(context);
  if (base === "of this run") writeFileSync(join(context, "etc/of-this-run"), `${folder}\n`);
  const words = ["-q", "-t", BASE, "-o", `type=oci,tar=false,dest=${baseLayout}`, context];
  const made = await run([join(PROJECT, "src/bin/tsbuild"), ...words], { TSBUILD_ROOT: store });
  if (made.code !== 0) throw new Error(`the base image cannot be built: ${made.stderr}`);
  const [origin, agent] = [await serveFiles(), join(folder, "agent")];
  await serveAgent(agent);
  const bases = new Map(diffIdsOf(baseLayout).map((diffId) => [diffId, BASE]));
  return { folder, store, baseLayout, bases, origin, agent, base: newLayers(imageFacts(baseLayout, new Map())) };
}
