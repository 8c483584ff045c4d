// Differences from docker that are meant, each with its reason. Everything else that `compare` finds is a fault.
// "docker" here is docker 28.5 with BuildKit 0.25 and containerd's snapshots; rows are those of the reference.
import type { Difference } from "./differences.ts";

export interface Explanation {
  /** Names of the cases. */
  readonly cases: RegExp;
  /** Matches {@link Difference.where}. */
  readonly where: RegExp;
  /** Matches {@link Difference.docker}; undefined = whatever that is. */
  readonly docker?: RegExp;
  readonly why: string;
}

const EXPLANATIONS: readonly Explanation[] = [
  {
    cases: /^add-special$/,
    where: /\/user$/,
    why: "tsbuild carries user.* attributes from layer to layer; docker drops all but file capabilities (T03)",
  },
  {
    cases: /^add-special$|^copy-stage-content$/,
    where: /\/loop$/,
    why: "BuildKit's COPY turns a block device into a character device",
  },
  {
    cases: /^add-xz$/,
    where: / \/(xz|wild)(\/|$)/,
    why: "docker unpacks xz only where its host has the program xz; tsbuild has AD01 wherever it runs",
  },
  {
    cases: /^attributes-only$|^copy-stage-content$|^replacements$/,
    where: /\/d\/(f|hard2)$|\/all\/(a|again)$|layer \d+ \/usr\/share\/doc\/two$/,
    why: "a new name of an old file: docker writes a second copy of it, tsbuild both names of one file (T04)",
  },
  {
    cases: /^copy-exclude$/,
    where: / \/wild\/a\.md$/,
    why: "--exclude leaves out what a wildcard matches, as it is documented (C14, moby/buildkit#5489)",
  },
  {
    cases: /^copy-mode$/,
    where: / \/both$/,
    why: "docker's daemon applies its umask to --chmod of the destination directory; tsbuild's modes are those that were given (T25)",
  },
  {
    cases: /^copy-parents$/,
    where: /^build$/,
    why: "BuildKit 0.25 has --parents only in its labs syntax (C13)",
  },
  {
    cases: /^demo$/,
    where: /\/srv\/assets\.tar\.gz$/,
    why: "the Dockerfile packs files with the time at which they were made",
  },
  {
    cases: /^inheritance$/,
    where: /^config\.config\.(ExposedPorts\.81\/tcp|Volumes\.\/w|Labels\.l)$/,
    why: "BuildKit 0.25 lets what one child of a stage adds to a map show in the other children",
  },
  {
    cases: /./,
    where: /^history\[\d+\]\.created_by$/,
    docker: /^"HEALTHCHECK &/,
    why: "BuildKit 0.25 writes HEALTHCHECK as a pointer; newer BuildKit and tsbuild write its fields (HI13)",
  },
  {
    cases: /^workdir$/,
    where: /^history\[\d+\]\.created_by$/,
    docker: /^"WORKDIR \//,
    why: "BuildKit 0.25 keeps an absolute WORKDIR as it is written; tsbuild cleans it (O07, HI04)",
  },
];

export function explanationOf(name: string, difference: Difference): Explanation | undefined {
  return EXPLANATIONS.find(
    ({ cases, where, docker }) =>
      cases.test(name) && where.test(difference.where) && (docker?.test(difference.docker ?? "") ?? true),
  );
}
