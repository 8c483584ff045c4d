// `created_by` texts, one function per kind of instruction (reference HI01–HI14). Compared byte by byte with BuildKit's.
import type { Digest } from "../oci/digest.ts";
import type { Healthcheck } from "../oci/image.ts";
import type { PlannedHistory } from "../graph/image-plan.ts";
import { formatGoDuration, formatGoList, quoteGoList } from "./go-format.ts";

/** An ARG as declared so far; undefined = without a value. */
export interface DeclaredArg {
  readonly name: string;
  readonly value: string | undefined;
}

/** An entry of a Dockerfile's instruction; without a vertex it is `empty_layer`. */
export function historyEntry(createdBy: string, vertex?: Digest): PlannedHistory {
  return { createdBy, comment: "buildkit.dockerfile.v0", ...(vertex === undefined ? {} : { vertex }) };
}

/** The entry of a layer that no instruction made: a context that serves as a base (HI15). */
export function sourceHistoryEntry(description: string, vertex: Digest): PlannedHistory {
  return { createdBy: description, comment: "buildkit.exporter.image.v0", vertex };
}

/** HI01, HI02. Each ARG is listed once, where it was first declared, with the value that the environment has now. */
export function runHistory(
  args: readonly string[],
  declared: readonly DeclaredArg[],
  env: ReadonlyMap<string, string>,
): string {
  const values = new Map<string, string>();
  for (const { name, value } of declared) values.set(name, env.get(name) ?? value ?? "");
  const list = values.size === 0 ? [] : [`|${values.size}`, ...[...values].map(([name, value]) => `${name}=${value}`)];
  return `RUN ${[...list, ...args].join(" ")} # buildkit`;
}

export interface CopyHistory {
  readonly keyword: "COPY" | "ADD";
  readonly parents: boolean;
  readonly chown: string | undefined;
  readonly chmod: string | undefined;
  readonly paths: readonly string[];
  readonly heredocs: readonly string[];
  readonly dest: string;
}

/** HI03. */
export function copyHistory(copy: CopyHistory): string {
  const words: string[] = [copy.keyword];
  if (copy.parents) words.push("--parents");
  if (copy.chown !== undefined) words.push(`--chown=${copy.chown}`);
  if (copy.chmod !== undefined) words.push(`--chmod=${copy.chmod}`);
  words.push(...copy.paths, ...copy.heredocs.map((name) => `<<${name}`), copy.dest);
  return `${words.join(" ")} # buildkit`;
}

/** HI05, HI06. */
export function pairsHistory(keyword: "ENV" | "LABEL", pairs: readonly (readonly [string, string])[]): string {
  return [keyword, ...pairs.map(([name, value]) => `${name}=${value}`)].join(" ");
}

/** HI07. */
export function argHistory(args: readonly DeclaredArg[]): string {
  return `ARG ${args.map(({ name, value }) => (value === undefined ? name : `${name}=${value}`)).join(" ")}`;
}

/** HI08. */
export function commandHistory(keyword: "CMD" | "ENTRYPOINT", args: readonly string[]): string {
  return `${keyword} ${quoteGoList(args)}`;
}

/** HI09, HI10, HI12. */
export function listHistory(keyword: "EXPOSE" | "VOLUME" | "SHELL", values: readonly string[]): string {
  return `${keyword} ${formatGoList(values)}`;
}

/** HI13. */
export function healthcheckHistory(check: Healthcheck): string {
  const fields = [
    `Test:${formatGoList(check.Test ?? [])}`,
    `Interval:${formatGoDuration(check.Interval ?? 0)}`,
    `Timeout:${formatGoDuration(check.Timeout ?? 0)}`,
    `StartPeriod:${formatGoDuration(check.StartPeriod ?? 0)}`,
    `StartInterval:${formatGoDuration(check.StartInterval ?? 0)}`,
    `Retries:${check.Retries ?? 0}`,
  ];
  return `HEALTHCHECK {${fields.join(" ")}}`;
}
