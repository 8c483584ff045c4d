// Differences of builds that fail, for one builder or for both. What docker blames must be what the explanation is about.
import { posix } from "node:path";
import type { LayerFacts } from "../compare/image-facts.ts";
import { resolved } from "./causes.ts";
import type { Circumstances, Explanation } from "./explained.ts";
import { dockerFailure, failureDifferences, tsbuildFailures } from "./failures.ts";
import type { FuzzCase } from "./fuzz-case.ts";
import { flagValues, instructionsOf, type Written } from "./lineage.ts";
import { isExcluded, matches } from "./patterns.ts";
import { isWithin, treeAfter } from "./trees.ts";

const IMAGE = "an image";

export const EXPLAINED_ERRORS: readonly Explanation[] = [
  {
    row: "T05",
    why: "a name that begins with .wh. would delete a file of the image; tsbuild refuses it, docker writes the image",
    holds: ({ where, docker, tsbuild }, { each }) => {
      const name = /"[^"]*?(\.wh\.[^"/]*)"/.exec(tsbuild ?? "")?.[1];
      return (
        where === "build" &&
        docker === IMAGE &&
        tsbuild?.includes('names that begin with ".wh." mark deletions') === true &&
        name !== undefined &&
        namesIn(each).some((path) => path.split("/").includes(name))
      );
    },
  },
  {
    row: "T32",
    why: "BuildKit 0.25 does not find a dangling link that COPY --exclude comes upon (moby/buildkit#4946)",
    holds: ({ where, docker = "", tsbuild }, { each, base }) => {
      const copy = blamed(docker, each);
      const path = /failed to calculate checksum of ref: "\/([^"]*)": not found$/.exec(
        dockerFailure(docker).sentence,
      )?.[1];
      return (
        where === "build" &&
        tsbuild === IMAGE &&
        path !== undefined &&
        copy !== undefined &&
        flagValues(copy, "--exclude").length > 0 &&
        (each.files.some((file) => file.kind === "symlink" && targetOf(file.path, file.target) === path) ||
          isDanglingAtTop(path, copy, each) ||
          isDanglingInBase(path, copy, base) ||
          isDanglingInWildcard(path, copy, each))
      );
    },
  },
  {
    row: "C07",
    why: "a wildcard may match nothing; BuildKit sends only what some pattern matches and then misses the directory that the wildcard is in",
    holds: ({ where, docker = "", tsbuild }, { each }) => {
      const copy = blamed(docker, each);
      const folder = /^lstat \/([^:]*): no such file or directory$/.exec(dockerFailure(docker).sentence)?.[1];
      return (
        where === "build" &&
        tsbuild === IMAGE &&
        folder !== undefined &&
        each.files.some(({ path }) => isWithin(path, folder)) &&
        copy !== undefined &&
        wildFolders(copy).some((wild) => wild === folder || leadsTo(wild, each) === folder)
      );
    },
  },
  {
    row: "S11",
    why: "BuildKit 0.25 keeps an absolute WORKDIR as it is written, and starts no RUN where a file is on the way to it; newer BuildKit and tsbuild clean it",
    holds: ({ where, docker = "", tsbuild }, circumstances) =>
      where === "build" &&
      tsbuild === IMAGE &&
      dockerFailure(docker).sentence.endsWith("did not complete successfully: exit code: 1") &&
      isFileOnTheWay(blamed(docker, circumstances.each), circumstances),
  },
  {
    row: "T38",
    why: "BuildKit needs /etc/passwd to be there for a user by number, too, and /etc/group for one by name; tsbuild takes the number, or the group that /etc/passwd has",
    holds: ({ where, docker = "", tsbuild }, circumstances) =>
      where === "build" &&
      tsbuild === IMAGE &&
      blamed(docker, circumstances.each)?.name === "RUN" &&
      isUserNotFound(dockerFailure(docker).sentence, circumstances),
  },
  {
    row: "C01",
    why: "docker cannot ask its client for a name with a control character; tsbuild copies it",
    holds: ({ where, docker = "" }, { each }) =>
      (where === "build" || where === "error") &&
      docker.includes('header key "followpaths" contains value with non-printable ASCII characters') &&
      // In JSON, where alone a name with a tab is one word.
      instructionsOf(each).some(({ name, text }) => /^(COPY|ADD)$/.test(name) && /^\[.*\\[tnrbf]/.test(text)) &&
      each.files.some(({ path }) => path.includes("\t")),
  },
  {
    row: "C08",
    why: "of several missing sources BuildKit names any; it may copy before it calculates a checksum, and then names the first of a missing source's parents, or where its link leads",
    holds: ({ where, docker = "", tsbuild = "" }, { each, base }) => {
      const copy = blamed(docker, each);
      const { sentence } = dockerFailure(docker);
      const gone =
        /^lstat (\/[^:]*): no such file or directory$/.exec(sentence)?.[1] ??
        /checksum of ref \S+ lstat \/\S*\/buildkit-mount\d+\/(\/[^:]*): not a directory$/.exec(sentence)?.[1];
      const other = /checksum of ref: "([^"]*)": not found$/.exec(sentence)?.[1];
      if (where !== "error" || copy === undefined || !/^(COPY|ADD)$/.test(copy.name)) return false;
      return tsbuildFailures(tsbuild).some((failure) => {
        const missing = /checksum of ref: "([^"]*)": not found/.exec(failure.sentence)?.[1];
        const { lines } = failure;
        const isThere = lines !== undefined && copy.lines[0] <= lines[0] && lines[0] <= copy.lines[1];
        if (!isThere || missing === undefined) return false;
        if (gone === undefined) return other !== undefined && other !== missing && isMissingToo(other, copy, each);
        return (
          isWithin(missing, gone) ||
          isLinkTo(missing, gone, each, base) ||
          isBehindLink(missing, gone, base) ||
          isBehindLinkOfContext(missing, gone, each)
        );
      });
    },
  },
  {
    row: "L09",
    why: "BuildKit takes each byte of a flag for a character, so that what is not ASCII in it is several; tsbuild reads the character",
    holds: ({ where, docker = "", tsbuild = "" }, { each }) => {
      const meant = docker.replace(/^ERROR: .*$/m, (line) => Buffer.from(line, "latin1").toString());
      const isInFlag = blamed(docker, each)?.flags.some((flag) => /[^ -~]/.test(flag)) === true;
      return where === "error" && meant !== docker && isInFlag && failureDifferences(meant, tsbuild).length === 0;
    },
  },
  {
    row: "P03",
    why: "of a directive that is there twice BuildKit blames the line above the second one",
    holds: ({ where, docker = "", tsbuild = "" }) => {
      const { sentence, lines } = dockerFailure(docker);
      return (
        where === "error" &&
        lines !== undefined &&
        /^only one \w+ parser directive can be used$/.test(sentence) &&
        tsbuildFailures(tsbuild).some((own) => own.sentence.includes(sentence) && own.lines?.[0] === lines[1] + 1)
      );
    },
  },
  {
    row: "F06",
    why: "of a platform that cannot be read BuildKit goes on to say which part of it; tsbuild has a help instead",
    holds: ({ where, docker = "", tsbuild = "" }, { each }) => {
      const platform = /^failed to parse platform (\S+): "/.exec(dockerFailure(docker).sentence)?.[1];
      const from = blamed(docker, each);
      return (
        where === "error" &&
        platform !== undefined &&
        from?.name === "FROM" &&
        tsbuildFailures(tsbuild).some(
          ({ sentence, lines }) =>
            sentence.includes(`error: failed to parse platform ${platform} [InvalidPlatform]`) &&
            lines !== undefined &&
            from.lines[0] <= lines[0] &&
            lines[0] <= from.lines[1],
        )
      );
    },
  },
  {
    row: "C11",
    why: "of a symbolic --chmod BuildKit says only that its syntax is invalid; tsbuild says which it is",
    holds: ({ where, docker = "", tsbuild = "" }, { each }) => {
      const copy = blamed(docker, each);
      const mode = copy && flagValues(copy, "--chmod")[0];
      return (
        where === "error" &&
        dockerFailure(docker).sentence === "invalid syntax" &&
        mode !== undefined &&
        !/^[0-7]+$/.test(mode) &&
        tsbuildFailures(tsbuild).some(
          ({ sentence, lines }) =>
            sentence.includes("invalid chmod parameter: ") &&
            copy!.lines[0] <= lines![0] &&
            lines![0] <= copy!.lines[1],
        )
      );
    },
  },
  {
    row: "C13",
    why: "BuildKit 0.25 has --parents only in its labs syntax",
    holds: ({ where, docker = "" }, { each }) =>
      (where === "build" || where === "error") &&
      dockerFailure(docker).sentence === "unknown flag: --parents" &&
      blamed(docker, each)?.flags.includes("--parents") === true,
  },
];

/** Paths of the context, and those in its archives. */
function namesIn({ files }: FuzzCase): string[] {
  return files.flatMap((file) => (file.kind === "archive" ? file.members.map(({ name }) => name) : file.path));
}

/** The instruction whose lines docker marks; undefined = none, or more than one. */
function blamed(error: string, each: FuzzCase): Written | undefined {
  const { lines } = dockerFailure(error);
  if (lines === undefined) return undefined;
  const found = instructionsOf(each).filter((one) => one.lines[0] <= lines[1] && lines[0] <= one.lines[1]);
  return found.length === 1 ? found[0] : undefined;
}

/** Whether the user that BuildKit does not find is a number that a USER has, or misses only the file of groups. */
function isUserNotFound(sentence: string, { each, tsbuild, base }: Circumstances): boolean {
  const number = /unable to find user (\d+): invalid argument$/.exec(sentence)?.[1];
  if (number !== undefined)
    return instructionsOf(each).some(({ name, text }) => name === "USER" && text.includes(number));
  const tree = treeAfter(tsbuild, base, Number.POSITIVE_INFINITY);
  return (
    /unable to find groups for spec \S+: invalid argument$/.test(sentence) && !tree.has(resolved(tree, "/etc/group"))
  );
}

/** Whether what `..` takes away of the RUN's working directory, as it is written, is no directory. */
function isFileOnTheWay(run: Written | undefined, { each, tsbuild, base }: Circumstances): boolean {
  const workdir = instructionsOf(each).findLast(
    ({ name, stage, lines }) => name === "WORKDIR" && stage === run?.stage && lines[0] < run.lines[0],
  )?.text;
  if (run?.name !== "RUN" || workdir === undefined || !workdir.startsWith("/")) return false;
  const tree = treeAfter(tsbuild, base, Number.POSITIVE_INFINITY);
  const names = workdir.split("/");
  return names.some((name, at) => {
    const passed = posix.normalize(names.slice(0, at).join("/"));
    return name === ".." && tree.get(passed)?.startsWith("file ") === true;
  });
}

/** Whether the copy names this path of the context, and it is not there, or left out by .dockerignore. */
function isMissingToo(path: string, copy: Written, { files, ignore }: FuzzCase): boolean {
  const name = path.slice(1);
  const isThere = files.some((file) => isWithin(file.path, name)) && !isExcluded(ignore, name);
  return wordsOf(copy).slice(0, -1).includes(name) && !isThere && flagValues(copy, "--from").length === 0;
}

/** Whether a link of the base image is on the way, and behind it the path is `target`, or below. */
function isBehindLink(path: string, target: string, base: readonly LayerFacts[]): boolean {
  const end = resolved(new Map(base.flatMap((layer) => Object.entries(layer))), path);
  return end !== path && isWithin(end, target);
}

/** Whether a link of the context is on the way, and behind it the path is `target`, or below. */
function isBehindLinkOfContext(path: string, target: string, each: FuzzCase): boolean {
  const names = path.slice(1).split("/");
  return names.some((_, at) => {
    const end = leadsTo(names.slice(0, at).join("/"), each);
    return end !== undefined && isWithin(posix.join("/", end, ...names.slice(at)), target);
  });
}

/** Whether something called so is a link to `target`: in the context, in the base image, or made by a step. */
function isLinkTo(path: string, target: string, each: FuzzCase, base: readonly LayerFacts[]): boolean {
  const name = path.slice(path.lastIndexOf("/"));
  const end = target.slice(target.lastIndexOf("/") + 1);
  const below = base.flatMap((layer) => Object.entries(layer));
  return (
    each.files.some((file) => file.kind === "symlink" && `/${file.path}`.endsWith(name) && file.target.endsWith(end)) ||
    below.some(([link, text]) => link.endsWith(name) && text.startsWith("link ") && text.includes(end)) ||
    instructionsOf(each).some(({ text, body }) => /ln -s/.test(text) && [text, ...body].join("\n").includes(end))
  );
}

/** A link right in the context's root, which docker names by itself: it leads nowhere, and the copy does not ask for it by name. */
function isDanglingAtTop(path: string, copy: Written, each: FuzzCase): boolean {
  return !path.includes("/") && !copy.text.includes(path) && isDangling(path, copy, each);
}

/** The same of a root that a copy takes from a stage or an image: the base has the link, and not what it leads to. */
function isDanglingInBase(path: string, copy: Written, base: readonly LayerFacts[]): boolean {
  const tree = new Map(base.flatMap((layer) => Object.entries(layer)));
  const isLink = tree.get(`/${path}`)?.startsWith("link ") === true && !tree.has(resolved(tree, `/${path}`));
  const sources = copy.text.split(/[\s",[\]]+/).filter((word) => word !== "");
  const isRoot = sources.slice(0, -1).some((word) => posix.resolve("/", word) === "/");
  return isLink && isRoot && !path.includes("/") && flagValues(copy, "--from").length > 0;
}

/** A link that leads nowhere, which a wildcard matches and --exclude leaves out. */
function isDanglingInWildcard(path: string, copy: Written, each: FuzzCase): boolean {
  const isLeftOut = wildcardsOf(copy).some(({ pattern, folder }) => {
    const below = folder === "" ? path : path.slice(folder.length + 1);
    return matches(pattern, path) && isExcluded(flagValues(copy, "--exclude"), below);
  });
  return isLeftOut && isDangling(path, copy, each);
}

function isDangling(path: string, copy: Written, each: FuzzCase): boolean {
  const target = leadsTo(path, each);
  const leadsNowhere = target !== undefined && target !== "" && !each.files.some((file) => isWithin(file.path, target));
  return leadsNowhere && flagValues(copy, "--from").length === 0;
}

/** Where the link at this path of the context leads; undefined = there is no link. */
function leadsTo(path: string, { files }: FuzzCase): string | undefined {
  const link = files.find((file) => file.path === path);
  return link?.kind === "symlink" ? targetOf(path, link.target) : undefined;
}

/** Where a link of the context leads, within it. */
function targetOf(path: string, target: string): string {
  const parts = target.startsWith("/") ? [] : path.split("/").slice(0, -1);
  for (const name of target.split("/")) {
    if (name === "..") parts.pop();
    else if (name !== "" && name !== ".") parts.push(name);
  }
  return parts.join("/");
}

/** What stands before the first wildcard of each source. */
function wildFolders(copy: Written): string[] {
  return wildcardsOf(copy).flatMap(({ folder }) => (folder === "" ? [] : [folder]));
}

/** Sources with a wildcard, and what stands before it: relative, clean. */
function wildcardsOf(copy: Written): { readonly pattern: string; readonly folder: string }[] {
  return wordsOf(copy).flatMap((pattern) => {
    const parts = pattern.split("/");
    const wild = parts.findIndex((part) => /[*?[]/.test(part));
    return wild === -1 ? [] : [{ pattern, folder: parts.slice(0, wild).join("/") }];
  });
}

/** What a COPY or ADD names, as written but relative and clean. */
function wordsOf({ name, text }: Written): string[] {
  if (!/^(COPY|ADD)$/.test(name)) return [];
  const words = text.startsWith("[") ? text.split(/[\s",[\]]+/) : text.split(/\s+/);
  return words.map((word) =>
    word
      .split("/")
      .filter((part) => !/^\.{0,2}$/.test(part))
      .join("/"),
  );
}
