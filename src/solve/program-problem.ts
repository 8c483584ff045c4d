// Why a program of a root file system does not start: not there, a script with Windows line ends, without its interpreter, for another machine. Looks into the layers, runs nothing.
import { open } from "node:fs/promises";
import { suggest } from "../base/suggest.ts";
import { formatPlatform, isNativeArchitecture, type Platform } from "../oci/platform.ts";
import { resolvePath } from "../rootfs/resolve.ts";
import type { Entry } from "../tree/entry.ts";
import type { Tree } from "../tree/tree.ts";

/** Where a program is looked for. */
export interface ProgramAt {
  readonly tree: Tree;
  readonly cwd: string;
  /** `NAME=value`. */
  readonly env: readonly string[];
  /** That the step's programs are for. */
  readonly platform: Platform;
}

interface Problem {
  readonly summary: string;
  readonly help: string;
  /** The program is there and may be executed: it is the kernel that refuses it. */
  readonly isRefused?: true;
  /** As ErrorDetails.culprit. */
  readonly culprit?: "shell";
  /** As ErrorDetails.word. */
  readonly word?: string;
}

/** `args` did not start; `said` is what the runtime or the shell says about it. */
export async function explainProgram(at: ProgramAt, args: readonly string[], said: string): Promise<Problem> {
  const [name = "", flag] = args;
  const found = await findProgram(at, name);
  if (!found) return missingProgram(at, args, flag === "-c");
  const problem = await problemOf(at, found.entry, name);
  if (problem) return { ...problem, word: name };
  const summary = `"${name}" does not start: ${said}`;
  return { summary, help: "check that it is a program for this platform and that it may be executed", word: name };
}

async function missingProgram(at: ProgramAt, args: readonly string[], isShell: boolean): Promise<Problem> {
  const [name = "", , text = ""] = args;
  if (isShell && name !== "/bin/sh") {
    const summary = `this stage has no ${name}, which SHELL names`;
    return {
      summary,
      help: `delete this SHELL line (then /bin/sh is used), or install ${name} above it`,
      culprit: "shell",
    };
  }
  if (isShell) {
    const help = text.trimStart().startsWith("chmod ")
      ? "delete this RUN and set the mode when copying: COPY --chmod=0755 …; or start from an image with a shell"
      : "start from an image with a shell, or run it in a stage that has one and take the files with COPY --from";
    return { summary: `this stage has no shell (${name}), and this RUN needs one`, help };
  }
  const summary = `there is no program "${name}" in this stage`;
  const near = await nearestCommand(at, name);
  const help = "copy or install it in an earlier instruction of this stage, or check the path";
  return { summary, help: near === undefined ? help : `did you mean "${near}"?`, word: name };
}

async function problemOf(at: ProgramAt, file: Entry, name: string): Promise<Problem | undefined> {
  if (file.type === "dir") {
    return { summary: `"${name}" is a directory, not a program`, help: "name the program in it" };
  }
  if ((file.mode & 0o111) === 0) {
    const help = `copy it with COPY --chmod=0755 …, or add before this line: RUN chmod +x ${name}`;
    return { summary: `"${name}" is not executable: its mode is 0${(file.mode & 0o7777).toString(8)}`, help };
  }
  const refusal = await refusalOf(at, file, name);
  return refusal && { ...refusal, isRefused: true };
}

/** Why the kernel does not start a file that may be executed. */
async function refusalOf(at: ProgramAt, file: Entry, name: string): Promise<Problem | undefined> {
  const { tree, platform } = at;
  const head = await headOf(tree, file);
  const interpreter = interpreterOf(head);
  if (interpreter?.endsWith("\r")) {
    const summary = `"${name}" is a script with Windows line endings (CRLF): its first line names "${interpreter.slice(0, -1)}\\r"`;
    return {
      summary,
      help: `save it with Unix line endings in your editor, or convert it before it runs: RUN sed -i 's/\\r$//' ${name} (with git, "*.sh text eol=lf" in .gitattributes keeps them right)`,
    };
  }
  const started = interpreter === undefined ? file : (await resolvePath(tree, interpreter)).entry;
  if (!started) return missingInterpreter(at, name, interpreter!);
  const machine = machineOf(started === file ? head : await headOf(tree, started));
  if (machine !== undefined && !isNativeArchitecture(machine)) return foreignProgram(name, machine, platform);
  if (machine !== undefined && interpreter === undefined) {
    const summary = `"${name}" needs a dynamic loader or libraries that are not in this stage`;
    return { summary, help: "link it statically, or start from an image with the C library that it was built for" };
  }
  if (machine !== undefined || interpreter !== undefined) return undefined;
  const summary = `"${name}" is neither a program for Linux nor a script (exec format error)`;
  return { summary, help: NOT_A_PROGRAM };
}

async function missingInterpreter(at: ProgramAt, name: string, interpreter: string): Promise<Problem> {
  const summary = `"${name}" is a script for "${interpreter}", which is not in this stage`;
  const program = interpreter.slice(interpreter.lastIndexOf("/") + 1);
  if (program === "env") return { summary, help: "name the interpreter itself in its first line, as in #!/bin/sh" };
  const elsewhere = (await findProgram(at, program))?.path;
  const help =
    elsewhere === undefined
      ? `use an image that has ${program} (and the first line #!/usr/bin/env ${program}), or install it at ${interpreter} in an earlier RUN`
      : `write #!${elsewhere} as its first line: this stage has ${program} there`;
  return { summary, help };
}

const NOT_A_PROGRAM =
  "a program must be built for Linux; a script needs a first line such as #!/bin/sh, and that interpreter must be in this stage";

/** A program of another machine: it has to be emulated where the step is for its platform, and is a mistake elsewhere. */
function foreignProgram(name: string, machine: string, { architecture, ...more }: Platform): Problem {
  if (machine === architecture) {
    const shown = formatPlatform({ architecture, ...more });
    const summary = `"${name}" is a program for ${shown}, which this machine does not run (exec format error)`;
    return { summary, help: "install qemu-user-static on this machine: the kernel then runs such programs with it" };
  }
  const isNamed = !machine.includes(" ");
  const other = isNamed ? `linux/${machine}` : machine;
  const summary = `"${name}" is a program for ${other}, but this build is for linux/${architecture} (exec format error)`;
  const needs = `; or build for ${machine}: --platform=${other} (on such a machine, or with qemu-user-static)`;
  return { summary, help: `copy the linux/${architecture} version of ${name}${isNamed ? needs : ""}` };
}

/** What `name` stands for: the first regular file on PATH where it has no slash. */
async function findProgram(
  at: ProgramAt,
  name: string,
): Promise<{ readonly path: string; readonly entry: Entry } | undefined> {
  const paths = name.includes("/") ? [absolute(at.cwd, name)] : pathOf(at).map((folder) => `${folder}/${name}`);
  for (const path of paths) {
    const { entry } = await resolvePath(at.tree, path);
    if (entry?.type === "file" || (entry?.type === "dir" && name.includes("/"))) return { path, entry };
  }
  return undefined;
}

/** Something spelt nearly as `name` beside it, or on PATH. */
export async function nearestCommand(at: ProgramAt, name: string): Promise<string | undefined> {
  const cut = name.lastIndexOf("/");
  if (cut >= 0) {
    const near = suggest(name.slice(cut + 1), await namesIn(at.tree, absolute(at.cwd, name.slice(0, cut + 1))));
    return near && `${name.slice(0, cut + 1)}${near}`;
  }
  if (name.length < 3) return undefined;
  const names = await Promise.all(pathOf(at).map((folder) => namesIn(at.tree, folder)));
  return suggest(name, names.flat(), name.length < 5 ? 1 : 2);
}

async function namesIn(tree: Tree, folder: string): Promise<readonly string[]> {
  const { path, entry } = await resolvePath(tree, folder);
  return entry?.type === "dir" ? tree.readdir(path) : [];
}

function pathOf({ env }: ProgramAt): readonly string[] {
  const value = env.findLast((variable) => variable.startsWith("PATH="))?.slice("PATH=".length) ?? "";
  return value.split(":").filter((folder) => folder.startsWith("/"));
}

function absolute(cwd: string, path: string): string {
  return path.startsWith("/") ? path : `${cwd}/${path}`;
}

/** The program that the first line of a script names; undefined for other files. */
function interpreterOf(head: Buffer): string | undefined {
  return /^#![ \t]*([^ \t\n]+)/.exec(head.toString("latin1"))?.[1];
}

async function headOf(tree: Tree, entry: Entry): Promise<Buffer> {
  if (entry.type !== "file") return Buffer.alloc(0);
  const bytes = await tree.locate(entry);
  if (bytes.kind === "inline") return Buffer.from(bytes.data).subarray(0, 256);
  await using file = await open(bytes.path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(256), 0, 256, 0);
  return buffer.subarray(0, bytesRead);
}

/** Architecture of an ELF file as platforms name it; undefined for other files. */
function machineOf(head: Buffer): string | undefined {
  if (head.length < 20 || head.readUInt32BE(0) !== 0x7f454c46) return undefined;
  const machine = head[5] === 2 ? head.readUInt16BE(18) : head.readUInt16LE(18);
  return MACHINES[machine] ?? `machine type ${machine}`;
}

/** ELF e_machine, from elf.h. */
const MACHINES: Readonly<Record<number, string>> = {
  3: "386",
  8: "mips",
  20: "ppc",
  21: "ppc64le",
  22: "s390x",
  40: "arm",
  62: "amd64",
  183: "arm64",
  243: "riscv64",
  258: "loong64",
};
