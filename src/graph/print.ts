// A graph as stable text for people and golden files: one vertex per line, numbers instead of digests. Says everything that is identity,
// but for credentials in URLs.
import { assert } from "../base/assert.ts";
import { redactUrls } from "../base/url-text.ts";
import type { Digest } from "../oci/digest.ts";
import { formatPlatform } from "../oci/platform.ts";
import type { Graph, Vertex } from "./graph.ts";
import type { CopyAction, CopySource, ExecOp, FileOp, GitOp, HttpOp, MountOp, Op } from "./op.ts";

/** The graph, inputs first; every line ends in a line feed. The same graph gives the same text. */
export function printGraph(graph: Graph): string {
  const numbers = new Map<Digest, number>();
  let text = "";
  for (const vertex of graph.vertices.values()) {
    numbers.set(vertex.id, numbers.size + 1);
    text += `${printVertex(vertex, numbers)}\n`;
  }
  return text;
}

function printVertex(vertex: Vertex, numbers: ReadonlyMap<Digest, number>): string {
  const { op, inputs, meta } = vertex;
  const label = (input: Digest | undefined): string => {
    if (input === undefined) return "scratch";
    const number = numbers.get(input);
    assert(number !== undefined, "a vertex comes before its input");
    return `#${number}`;
  };
  const head = `#${numbers.get(vertex.id)} ${JSON.stringify(meta.name)}`;
  const from = inputs.length === 0 ? "" : ` (${inputs.map(label).join(", ")})`;
  const cache = meta.cache === "ignore" ? " no-cache" : "";
  const hidden = meta.hiddenEnv === undefined ? "" : ` hidden-env=${JSON.stringify(meta.hiddenEnv)}`;
  return `${head}${from} ${printOp(op)}${cache}${hidden}`;
}

function printOp(op: Op): string {
  switch (op.kind) {
    case "image":
      return words("image", op.reference, formatPlatform(op.platform), field("layout", op.layout));
    case "local":
      return words("local", op.name);
    case "http":
      return printHttp(op);
    case "git":
      return printGit(op);
    case "exec":
      return printExec(op);
    case "file":
      return printFile(op);
  }
}

function printHttp({ url, filename, checksum, unpack }: HttpOp): string {
  return words(
    "http",
    redactUrls(url),
    field("filename", filename),
    field("checksum", checksum),
    flag("unpack", unpack === true),
  );
}

function printGit(op: GitOp): string {
  return words(
    "git",
    redactUrls(op.remote),
    field("ref", op.ref),
    field("subdir", op.subdir),
    flag("keep-git-dir", op.keepGitDir),
    flag("no-submodules", !op.submodules),
    op.mtime === "commit" ? "mtime=commit" : "",
    field("checksum", op.checksum),
  );
}

function printExec(op: ExecOp): string {
  return words(
    "exec",
    JSON.stringify(op.args),
    `env=${JSON.stringify(op.env)}`,
    field("cwd", op.cwd),
    field("user", op.user === "" ? undefined : op.user),
    field("hostname", op.hostname),
    op.network === "default" ? "" : `network=${op.network}`,
    op.security === "sandbox" ? "" : `security=${op.security}`,
    ...op.mounts.map((mount) => `mount=${printMount(mount)}`),
    ...(op.devices ?? []).map(({ name, isRequired }) => `device=${name}${isRequired ? ",required" : ""}`),
    ...(op.pipes ?? []).map(({ name, content }) => `pipe=${JSON.stringify([name, content])}`),
    field("shm-size", op.shmSize),
    ...(op.ulimits ?? []).map(({ name, soft, hard }) => `ulimit=${name}=${soft}:${hard}`),
    field("cgroup-parent", op.cgroupParent),
    op.extraHosts === undefined ? "" : `hosts=${op.extraHosts.join(",")}`,
    formatPlatform(op.platform),
  );
}

/** `bind:{"input":1,"target":"/src"}`: members as they are, sorted. */
function printMount({ kind, ...members }: MountOp): string {
  const entries = Object.entries(members).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${kind}:${JSON.stringify(Object.fromEntries(entries))}`;
}

function printFile({ action, isLinked }: FileOp): string {
  if (action.kind === "copy") return words("copy", ...printCopy(action), flag("link", isLinked));
  const { path, user, mode } = action;
  return words("mkdir", path, field("user", user === "" ? undefined : user), `mode=${mode.toString(8)}`);
}

function printCopy(action: CopyAction): readonly string[] {
  return [
    ...action.sources.map(printSource),
    `-> ${JSON.stringify(action.dest)}`,
    field("chown", action.chown),
    field("chmod", action.chmod),
    flag("parents", action.parents),
    ...action.exclude.map((pattern) => `exclude=${JSON.stringify(pattern)}`),
    action.unpack === "never" ? "" : `unpack=${action.unpack}`,
  ];
}

/** Input number, then the pattern; `!` in front of the pattern where wildcards mean nothing. */
function printSource(source: CopySource): string {
  if (source.kind === "inline") return `inline=${JSON.stringify([source.name, source.content])}`;
  return `${source.input}:${source.isWildcardAllowed ? "" : "!"}${JSON.stringify(source.pattern)}`;
}

function words(...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(" ");
}

function field(name: string, value: string | number | undefined): string {
  return value === undefined ? "" : `${name}=${value}`;
}

function flag(name: string, isSet: boolean): string {
  return isSet ? name : "";
}
