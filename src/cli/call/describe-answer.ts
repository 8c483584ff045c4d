// The answer to `--call=subrequests.describe` (reference K43): the list that BuildKit gives, which has no lint in it.
import { columns, goJson } from "./go-text.ts";

interface Subrequest {
  readonly name: string;
  readonly description: string;
  readonly opts: readonly { readonly name: string; readonly description: string }[] | null;
}

const SUBREQUESTS: readonly Subrequest[] = [
  {
    name: "outline",
    description: "List all parameters current build target supports",
    opts: [{ name: "target", description: "Target build stage" }],
  },
  { name: "targets", description: "List all targets current build supports", opts: [] },
  { name: "subrequests.describe", description: "List available subrequest types", opts: null },
];

const VERSION = "1.0.0";

export function describeText(): string {
  const rows = SUBREQUESTS.map(({ name, description }) => [name, VERSION, description]);
  return columns([["NAME", "VERSION", "DESCRIPTION"], ...rows], 1);
}

export function describeJson(): string {
  return goJson(
    SUBREQUESTS.map(({ name, description, opts }) => ({
      name: `frontend.${name}`,
      version: VERSION,
      type: "rpc",
      description,
      opts,
      inputs: null,
      metadata: [
        { name: "result.json", description: "" },
        { name: "result.txt", description: "" },
      ],
      refs: null,
    })),
  );
}
