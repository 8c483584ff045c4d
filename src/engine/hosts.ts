// `--add-host`: `host:ip`, `host=ip`, `host=[v6]`, `host=host-gateway` (reference U18).
import { BuildError } from "../diagnostics/build-error.ts";

export interface ExtraHost {
  readonly name: string;
  readonly address: string;
}

/** Reads the flag's values. */
export async function parseAddHosts(texts: readonly string[]): Promise<ExtraHost[]> {
  if (texts.length === 0) return [];
  const { isIP } = await import("node:net");
  return texts.map((text) => {
    const equals = text.indexOf("=");
    const cut = equals < 0 ? text.indexOf(":") : equals;
    const name = text.slice(0, Math.max(0, cut));
    const address = text.slice(cut + 1).replace(/^\[(.*)\]$/, "$1");
    if (name === "")
      throw new BuildError("usage", `bad format for add-host: ${JSON.stringify(text)}`, {
        help: "write it as HOST:IP",
      });
    if (address === "host-gateway") {
      throw new BuildError("unsupported", "--add-host with host-gateway is not built yet", {
        help: "give the host's address",
      });
    }
    if (isIP(address) === 0)
      throw new BuildError("usage", `invalid IP address in add-host: ${JSON.stringify(address)}`, {
        help: "write it as HOST:IP",
      });
    return { name, address };
  });
}
