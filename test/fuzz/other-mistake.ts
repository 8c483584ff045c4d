// Where two things are wrong, and each builder came upon another one first: docker is asked again, without what it blames;
// or both are, without what tsbuild refuses and docker does not.
import { dockerFailure, failureDifferences, tsbuildFailures } from "./failures.ts";
import { dockerfileText, type FuzzCase } from "./fuzz-case.ts";
import { instructionsOf } from "./lineage.ts";

/** Things that may be wrong in one case before it is given up. */
const ROUNDS = 4;

/** The reason, where docker comes to say what tsbuild says; undefined where it never does. `docker` builds a case and gives its error. */
export async function otherMistake(
  each: FuzzCase,
  theirs: string,
  ours: string,
  docker: (each: FuzzCase) => Promise<string>,
): Promise<string | undefined> {
  let [rest, error] = [each, theirs];
  for (let round = 0; round < ROUNDS; round++) {
    const { lines } = dockerFailure(error);
    if (lines === undefined) return undefined;
    rest = withoutLines(rest, lines);
    error = await docker(rest);
    if (error === "") return undefined;
    if (failureDifferences(error, ours).length === 0)
      return "L08: two things are wrong: asked again without what it blames, docker says what tsbuild says";
  }
  return undefined;
}

/**
 * Whether both fail with the same words once what tsbuild alone refuses is left out, or docker comes to say them where more is wrong than that, or fails alone
 * as it is meant to. `both` builds a case and gives the two errors.
 */
export async function isSameWithoutRefused(
  each: FuzzCase,
  ours: string,
  both: (each: FuzzCase) => Promise<readonly [docker: string, tsbuild: string]>,
  isMeant: (docker: string, each: FuzzCase) => boolean,
): Promise<boolean> {
  const rest = withoutRefused(each, ours);
  if (rest === undefined) return false;
  const [docker, tsbuild] = await both(rest);
  if (docker === "") return false;
  if (tsbuild === "") return isMeant(docker, rest);
  if (failureDifferences(docker, tsbuild).length === 0) return true;
  return (await otherMistake(rest, docker, tsbuild, async (less) => (await both(less))[0])) !== undefined;
}

/** Without the files of a name that cannot be in a layer, else without the instruction that tsbuild marks. */
function withoutRefused(each: FuzzCase, ours: string): FuzzCase | undefined {
  const name = /"[^"]*?(\.wh\.[^"/]*)": names that begin/.exec(ours)?.[1];
  const files = each.files.filter(({ path }) => name === undefined || !path.split("/").includes(name));
  if (files.length < each.files.length) return { ...each, files };
  const lines = tsbuildFailures(ours).find((failure) => failure.lines)?.lines;
  const refused = instructionsOf(each).find((one) => lines && one.lines[0] <= lines[0] && lines[0] <= one.lines[1]);
  return refused && withoutLines(each, refused.lines);
}

/** The lines made empty, so that the others keep their numbers; a FROM is one of the base image, so that what follows has a stage. */
function withoutLines(each: FuzzCase, [first, last]: readonly [number, number]): FuzzCase {
  const lines = dockerfileText(each).split(each.lineEnd).slice(0, -1);
  const [, as = ""] = /^\s*FROM\s.*?(\sAS\s.*)?$/i.exec(lines[first - 1] ?? "") ?? [undefined, undefined];
  const isFrom = /^\s*FROM\b/i.test(lines[first - 1] ?? "");
  const kept = lines.map((line, at) =>
    at < first - 1 || at > last - 1 ? line : at === first - 1 && isFrom ? `FROM busybox${as ?? ""}` : "",
  );
  return { ...each, parts: kept };
}
