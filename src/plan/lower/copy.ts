// COPY and ADD (reference C01–C16, AD03–AD08, V22, V27, HI03). What the files do when they meet the rootfs is the solver's.
import { parseGitUrl, type GitUrl, type GitUrlError } from "../../base/git-url.ts";
import { redactUsers } from "../../base/url-text.ts";
import { findIn, type Span } from "../../diagnostics/source.ts";
import type { AddInstruction, CopyInstruction, Heredoc, Word } from "../../frontend/ast.ts";
import { HEREDOC_BODY } from "../../frontend/expand.ts";
import type { CopyAction, CopySource } from "../../graph/op.ts";
import { parseDigest, type Digest } from "../../oci/digest.ts";
import { destinationPath, isFileMode, isHttpUrl, sourcePattern, urlFilename } from "../copy-paths.ts";
import { gitOp } from "../git-source.ts";
import { goQuote } from "../../base/go-text.ts";
import { copyHistory, historyEntry } from "../history.ts";
import { withHistory, workdirOf, type ImageState } from "../image-state.ts";
import { addMainContext } from "../sources.ts";
import { checkHeredocName } from "../heredoc-name.ts";
import { expandIn, nextStep, spanOr, type LowerContext } from "./context.ts";

type CopyLike = CopyInstruction | AddInstruction;

/** All words of the instruction, expanded. */
interface CopyWords {
  readonly paths: readonly { readonly text: string; readonly span: Span }[];
  readonly inline: readonly { readonly name: string; readonly content: string }[];
  readonly dest: string;
  readonly chown: string | undefined;
  readonly chmod: string | undefined;
  readonly checksum: string | undefined;
}

export function lowerCopy(instruction: CopyLike, state: ImageState, context: LowerContext): ImageState {
  const words = expandCopyWords(instruction, state, context);
  if (!words) return state;
  const isSound = [checkMode(instruction, words, context), checkChecksum(instruction, words, context)].every(Boolean);
  if (!isSound) return state;
  // With --chmod BuildKit copies as without --link (C12).
  const isLinked = instruction.link && words.chmod === undefined;
  const step = nextStep(instruction, state, context, isLinked ? { prefix: "LINK " } : {});
  const inputs: (Digest | undefined)[] = [state.rootfs];
  const sources = words.paths.map((path) => planSource(path, instruction, words, context, inputs, step.meta.name));
  if (!sources.every((source) => source !== undefined)) return state;
  const action: CopyAction = {
    kind: "copy",
    sources: [...sources, ...words.inline.map((file) => ({ kind: "inline" as const, ...file }))],
    dest: destinationPath(words.dest, workdirOf(state)),
    ...(words.chown === undefined ? {} : { chown: words.chown }),
    ...(words.chmod === undefined ? {} : { chmod: words.chmod }),
    parents: instruction.kind === "copy" && instruction.parents,
    exclude: instruction.exclude.map(({ text }) => text),
    unpack: unpackOf(instruction, sources),
  };
  const rootfs = context.builder.add({ kind: "file", action, isLinked }, inputs, step.meta);
  const createdBy = copyHistory({
    keyword: instruction.kind === "add" ? "ADD" : "COPY",
    parents: action.parents,
    chown: words.chown,
    chmod: words.chmod,
    paths: words.paths.map(({ text }) => redactUsers(text)),
    heredocs: words.inline.map(({ name }) => name),
    dest: words.dest,
  });
  return withHistory({ ...step.state, rootfs }, historyEntry(createdBy, rootfs));
}

function expandCopyWords(instruction: CopyLike, state: ImageState, context: LowerContext): CopyWords | undefined {
  const optional = (word: Word | undefined) => (word ? expandIn(word, state, context) : "");
  const paths: { text: string; span: Span }[] = [];
  const inline: { name: string; content: string }[] = [];
  let isSound = true;
  for (const source of instruction.sources) {
    const text = source.kind === "word" ? expandIn(source, state, context) : expandBody(source, state, context);
    if (text === undefined) isSound = false;
    else if (source.kind === "word") paths.push({ text, span: source.span });
    else if (!checkHeredocName(source, context.reporter)) isSound = false;
    else inline.push({ name: source.name, content: text });
  }
  const dest = expandIn(instruction.dest, state, context);
  const [chown, chmod] = [optional(instruction.chown), optional(instruction.chmod)];
  const checksum = optional(instruction.kind === "add" ? instruction.checksum : undefined);
  if (!isSound || dest === undefined || chown === undefined || chmod === undefined || checksum === undefined) {
    return undefined;
  }
  const given = (text: string) => (text === "" ? undefined : text);
  return { paths, inline, dest, chown: given(chown), chmod: given(chmod), checksum: given(checksum) };
}

function expandBody(heredoc: Heredoc, state: ImageState, context: LowerContext): string | undefined {
  if (!heredoc.isExpanded) return heredoc.content;
  return expandIn({ text: heredoc.content, span: heredoc.bodySpan }, state, context, HEREDOC_BODY);
}

function checkMode(instruction: CopyLike, words: CopyWords, context: LowerContext): boolean {
  if (words.chmod === undefined || isFileMode(words.chmod)) return true;
  const message = `invalid chmod parameter: '${words.chmod}'. it should be octal string and between 0 and 07777`;
  const span = spanOr(instruction.chmod, instruction);
  const wrong = wrongLetter(words.chmod);
  const why = wrong === undefined ? "" : `: ${goQuote(wrong)} is not a permission`;
  context.reporter.error("InvalidChmod", span, message, {
    summary: `invalid mode ${goQuote(words.chmod)}${why}`,
    help: "write octal (--chmod=0755) or symbolic (--chmod=u+x,go-w)",
    focus: wrong !== undefined && instruction.chmod?.text === words.chmod ? findIn(span, wrong) : undefined,
  });
  return false;
}

function wrongLetter(mode: string): string | undefined {
  const letters = mode.split(",").flatMap((clause) => (/^[ugoa]*[+=-](.*)$/s.exec(clause)?.[1] ?? "").split(""));
  return letters.find((letter) => !"rwxXstugo+=-".includes(letter));
}

function checkChecksum(instruction: CopyLike, words: CopyWords, context: LowerContext): boolean {
  if (words.checksum === undefined || instruction.kind !== "add") return true;
  const span = spanOr(instruction.checksum, instruction);
  const [first] = words.paths;
  if (words.paths.length !== 1 || words.inline.length > 0 || !first) {
    const help = first ? "write one ADD per source" : "remove --checksum: a heredoc is compared by content anyway";
    context.reporter.error("InvalidChecksum", span, "checksum can't be specified for multiple sources", { help });
    return false;
  }
  if (isHttpUrl(first.text) || parseGitUrl(first.text, { isContext: false })) return true;
  context.reporter.error("InvalidChecksum", span, "checksum requires HTTP(S) or Git sources", {
    help: "remove --checksum: local files are compared by content anyway",
  });
  return false;
}

/** The source of one word: git, then http, then a path. Undefined where it is in error, which is then reported. */
function planSource(
  path: { readonly text: string; readonly span: Span },
  instruction: CopyLike,
  words: CopyWords,
  context: LowerContext,
  inputs: (Digest | undefined)[],
  name: string,
): CopySource | undefined {
  const { text, span } = path;
  const git = parseGitUrl(text, { isContext: false });
  if (git || isHttpUrl(text)) {
    if (instruction.kind === "copy") {
      const what = git ? "git ref" : "URL";
      context.reporter.error("RemoteSourceInCopy", span, `source can't be a ${what} for COPY`, {
        summary: `COPY cannot fetch a ${what}`,
        help: "write ADD instead of COPY",
      });
      return undefined;
    }
    const source = git
      ? planGit(git, span, instruction, words, context, name)
      : planHttp(text, instruction, words, context, name);
    if (!source) return undefined;
    return {
      kind: "path",
      input: inputIndex(inputs, source.vertex),
      pattern: source.pattern,
      isWildcardAllowed: false,
    };
  }
  const isParents = instruction.kind === "copy" && instruction.parents;
  const pattern = sourcePattern(text, isParents);
  const [linked] = context.sources;
  if (!linked && context.options.context.kind === "local") {
    context.addContextCopy({
      instruction: instruction.kind === "add" ? "Add" : "Copy",
      path: sourcePattern(text, false),
      span,
    });
  }
  const vertex = linked ? linked.vertex : addMainContext(context.builder, context.options.context);
  return { kind: "path", input: inputIndex(inputs, vertex), pattern, isWildcardAllowed: true };
}

/** Index of a source vertex; the rootfs at 0 is never shared with a source. */
function inputIndex(inputs: (Digest | undefined)[], vertex: Digest | undefined): number {
  const known = inputs.indexOf(vertex, 1);
  return known < 0 ? inputs.push(vertex) - 1 : known;
}

interface RemoteSource {
  readonly vertex: Digest;
  readonly pattern: string;
}

function planGit(
  git: GitUrl | GitUrlError,
  span: Span,
  instruction: AddInstruction,
  words: CopyWords,
  context: LowerContext,
  name: string,
): RemoteSource | undefined {
  const fail = (message: string, help?: string) => {
    context.reporter.error("InvalidGitSource", span, message, { help });
    return undefined;
  };
  if ("error" in git) return fail(git.error, git.help);
  const [flag, query] = [instruction.keepGitDir, git.keepGitDir];
  if (flag !== undefined && query !== undefined && flag !== query)
    return fail("inconsistent keep-git-dir configuration");
  if (words.checksum !== undefined && git.checksum !== undefined && words.checksum !== git.checksum) {
    return fail(`checksum mismatch ${goQuote(words.checksum)} != ${goQuote(git.checksum)}`);
  }
  const checksum = git.checksum ?? words.checksum;
  if (checksum !== undefined && !/^[0-9a-f]+$/i.test(checksum)) {
    return fail(`invalid checksum ${checksum} for Git URL, expected hex commit hash`);
  }
  const op = gitOp(git, { keepGitDir: flag ?? false, checksum });
  return { vertex: context.builder.add(op, [], remoteMeta(name, span)), pattern: "" };
}

function planHttp(
  url: string,
  instruction: AddInstruction,
  words: CopyWords,
  context: LowerContext,
  name: string,
): RemoteSource | undefined {
  const filename = urlFilename(url);
  const span = spanOr(instruction.checksum, instruction);
  let checksum: Digest | undefined;
  if (words.checksum !== undefined) {
    checksum = parseDigest(words.checksum);
    if (checksum === undefined) {
      context.reporter.error("InvalidChecksum", span, checksumProblem(words.checksum), {
        help: "write --checksum=sha256:<64 hex digits>",
      });
      return undefined;
    }
  }
  const op = { kind: "http", url, filename, ...(checksum === undefined ? {} : { checksum }) } as const;
  return { vertex: context.builder.add(op, [], remoteMeta(name, span)), pattern: filename };
}

/** go-digest's words for what is wrong. */
function checksumProblem(text: string): string {
  const match = /^([A-Za-z0-9_+.-]+):([a-fA-F0-9]+)$/.exec(text);
  if (!match) return "invalid checksum digest format";
  return /^sha(?:256|512)$/.test(match[1]!) ? "invalid checksum digest length" : "unsupported digest algorithm";
}

function remoteMeta(
  name: string,
  span: Span,
): { name: string; stage: string; span: Span; cache: "use"; instruction: string } {
  return { name, stage: "", span, cache: "use", instruction: "" };
}

/** ADD opens local archives unless told otherwise, and downloads only where told so (AD01, AD03). */
function unpackOf(instruction: CopyLike, sources: readonly CopySource[]): CopyAction["unpack"] {
  if (instruction.kind === "copy") return "never";
  if (instruction.unpack !== undefined) return instruction.unpack ? "always" : "never";
  return sources.some((source) => source.kind === "path" && source.isWildcardAllowed) ? "auto" : "never";
}
