// Every code a diagnostic can have: what it is about, how bad it is, and where it is explained. Data only.
// Build checks have BuildKit's names, descriptions and urls (reference 2.1).
import type { Diagnostic, Fix, Related, Severity } from "./diagnostic.ts";
import type { Span } from "./source.ts";

/** `syntax`: the text is wrong · `check`: a BuildKit build check · `hint`: ours, never fails a build with `error=true`. */
export type DiagnosticCategory = "syntax" | "check" | "hint";

export interface CatalogEntry {
  readonly category: DiagnosticCategory;
  readonly severity: Severity;
  readonly description: string;
  readonly url?: string;
  /** Off until `check=experimental=` names it. */
  readonly isExperimental?: true;
}

export type SyntaxCode =
  | "BlankName"
  | "DuplicateFlag"
  | "EmptyDockerfile"
  | "HeredocAsDestination"
  | "InstructionBeforeFrom"
  | "InvalidCheckOption"
  | "InvalidDirective"
  | "InvalidFlagValue"
  | "InvalidHealthcheck"
  | "InvalidIgnorePattern"
  | "InvalidJsonArray"
  | "InvalidMount"
  | "InvalidNetworkMode"
  | "InvalidPort"
  | "InvalidSecurityMode"
  | "InvalidSignal"
  | "InvalidStageName"
  | "InvalidTrigger"
  | "InvalidVolume"
  | "LineTooLong"
  | "MissingAssignment"
  | "MissingFlagValue"
  | "NoStages"
  | "ShellNotJson"
  | "UnknownFlag"
  | "UnknownInstruction"
  | "UnsupportedSyntax"
  | "UnterminatedHeredoc"
  | "WrongArgumentCount";

export type CheckCode =
  | "ConsistentInstructionCasing"
  | "CopyIgnoredFile"
  | "DuplicateStageName"
  | "ExposeInvalidFormat"
  | "ExposeProtoCasing"
  | "FromAsCasing"
  | "FromPlatformFlagConstDisallowed"
  | "InvalidBaseImagePlatform"
  | "InvalidDefaultArgInFrom"
  | "InvalidDefinitionDescription"
  | "JSONArgsRecommended"
  | "LegacyKeyValueFormat"
  | "MaintainerDeprecated"
  | "MultipleInstructionsDisallowed"
  | "NoEmptyContinuation"
  | "RedundantTargetPlatform"
  | "ReservedStageName"
  | "SecretsUsedInArgOrEnv"
  | "StageNameCasing"
  | "UndefinedArgInFrom"
  | "UndefinedVar"
  | "WorkdirRelativePath";

/** Ours: shown beside the checks, but they fail nothing. */
export type HintCode = "HeredocWithoutErrexit" | "HugeUserId" | "InvalidCacheComment" | "MalformedJsonForm";

export type DiagnosticCode = SyntaxCode | CheckCode | HintCode;

function syntax(description: string): CatalogEntry {
  return { category: "syntax", severity: "error", description };
}

function hint(description: string): CatalogEntry {
  return { category: "hint", severity: "warning", description };
}

function check(page: string, description: string, isExperimental?: true): CatalogEntry {
  return {
    category: "check",
    severity: "warning",
    description,
    ...(page === "" ? {} : { url: `https://docs.docker.com/go/dockerfile/rule/${page}/` }),
    ...(isExperimental ? { isExperimental } : {}),
  };
}

/** Code → what is known of it. */
export const catalog: Readonly<Record<DiagnosticCode, CatalogEntry>> = {
  BlankName: syntax("A variable or label needs a name"),
  DuplicateFlag: syntax("A flag may be given once, unless it is a list"),
  EmptyDockerfile: syntax("A Dockerfile needs at least one instruction"),
  HeredocAsDestination: syntax("A heredoc is a source of COPY and ADD, not a destination"),
  InstructionBeforeFrom: syntax("Only ARG may stand before the first FROM"),
  InvalidCheckOption: syntax("A check directive is skip=, error= or experimental=, separated by semicolons"),
  InvalidDirective: syntax("A parser directive may be used once, and escape is a backslash or a backtick"),
  InvalidFlagValue: syntax("A flag that is on or off takes true or false"),
  InvalidHealthcheck: syntax("HEALTHCHECK is NONE, or CMD with a command and valid limits"),
  InvalidIgnorePattern: syntax("A line of an ignore file is a glob of Go's filepath.Match, with ** and a leading !"),
  InvalidJsonArray: syntax("The exec form is a JSON array of strings"),
  InvalidMount: syntax("--mount is a list of key=value fields that its type allows"),
  InvalidNetworkMode: syntax("The network of a RUN is default, none or host"),
  InvalidPort: syntax("EXPOSE takes ports, port ranges and tcp, udp or sctp"),
  InvalidSecurityMode: syntax("The security mode of a RUN is sandbox or insecure"),
  InvalidSignal: syntax("STOPSIGNAL is a signal's name or number"),
  InvalidStageName: syntax("A stage's name starts with a letter and has letters, digits, '-', '_' and '.'"),
  InvalidTrigger: syntax("ONBUILD takes any instruction but FROM, MAINTAINER and ONBUILD"),
  InvalidVolume: syntax("VOLUME takes paths"),
  LineTooLong: syntax("A line of a Dockerfile has at most 65535 bytes"),
  MissingAssignment: syntax("ENV and LABEL take name=value, or one name and its value"),
  MissingFlagValue: syntax("The flag needs a value"),
  NoStages: syntax("A Dockerfile needs a FROM"),
  ShellNotJson: syntax("SHELL takes a JSON array"),
  UnknownFlag: syntax("The instruction has no such flag"),
  UnknownInstruction: syntax("There is no such instruction"),
  UnsupportedSyntax: syntax("tsbuild implements docker/dockerfile and runs no other frontend image"),
  UnterminatedHeredoc: syntax("A heredoc ends at a line that holds nothing but its word"),
  WrongArgumentCount: syntax("The instruction takes another number of arguments"),
  HeredocWithoutErrexit: hint(
    "A shell that runs a heredoc of several lines goes on after one that fails, unless set -e",
  ),
  HugeUserId: hint("useradd writes logs whose size grows with the uid, unless --no-log-init"),
  InvalidCacheComment: hint("A tsbuild comment is no-cache or ttl=<lifetime>, above an instruction that makes a layer"),
  MalformedJsonForm: hint("An array that is not valid JSON runs as shell text"),

  StageNameCasing: check("stage-name-casing", "Stage names should be lowercase"),
  FromAsCasing: check("from-as-casing", "The 'as' keyword should match the case of the 'from' keyword"),
  NoEmptyContinuation: check(
    "no-empty-continuation",
    "Empty continuation lines will become errors in a future release",
  ),
  ConsistentInstructionCasing: check(
    "consistent-instruction-casing",
    "All commands within the Dockerfile should use the same casing (either upper or lower)",
  ),
  DuplicateStageName: check("duplicate-stage-name", "Stage names should be unique"),
  ReservedStageName: check("reserved-stage-name", "Reserved words should not be used as stage names"),
  JSONArgsRecommended: check(
    "json-args-recommended",
    "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
  ),
  MaintainerDeprecated: check(
    "maintainer-deprecated",
    "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
  ),
  UndefinedArgInFrom: check("undefined-arg-in-from", "FROM command must use declared ARGs"),
  WorkdirRelativePath: check(
    "workdir-relative-path",
    "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
  ),
  UndefinedVar: check("undefined-var", "Variables should be defined before their use"),
  MultipleInstructionsDisallowed: check(
    "multiple-instructions-disallowed",
    "Multiple instructions of the same type should not be used in the same stage",
  ),
  LegacyKeyValueFormat: check(
    "legacy-key-value-format",
    "Legacy key/value format with whitespace separator should not be used",
  ),
  InvalidBaseImagePlatform: check("", "Base image platform does not match expected target platform"),
  RedundantTargetPlatform: check(
    "redundant-target-platform",
    "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
  ),
  SecretsUsedInArgOrEnv: check(
    "secrets-used-in-arg-or-env",
    "Sensitive data should not be used in the ARG or ENV commands",
  ),
  InvalidDefaultArgInFrom: check(
    "invalid-default-arg-in-from",
    "Default value for global ARG results in an empty or invalid base image name",
  ),
  FromPlatformFlagConstDisallowed: check(
    "from-platform-flag-const-disallowed",
    "FROM --platform flag should not use a constant value",
  ),
  CopyIgnoredFile: check("copy-ignored-file", "Attempting to Copy file that is excluded by .dockerignore"),
  InvalidDefinitionDescription: check(
    "invalid-definition-description",
    "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    true,
  ),
  ExposeProtoCasing: check("expose-proto-casing", "Protocol in EXPOSE instruction should be lowercase"),
  ExposeInvalidFormat: check(
    "expose-invalid-format",
    "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release",
  ),
};

/** The catalogue's row of any code; undefined for a code that is not in it. */
export function catalogEntry(code: string): CatalogEntry | undefined {
  return Object.hasOwn(catalog, code) ? catalog[code as DiagnosticCode] : undefined;
}

export interface DiagnosticOptions {
  readonly help?: string | undefined;
  readonly fix?: Fix | undefined;
  readonly related?: readonly Related[] | undefined;
  readonly summary?: string | undefined;
  readonly focus?: Span | undefined;
}

/** A diagnostic with the severity, url and description that the catalogue has for its code. */
export function createDiagnostic(
  code: DiagnosticCode,
  span: Span,
  message: string,
  options: DiagnosticOptions = {},
): Diagnostic {
  const { severity, url, description } = catalog[code];
  const { help, fix, related, summary, focus } = options;
  return {
    code,
    severity,
    message,
    ...(summary === undefined ? {} : { summary }),
    span,
    ...(focus === undefined ? {} : { focus }),
    ...(related === undefined ? {} : { related }),
    ...(help === undefined ? {} : { help }),
    ...(fix === undefined ? {} : { fix }),
    ...(url === undefined ? {} : { url }),
    description,
  };
}
