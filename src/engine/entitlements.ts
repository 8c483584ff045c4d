// What a step wants beyond the sandbox must have been allowed (reference S40, S41).
import { BuildError, locate } from "../diagnostics/build-error.ts";
import type { Graph } from "../graph/graph.ts";
import type { ExecOp } from "../graph/op.ts";
import type { Devices } from "./devices.ts";

/** Something that a step wants and nobody has allowed. */
interface Missing {
  readonly name: string;
  /** The flag in the Dockerfile. */
  readonly word: string;
  readonly summary: string;
}

const NETWORK: Missing = {
  name: "network.host",
  word: "--network=host",
  summary: "this RUN wants this machine's own network, which is not allowed",
};
const SECURITY: Missing = {
  name: "security.insecure",
  word: "--security=insecure",
  summary: "this RUN wants to run without a sandbox, which is not allowed",
};

/** Fails with "entitlement", at the step, where one has not been allowed. `devices` is asked only where a step has some. */
export async function checkEntitlements(
  graph: Graph,
  allow: readonly string[],
  devices: () => Promise<Devices>,
): Promise<void> {
  for (const { op, meta } of graph.vertices.values()) {
    if (op.kind !== "exec") continue;
    const missing = missingMode(op, allow) ?? (op.devices && (await missingDevice(op.devices, devices)));
    if (missing === undefined) continue;
    const { name, word, summary } = missing;
    throw locate(
      new BuildError("entitlement", `entitlement ${name} is not allowed`, {
        summary,
        help: `allow it, if you trust this Dockerfile: --allow ${name}`,
        details: { word },
      }),
      meta.span,
    );
  }
}

function missingMode({ network, security }: ExecOp, allow: readonly string[]): Missing | undefined {
  const wanted = [...(network === "host" ? [NETWORK] : []), ...(security === "insecure" ? [SECURITY] : [])];
  return wanted.find(({ name }) => !allow.includes(name));
}

async function missingDevice(
  requests: NonNullable<ExecOp["devices"]>,
  devices: () => Promise<Devices>,
): Promise<Missing | undefined> {
  const name = await (await devices()).notAllowed(requests);
  if (name === undefined) return undefined;
  const summary = `this RUN wants the device ${name} of this machine, which is not allowed`;
  return { name: `device=${name}`, word: `--device=${name}`, summary };
}
