// `--call=NAME[,format=json][,ignorestatus=true]`: what is asked of the Dockerfile instead of a build (reference K40–K45, K48; "graph" is ours).
import { BuildError } from "../../index.ts";
import { csvFields } from "../csv.ts";

export type CallName = "build" | "check" | "outline" | "targets" | "graph" | "subrequests.describe";

export interface CallRequest {
  readonly name: CallName;
  readonly format: "text" | "json";
  /** Warnings do not make the exit status 1. */
  readonly ignoresStatus: boolean;
}

const NAMES: Readonly<Record<string, CallName>> = {
  build: "build",
  check: "check",
  lint: "check",
  outline: "outline",
  targets: "targets",
  graph: "graph",
  "subrequests.describe": "subrequests.describe",
};

/** Reads `--call`; `isCheck` is `--check`. Fails with "usage". */
export function parseCall(text: string, isCheck: boolean): CallRequest {
  const [given = "build", ...options] = csvFields(text);
  const name = Object.hasOwn(NAMES, given) ? NAMES[given] : undefined;
  if (name === undefined)
    throw new BuildError("usage", `unsupported request frontend.${given}`, {
      help: `one of ${Object.keys(NAMES).join(", ")}`,
    });
  if (isCheck && name !== "build" && name !== "check")
    throw new BuildError("usage", `--check and --call=${given} exclude each other`);
  let request: CallRequest = { name: isCheck ? "check" : name, format: "text", ignoresStatus: false };
  for (const option of options) request = withOption(request, option);
  return request;
}

function withOption(request: CallRequest, option: string): CallRequest {
  const equals = option.indexOf("=");
  if (equals < 0)
    throw new BuildError("usage", `invalid print value: ${option}`, {
      help: "write it as format=json, ignorestatus=true",
    });
  const [key, value] = [option.slice(0, equals), option.slice(equals + 1)];
  if (key === "format") {
    if (value === "json" || value === "text") return { ...request, format: value };
    throw new BuildError("usage", `unknown format ${JSON.stringify(value)}`, { help: "one of text, json" });
  }
  if (key !== "ignorestatus")
    throw new BuildError("usage", `invalid print field: ${option}`, { help: "one of format, ignorestatus" });
  if (/^(1|t|T|TRUE|true|True)$/.test(value)) return { ...request, ignoresStatus: true };
  if (/^(0|f|F|FALSE|false|False)$/.test(value)) return { ...request, ignoresStatus: false };
  throw new BuildError("usage", `invalid value ${JSON.stringify(value)} for ignorestatus`, { help: "true or false" });
}
