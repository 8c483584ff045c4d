// The Dockerfile as data. Every node is a plain readonly value with the exact span of its text; nothing is expanded and nothing is looked up.
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import type { SourceFile, Span } from "../diagnostics/source.ts";

/** Text as written (with its quotes, escapes and variables) after line continuations were joined. Its span covers the raw text, continuations included. */
export interface Word {
  readonly text: string;
  readonly span: Span;
}

/** `--name=value` or `--name` of an instruction; quotes and escapes inside the flag are already removed (reference L09). */
export interface Flag {
  readonly name: string;
  /** Undefined where there is no "=". */
  readonly value: string | undefined;
  readonly span: Span;
  /** Span of the value, or of the whole flag where there is none. */
  readonly valueSpan: Span;
}

/** `<<NAME` with its body. */
export interface Heredoc {
  /** The word without quotes. */
  readonly name: string;
  readonly fileDescriptor: number;
  /** The body after tabs were chomped (`<<-`), line ends as in the file. */
  readonly content: string;
  /** Unquoted word: COPY and ADD expand the body. */
  readonly isExpanded: boolean;
  readonly isChomped: boolean;
  /** Span of the `<<NAME` token. */
  readonly span: Span;
  readonly bodySpan: Span;
}

/** `# key=value` at the top of the file. */
export interface Directive {
  readonly key: "syntax" | "escape" | "check";
  readonly value: string;
  readonly span: Span;
}

interface InstructionBase {
  readonly span: Span;
  /** The instruction's name as written. */
  readonly keyword: Word;
  readonly flags: readonly Flag[];
  /** The instruction's text with continuations joined and comments dropped, name included: for ONBUILD, progress names and explanations. */
  readonly original: string;
  /** Comment lines directly above, each without "#" and one leading blank: descriptions and `check=` comments. */
  readonly comments: readonly string[];
  /** Blank lines among its continuations, and its last physical line (BuildKit reports that one). Absent where there are none. */
  readonly emptyContinuation?: { readonly lines: readonly Span[]; readonly last: Span };
}

export interface ShellForm {
  readonly kind: "shell";
  readonly text: string;
  readonly span: Span;
}

export interface ExecForm {
  readonly kind: "exec";
  readonly args: readonly string[];
  readonly span: Span;
}

export type Command = ShellForm | ExecForm;

/** `NAME=value` of ARG, ENV and LABEL: both sides raw. */
export interface KeyValue {
  readonly key: Word;
  /** Undefined: ARG without default. */
  readonly value: Word | undefined;
  readonly span: Span;
}

export interface FromInstruction extends InstructionBase {
  readonly kind: "from";
  readonly image: Word;
  readonly platform: Word | undefined;
  /** Stage name as written; compare in lower case. */
  readonly name: Word | undefined;
  /** The AS keyword as written. */
  readonly as: Word | undefined;
}

export interface RunInstruction extends InstructionBase {
  readonly kind: "run";
  /** Empty text for a RUN that has only heredocs (`RUN <<EOF`). */
  readonly command: Command;
  readonly heredocs: readonly Heredoc[];
  readonly mounts: readonly MountFlag[];
  /** What is wrong with those that are left out; it is told where the stage is built (M61). */
  readonly mountProblems?: readonly Diagnostic[];
  readonly network: Word | undefined;
  readonly security: Word | undefined;
  readonly devices: readonly Word[];
}

export type MountType = "bind" | "cache" | "tmpfs" | "secret" | "ssh";

/** One `--mount=…`: fields in order, keys lower-case, values raw (they are expanded when the RUN is planned). */
export interface MountFlag {
  /** `variable`: it is known once it is expanded. */
  readonly type: MountType | "variable";
  readonly fields: readonly MountField[];
  readonly span: Span;
}

export interface MountField {
  readonly key: string;
  /** Undefined: a key without "=", as in `required`. */
  readonly value: string | undefined;
  readonly span: Span;
}

/** A source of COPY or ADD. */
export type CopySourceWord = ({ readonly kind: "word" } & Word) | ({ readonly kind: "heredoc" } & Heredoc);

interface CopyBase extends InstructionBase {
  readonly sources: readonly CopySourceWord[];
  readonly dest: Word;
  readonly chown: Word | undefined;
  readonly chmod: Word | undefined;
  readonly link: boolean;
  readonly exclude: readonly Word[];
}

export interface CopyInstruction extends CopyBase {
  readonly kind: "copy";
  readonly from: Word | undefined;
  readonly parents: boolean;
}

export interface AddInstruction extends CopyBase {
  readonly kind: "add";
  readonly checksum: Word | undefined;
  readonly keepGitDir: boolean | undefined;
  /** Undefined: not given. */
  readonly unpack: boolean | undefined;
}

export interface ArgInstruction extends InstructionBase {
  readonly kind: "arg";
  readonly args: readonly KeyValue[];
}

export interface EnvInstruction extends InstructionBase {
  readonly kind: "env";
  readonly pairs: readonly KeyValue[];
  /** `ENV key value`. */
  readonly isLegacy: boolean;
}

export interface LabelInstruction extends InstructionBase {
  readonly kind: "label";
  readonly pairs: readonly KeyValue[];
  readonly isLegacy: boolean;
}

export interface CmdInstruction extends InstructionBase {
  readonly kind: "cmd";
  readonly command: Command;
}

export interface EntrypointInstruction extends InstructionBase {
  readonly kind: "entrypoint";
  readonly command: Command;
}

export interface ShellInstruction extends InstructionBase {
  readonly kind: "shell";
  readonly args: readonly string[];
}

export interface UserInstruction extends InstructionBase {
  readonly kind: "user";
  readonly user: Word;
}

export interface WorkdirInstruction extends InstructionBase {
  readonly kind: "workdir";
  readonly path: Word;
}

export interface VolumeInstruction extends InstructionBase {
  readonly kind: "volume";
  readonly paths: readonly Word[];
}

export interface ExposeInstruction extends InstructionBase {
  readonly kind: "expose";
  readonly ports: readonly Word[];
}

export interface StopsignalInstruction extends InstructionBase {
  readonly kind: "stopsignal";
  readonly signal: Word;
}

export interface HealthcheckInstruction extends InstructionBase {
  readonly kind: "healthcheck";
  /** Undefined: HEALTHCHECK NONE. */
  readonly command: Command | undefined;
  /** Nanoseconds, a bigint where they are no safe integer; 0 = inherit. */
  readonly interval: number | bigint;
  readonly timeout: number | bigint;
  readonly startPeriod: number | bigint;
  readonly startInterval: number | bigint;
  readonly retries: number;
}

export interface MaintainerInstruction extends InstructionBase {
  readonly kind: "maintainer";
  readonly name: Word;
}

export interface OnbuildInstruction extends InstructionBase {
  readonly kind: "onbuild";
  /** The trigger as it is stored in the image config: raw, heredoc bodies included. */
  readonly trigger: string;
}

export type Instruction =
  | AddInstruction
  | ArgInstruction
  | CmdInstruction
  | CopyInstruction
  | EntrypointInstruction
  | EnvInstruction
  | ExposeInstruction
  | HealthcheckInstruction
  | LabelInstruction
  | MaintainerInstruction
  | OnbuildInstruction
  | RunInstruction
  | ShellInstruction
  | StopsignalInstruction
  | UserInstruction
  | VolumeInstruction
  | WorkdirInstruction;

export interface Stage {
  readonly index: number;
  readonly from: FromInstruction;
  readonly instructions: readonly Instruction[];
  readonly span: Span;
}

export interface Dockerfile {
  readonly source: SourceFile;
  /** "\\" or "`". */
  readonly escape: string;
  readonly directives: readonly Directive[];
  /** ARGs before the first FROM. */
  readonly metaArgs: readonly ArgInstruction[];
  readonly stages: readonly Stage[];
}

/** What parsing yields: errors do not stop it, so every error of a file is reported at once. */
export interface ParseResult {
  readonly dockerfile: Dockerfile;
  readonly diagnostics: readonly Diagnostic[];
}
