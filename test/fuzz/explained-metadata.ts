// Differences of config, history and cache that are meant, and of files that come of them.
import type { Difference } from "../compare/differences.ts";
import { causeOf } from "./causes.ts";
import type { Circumstances, Explanation } from "./explained.ts";
import { tsbuildFailures } from "./failures.ts";
import { chainOf, instructionsOf, parentOf, type Written } from "./lineage.ts";
import { isWithin, treeAfter } from "./trees.ts";

export const EXPLAINED_METADATA: readonly Explanation[] = [
  {
    row: "HI13",
    why: "BuildKit 0.25 writes HEALTHCHECK as a pointer; newer BuildKit and tsbuild write its fields",
    holds: ({ where, docker = "", tsbuild = "" }, circumstances) =>
      where.startsWith("history") &&
      causeOf(where, circumstances)?.instruction.name === "HEALTHCHECK" &&
      pointedTo(docker) === tsbuild,
  },
  {
    row: "O07",
    why: "BuildKit 0.25 keeps an absolute WORKDIR as it is written, and a RUN in it makes what .. takes away; newer BuildKit and tsbuild clean it",
    holds: (difference, circumstances) => {
      const { where, docker = "", tsbuild = "" } = difference;
      const isWorkdir =
        where === "config.config.WorkingDir" || causeOf(where, circumstances)?.instruction.name === "WORKDIR";
      return (
        (isWorkdir && /^"(WORKDIR )?\//.test(docker) && cleaned(docker) === tsbuild) ||
        isOnTheWay(difference, circumstances)
      );
    },
  },
  {
    row: "V24",
    why: "BuildKit 0.25 loses what stands before ${name:-word} in a port; tsbuild keeps it",
    holds: isPortCutShort,
  },
  {
    row: "F07",
    why: "BuildKit 0.25 lets what one child of a stage adds to a map show in the other children",
    holds: ({ where, docker, tsbuild }, { each }) => {
      const found = /^config\.config\.(ExposedPorts|Volumes|Labels)\.(.*)$/s.exec(where);
      return (
        found !== null && docker !== undefined && tsbuild === undefined && isAddedBeside(found[1]!, found[2]!, each)
      );
    },
  },
  {
    row: "Q32",
    why: "what stands on no base of this run, docker's cache may know from an earlier run, and knew before the edit",
    holds: isKnownFromBefore,
  },
];

/** docker's pointer as the fields that it points to; undefined = it is none. */
function pointedTo(text: string): string | undefined {
  const found = /^HEALTHCHECK &\{\[(.*)\] "(\S+)" "(\S+)" "(\S+)" "(\S+)" '(.*)'\}$/s.exec(JSON.parse(text) as string);
  if (!found) return undefined;
  const [, test = "", interval, timeout, startPeriod, startInterval, retries = ""] = found;
  const words = [...test.matchAll(/"(?:[^"\\]|\\.)*"/gs)].map(([word]) => JSON.parse(word) as string);
  // Go writes a small number that is asked for as a character so.
  const count = retries.startsWith("\\x") ? Number.parseInt(retries.slice(2), 16) : retries.codePointAt(0);
  const times = `Interval:${interval} Timeout:${timeout} StartPeriod:${startPeriod} StartInterval:${startInterval}`;
  return JSON.stringify(`HEALTHCHECK {Test:[${words.join(" ")}] ${times} Retries:${count}}`);
}

/** The JSON text of a path, or of an instruction that has one. */
function cleaned(text: string): string {
  return text.replace(/\/[^"]*/, (path) => {
    const parts: string[] = [];
    for (const part of path.split("/")) {
      if (part === "..") parts.pop();
      else if (part !== "" && part !== ".") parts.push(part);
    }
    return `/${parts.join("/")}`;
  });
}

/**
 * A directory that is only on the way to the working directory, as docker has it written: the runtime makes it to start a RUN there. Or what this RUN, where
 * it names it, has put into such a directory.
 */
function isOnTheWay({ where, docker, tsbuild }: Difference, circumstances: Circumstances): boolean {
  const cause = causeOf(where, circumstances);
  if (docker === undefined || tsbuild !== undefined || cause?.instruction.name !== "RUN") return false;
  const history = circumstances.docker.facts?.history.slice(0, cause.entry) ?? [];
  const workdir = String(
    history.findLast((entry) => String(entry["created_by"]).startsWith("WORKDIR /"))?.["created_by"],
  );
  const names = workdir.slice("WORKDIR ".length).split("/");
  const passed = names.map((_, at) => cleaned(`/${names.slice(0, at + 1).join("/")}`));
  const before = treeAfter(circumstances.docker, circumstances.base, cause.layer ?? 0);
  const made = passed.filter((path) => !before.has(path) && !isWithin(passed.at(-1)!, path));
  if (made.includes(cause.path)) return docker === "directory 0755 0:0";
  const isNamed = cause.instruction.text.split(/[\s;]/).includes(cause.path);
  return isNamed && made.some((path) => isWithin(cause.path, path));
}

/** `EXPOSE x${NOPE:-82}`: docker has the port 82. */
function isPortCutShort({ where, docker, tsbuild }: Difference, circumstances: Circumstances): boolean {
  if (where === "build" && docker === "an image") {
    return tsbuildFailures(tsbuild ?? "").every(({ sentence, lines }) => {
      const port =
        /\[InvalidPort\][^]*?buildkit: invalid containerPort: (\S+)/.exec(sentence)?.[1] ??
        /error: invalid port: "(.*)": .* \[InvalidPort\]/.exec(sentence)?.[1];
      const from = instructionsOf(circumstances.each).find(
        (one) => lines && one.lines[0] <= lines[0] && lines[0] <= one.lines[1],
      );
      return port !== undefined && from !== undefined && cutEnds(from).some((end) => port.endsWith(end));
    });
  }
  if (where.startsWith("history")) return isCutShort(causeOf(where, circumstances)?.instruction, docker, tsbuild);
  const port = /^config\.config\.ExposedPorts\.(.*)$/s.exec(where)?.[1];
  const [theirs, ours] = [circumstances.docker, circumstances.tsbuild].map(({ facts }) =>
    (facts?.history ?? []).map((entry) => JSON.stringify(entry["created_by"])),
  );
  return (theirs ?? []).some((text, at) => {
    const other = ours?.[at];
    const has = [text, other].map((each) => portsOf(each).includes(port ?? ""));
    return has[0] !== has[1] && isCutShort(causeOf(`history[${at}]`, circumstances)?.instruction, text, other);
  });
}

/** What such words end with. */
function cutEnds({ name, text }: Written): string[] {
  return name === "EXPOSE" ? [...text.matchAll(/\S\$\{\w+:?-([^}]*)\}/g)].map(([, end]) => end!) : [];
}

/** Whether the two texts of a history are the same but for ports of which docker has the end only. */
function isCutShort(
  instruction: Written | undefined,
  docker: string | undefined,
  tsbuild: string | undefined,
): boolean {
  const [theirs, ours, ends] = [portsOf(docker), portsOf(tsbuild), instruction ? cutEnds(instruction) : []];
  return (
    theirs.length > 0 &&
    theirs.length === ours.length &&
    theirs.every((port, at) => port === ours[at] || (ends.includes(port.split("/")[0]!) && ours[at]!.endsWith(port)))
  );
}

/** As in `"EXPOSE [80/tcp 443/tcp]"`. */
function portsOf(text = ""): string[] {
  return /^"EXPOSE \[(.*)\]"$/s.exec(text)?.[1]?.split(" ") ?? [];
}

/** A stage that is no part of the image, but starts from one that is, adds this key. */
function isAddedBeside(map: string, key: string, each: Circumstances["each"]): boolean {
  const all = instructionsOf(each);
  const stages = all.filter(({ name }) => name === "FROM");
  const own = new Set(chainOf(each));
  const name = { ExposedPorts: "EXPOSE", Volumes: "VOLUME", Labels: "LABEL" }[map];
  const word = key.split("/tcp")[0]!;
  return all.some(
    (one) =>
      one.name === name &&
      !own.has(one.stage) &&
      own.has(parentOf(stages[one.stage]!, stages)) &&
      (one.text.split(/[\s="[\],]+/).includes(word) || one.text.includes(`"${word}"`)),
  );
}

/** A step from scratch, or a linked copy, hangs on no base: it counts only where docker knew its stage from the start. */
function isKnownFromBefore({ where, docker }: Difference, { each, before }: Circumstances): boolean {
  const [, stage, number, text = ""] = /^cache \[(?:(\S+) )?(\d+)\/\d+\] (.*)$/s.exec(where) ?? [];
  if (docker !== "cached" || before === undefined || number === undefined) return false;
  const stages = instructionsOf(each).filter(({ name }) => name === "FROM");
  const at = /^stage-(\d+)$/.exec(stage ?? "")?.[1];
  const from = stages.find((one, index) =>
    stage === undefined ? stages.length === 1 : String(index) === at || one.text.toLowerCase().endsWith(` ${stage}`),
  );
  const isFree = / --link/.test(text) || (from !== undefined && startsFromScratch(from, stages));
  const beside = [...before.steps].filter(([name]) => name.startsWith(stage === undefined ? "[" : `[${stage} `));
  const known = before.steps.get(where.slice("cache ".length));
  return (
    isFree &&
    (known === "cached" ||
      (known === undefined && beside.length > 0 && beside.every(([, ended]) => ended === "cached")))
  );
}

function startsFromScratch(from: Written, stages: readonly Written[]): boolean {
  const parent = parentOf(from, stages);
  return parent === -1 ? /^scratch\b/i.test(from.text) : startsFromScratch(stages[parent]!, stages);
}
