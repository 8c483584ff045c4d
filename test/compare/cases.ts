// The folders of fixtures/images: a Dockerfile with its context and, where needed, a case.json with flags and with what git cannot keep of a context.
import {
  chmodSync,
  cpSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  writeFileSync,
} from "node:fs";
import { lutimesSync, copyFileSync, rmSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { CONTEXT_TIME } from "./image-facts.ts";

export const PROJECT: string = resolve(import.meta.dirname, "../..");
const FIXTURES = join(PROJECT, "fixtures/images");
/** Image that most cases start from: made from fixtures/images/base and the machine's busybox, so that both builders have the same. */
export const BASE = "busybox";

export interface Case {
  readonly name: string;
  readonly folder: string;
  /** Flags for both builders; `{context}` is the folder of the copy, `{base}` the OCI layout of {@link BASE}. */
  readonly args: readonly string[];
  /** Variables of both builders' environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Whether docker's facts are kept in expected.json: not where they hold times, or files of a base image from a registry. */
  readonly isRecorded: boolean;
  readonly shape: readonly Shape[];
}

/** A change to the copied context: mode of a path, hard link, empty directory or FIFO. */
type Shape =
  | { readonly mode: string; readonly path: string }
  | { readonly link: string; readonly path: string }
  | { readonly directory: string }
  | { readonly fifo: string };

interface CaseFile {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly isRecorded?: boolean;
  readonly shape?: readonly Shape[];
}

const DEMO: Case = {
  name: "demo",
  folder: join(PROJECT, "fixtures/demo"),
  args: ["--build-context", "tsbuild-demo/base=oci-layout://{base}:latest"],
  env: {},
  isRecorded: false,
  shape: [],
};

/** All cases by name; throws where one of `names` does not exist. */
export function findCases(names: readonly string[] = []): Case[] {
  const folders = readdirSync(FIXTURES, { withFileTypes: true }).filter(
    (entry) => entry.isDirectory() && entry.name !== "base",
  );
  const all = [DEMO, ...folders.map(({ name }) => readCase(name))].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const unknown = names.find((name) => !all.some((each) => each.name === name));
  if (unknown !== undefined) throw new Error(`no case "${unknown}" in fixtures/images`);
  return names.length === 0 ? all : all.filter(({ name }) => names.includes(name));
}

function readCase(name: string): Case {
  const folder = join(FIXTURES, name);
  const path = join(folder, "case.json");
  const {
    args = [],
    env = {},
    isRecorded = true,
    shape = [],
  } = existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as CaseFile) : {};
  return { name, folder, args, env, isRecorded, shape };
}

/** Path of the facts that docker's image had. */
export function expectedFile(each: Case): string {
  return join(each.folder, "expected.json");
}

/** A temporary directory that goes when it is disposed of. */
export function temporaryFolder(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "tsbuild-compare-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Copies a case's context to `folder`, with the modes and times that every machine gives it. */
export function copyContext(each: Case, folder: string): void {
  const isOurs = (path: string): boolean => path === expectedFile(each) || path === join(each.folder, "case.json");
  cpSync(each.folder, folder, { recursive: true, verbatimSymlinks: true, filter: (path) => !isOurs(path) });
  settle(folder, each.shape);
}

/** Copies the context of {@link BASE}, with the machine's busybox. */
export function copyBaseContext(folder: string): void {
  cpSync(join(FIXTURES, "base"), folder, { recursive: true });
  copyFileSync("/bin/busybox", join(folder, "busybox"));
  settle(folder, []);
}

function settle(folder: string, shape: readonly Shape[]): void {
  for (const each of shape) {
    if ("directory" in each) mkdirSync(join(folder, each.directory), { recursive: true });
    else if ("fifo" in each) execFileSync("mkfifo", [join(folder, each.fifo)]);
    else if ("link" in each) linkSync(join(folder, each.link), join(folder, each.path));
  }
  // What a checkout gave depends on the umask: only "executable" is git's.
  visit(folder, (path) => {
    const stat = lstatSync(path);
    if (!stat.isSymbolicLink()) chmodSync(path, stat.isDirectory() || (stat.mode & 0o100) !== 0 ? 0o755 : 0o644);
  });
  for (const each of shape) if ("mode" in each) chmodSync(join(folder, each.path), Number.parseInt(each.mode, 8));
  visit(folder, (path) => lutimesSync(path, CONTEXT_TIME, CONTEXT_TIME));
}

/** Children before their directory. */
function visit(path: string, act: (path: string) => void): void {
  if (lstatSync(path).isDirectory()) for (const name of readdirSync(path)) visit(join(path, name), act);
  act(path);
}

/** The words that both builders get, apart from where the image goes. */
export function buildWords(each: Case, context: string, base: string): string[] {
  const args = each.args.map((word) => word.replaceAll("{context}", context).replaceAll("{base}", base));
  return [...args, "--build-context", `${BASE}=oci-layout://${base}:latest`, context];
}

export function writeExpected(each: Case, facts: object): void {
  writeFileSync(expectedFile(each), `${JSON.stringify(facts, null, 1)}\n`);
}
