// One row per instruction: how its arguments are split, its flags, how many arguments it takes. Data only; the parser reads it.
// Reference 1.1 (L09–L13), 1.3 (H01), 1.8, 1.11, 1.12.

export type InstructionKind =
  | "add"
  | "arg"
  | "cmd"
  | "copy"
  | "entrypoint"
  | "env"
  | "expose"
  | "from"
  | "healthcheck"
  | "label"
  | "maintainer"
  | "onbuild"
  | "run"
  | "shell"
  | "stopsignal"
  | "user"
  | "volume"
  | "workdir";

/**
 * - `command`: JSON array, else one shell text · `json`: JSON array only
 * - `paths`: JSON array, else blank separated · `list`: blank separated
 * - `pairs`: name=value words, or the legacy `name value` · `names`: name[=value] words
 * - `text`: the whole rest as one argument · `check`: a type, then a command · `instruction`: another instruction
 */
export type ArgumentForm = "command" | "json" | "paths" | "list" | "pairs" | "names" | "text" | "check" | "instruction";

/** `any`: none is fine · `one`: exactly one · `some`: at least one · `sources`: at least a source and a destination · `from`: one or three. */
export type Arity = "any" | "one" | "some" | "sources" | "from";

/** `bool`: `--f`, `--f=true`, `--f=false` · `string`: needs a value · `strings`: may be repeated. */
export type FlagKind = "bool" | "string" | "strings";

export interface InstructionRule {
  readonly name: string;
  readonly kind: InstructionKind;
  readonly form: ArgumentForm;
  readonly arity: Arity;
  readonly flags: Readonly<Record<string, FlagKind>>;
  /** `<<EOF` words take a body. */
  readonly takesHeredocs: boolean;
  /** Variables in the arguments are expanded by the builder. */
  readonly isExpanded: boolean;
  readonly allowedInOnbuild: boolean;
  /** Makes a layer (WORKDIR: unless the directory is the root). */
  readonly commitsLayer: boolean;
}

type Row = readonly [
  name: string,
  form: ArgumentForm,
  arity: Arity,
  traits: string,
  flags?: Readonly<Record<string, FlagKind>>,
];

// traits: h takes heredocs, x expands variables, o may be an ONBUILD trigger, l makes a layer
const rows: readonly Row[] = [
  [
    "ADD",
    "paths",
    "sources",
    "hxol",
    {
      checksum: "string",
      chown: "string",
      chmod: "string",
      exclude: "strings",
      "keep-git-dir": "bool",
      link: "bool",
      unpack: "bool",
    },
  ],
  ["ARG", "names", "some", "xo"],
  ["CMD", "command", "any", "o"],
  [
    "COPY",
    "paths",
    "sources",
    "hxol",
    { chown: "string", chmod: "string", exclude: "strings", from: "string", link: "bool", parents: "bool" },
  ],
  ["ENTRYPOINT", "command", "any", "o"],
  ["ENV", "pairs", "some", "xo"],
  ["EXPOSE", "list", "some", "xo"],
  ["FROM", "list", "from", "x", { platform: "string" }],
  [
    "HEALTHCHECK",
    "check",
    "some",
    "o",
    {
      interval: "string",
      retries: "string",
      "start-interval": "string",
      "start-period": "string",
      timeout: "string",
    },
  ],
  ["LABEL", "pairs", "some", "xo"],
  ["MAINTAINER", "text", "one", ""],
  ["ONBUILD", "instruction", "some", ""],
  ["RUN", "command", "any", "hol", { device: "strings", mount: "strings", network: "string", security: "string" }],
  ["SHELL", "json", "some", "o"],
  ["STOPSIGNAL", "text", "one", "xo"],
  ["USER", "text", "one", "xo"],
  ["VOLUME", "paths", "some", "xo"],
  ["WORKDIR", "text", "one", "xol"],
];

function ruleOf([name, form, arity, traits, flags = {}]: Row): InstructionRule {
  return {
    name,
    kind: name.toLowerCase() as InstructionKind,
    form,
    arity,
    flags,
    takesHeredocs: traits.includes("h"),
    isExpanded: traits.includes("x"),
    allowedInOnbuild: traits.includes("o"),
    commitsLayer: traits.includes("l"),
  };
}

/** Upper-case instruction name → its row. */
export const instructionRules: ReadonlyMap<string, InstructionRule> = new Map(
  rows.map((row) => [row[0], ruleOf(row)] as const),
);
