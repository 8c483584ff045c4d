// Values of single flags: sizes, ulimits, secrets, ssh, `KEY=VALUE`.
import { resolve } from "node:path";
import { parseBytes } from "../base/size-text.ts";
import { BuildError, type SecretSource, type SshSource, type Ulimit } from "../index.ts";
import { booleanAttribute, csvAttributes } from "./csv.ts";

/** Bytes of `64m`, `1.5g`, `1024`: docker's units are powers of 1024. */
export function parseSize(flag: string, text: string): number {
  const bytes = parseBytes(text);
  if (bytes === undefined)
    throw new BuildError("usage", `invalid size ${JSON.stringify(text)} for ${flag}`, {
      help: "write it like 64m or 1g",
    });
  return bytes;
}

/** A size that something can be kept under. */
export function parseCeiling(flag: string, text: string): number {
  const bytes = parseSize(flag, text);
  if (bytes > 0) return bytes;
  throw new BuildError("usage", `invalid size ${JSON.stringify(text)} for ${flag}: nothing fits into it`, {
    help: "leave it out for no limit",
  });
}

const ULIMITS = [
  "as",
  "core",
  "cpu",
  "data",
  "fsize",
  "locks",
  "memlock",
  "msgqueue",
  "nice",
  "nofile",
  "nproc",
  "rss",
  "rtprio",
  "rttime",
  "sigpending",
  "stack",
];

/** `nofile=1024:2048`; one number sets both; -1 = unlimited. */
export function parseUlimit(text: string): Ulimit {
  const match = /^([a-z]+)=(-1|\d+)(?::(-1|\d+))?$/.exec(text);
  if (!match)
    throw new BuildError("usage", `invalid ulimit argument: ${text}`, { help: "write it like nofile=1024:2048" });
  const name = match[1]!;
  if (!ULIMITS.includes(name))
    throw new BuildError("usage", `invalid ulimit type: ${name}`, { help: `one of ${ULIMITS.join(", ")}` });
  const soft = Number(match[2]);
  const hard = Number(match[3] ?? match[2]);
  if (hard !== -1 && (soft === -1 || soft > hard)) {
    throw new BuildError("usage", `ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`);
  }
  return { name, soft, hard };
}

/** `id=ID[,src=FILE][,env=VAR][,type=file|env][,cache=content][,leak=allow]` (U17). */
export function parseSecret(text: string, cwd: string, environment: Environment): SecretSource {
  let id: string | undefined;
  let file: string | undefined;
  let env: string | undefined;
  let type: string | undefined;
  let cache: Pick<SecretSource, "cache"> = {};
  let leak: Pick<SecretSource, "leak"> = {};
  for (const { key, value } of csvAttributes(text)) {
    if (value === undefined) throw new BuildError("usage", `invalid field '${key}' must be a key=value pair`);
    if (key === "id") id = value;
    else if (key === "src" || key === "source") file = value;
    else if (key === "env") env = value;
    else if (key === "type") {
      if (value !== "file" && value !== "env")
        throw new BuildError("usage", `unsupported secret type ${JSON.stringify(value)}`);
      type = value;
    } else if (key === "cache") {
      if (value !== "content" && value !== "ignore")
        throw new BuildError("usage", `unknown cache mode ${JSON.stringify(value)} of a secret`, {
          help: "cache=content runs steps again when the value changes, cache=ignore does not",
        });
      cache = value === "content" ? { cache: value } : {};
    } else if (key === "leak") {
      if (value !== "allow" && value !== "deny")
        throw new BuildError("usage", `unknown value ${JSON.stringify(value)} of leak= of a secret`, {
          help: "leak=allow lets a step leave the value in the image, leak=deny, the default, fails the step",
        });
      leak = value === "allow" ? { leak: value } : {};
    } else
      throw new BuildError("usage", `unexpected key '${key}' in '${text}'`, {
        help: "known keys: id, src, env, type, cache, leak",
      });
  }
  if (id === undefined || id === "")
    throw new BuildError("usage", "secret missing ID", { help: "write --secret id=NAME,src=FILE" });
  if (type === "env" && env === undefined) [env, file] = [file ?? id, undefined];
  if (env === undefined && file === undefined && type !== "file" && environment[id] !== undefined) env = id;
  if (env !== undefined) return { id, env, ...cache, ...leak };
  return { id, file: resolve(cwd, file ?? id), ...cache, ...leak };
}

/** `default`, `ID=socket` or `ID=key[,key]`. */
export function parseSsh(text: string, cwd: string): SshSource {
  const cut = text.indexOf("=");
  if (cut < 0) return { id: text === "" ? "default" : text, paths: [] };
  const fields = text.slice(cut + 1).split(",");
  const raw = fields.find((field) => field.startsWith("raw="));
  if (raw !== undefined && booleanAttribute("raw", raw.slice(4))) {
    throw new BuildError("unsupported", "--ssh raw=true is not built yet", {
      help: "give an agent socket or key files",
    });
  }
  const paths = fields.filter((field) => field !== "" && field !== raw).map((field) => resolve(cwd, field));
  return { id: text.slice(0, cut) || "default", paths };
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** `K=V`, or `K` whose value comes from the environment; a variable that is not set is left out, as docker does. */
export function parseAssignments(texts: readonly string[], environment: Environment): Map<string, string> {
  const values = new Map<string, string>();
  for (const text of texts) {
    const cut = text.indexOf("=");
    const key = cut < 0 ? text : text.slice(0, cut);
    if (key === "") throw new BuildError("usage", `invalid argument ${JSON.stringify(text)}: the name is missing`);
    const value = cut < 0 ? environment[key] : text.slice(cut + 1);
    if (value !== undefined) values.set(key, value);
  }
  return values;
}

/** Labels: a name alone has the empty value. */
export function parseLabels(texts: readonly string[]): Map<string, string> {
  return new Map(
    texts.map((text) => {
      const cut = text.indexOf("=");
      if (cut === 0 || text === "")
        throw new BuildError("usage", `invalid label ${JSON.stringify(text)}: the name is missing`);
      return cut < 0 ? [text, ""] : [text.slice(0, cut), text.slice(cut + 1)];
    }),
  );
}

/** `NAME=VALUE` where both are needed. */
export function parsePairs(flag: string, texts: readonly string[]): Map<string, string> {
  return new Map(
    texts.map((text) => {
      const cut = text.indexOf("=");
      if (cut <= 0) throw new BuildError("usage", `invalid ${flag} value ${JSON.stringify(text)}: expected NAME=VALUE`);
      return [text.slice(0, cut), text.slice(cut + 1)];
    }),
  );
}
