// `tsbuild check --fix`: a Dockerfile's text with the remedies that are certain, and proof that it is still the same Dockerfile. Writes nothing.
import { assert } from "../base/assert.ts";
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import type { SourceFile } from "../diagnostics/source.ts";
import type { Dockerfile } from "../frontend/ast.ts";
import { applyFixes } from "../frontend/fix.ts";
import { applyChecks, type CheckOptions } from "../frontend/lint/check-directive.ts";
import { lint } from "../frontend/lint/lint.ts";
import { parseDockerfile } from "../frontend/parser.ts";
import { isSameDockerfile } from "./check-equivalence.ts";

export interface FixReport {
  readonly source: SourceFile;
  /** Absolute path of the Dockerfile; undefined where it is no file of the client's. */
  readonly file: string | undefined;
  /** The text with the fixes; the source's where there is nothing to fix. */
  readonly text: string;
  /** What was fixed, with places in `source` where the first look found it, else in the text as it was then. */
  readonly fixed: readonly Diagnostic[];
}

/** Looks at most this often: a fix may make room for another one. */
const maxRounds = 8;

/** What the text alone shows and the user did not silence. */
export function fixableIn(dockerfile: Dockerfile, override: CheckOptions | undefined): readonly Diagnostic[] {
  return applyChecks(dockerfile, lint(dockerfile), override).diagnostics;
}

/** Fixes what `find` finds, again and again. A text with errors stays as it is, and so does whatever a fix would change in the images. */
export async function fixDockerfile(
  source: SourceFile,
  find: (dockerfile: Dockerfile) => readonly Diagnostic[],
): Promise<Omit<FixReport, "file">> {
  const original = parseSound(source);
  if (!original) return { source, text: source.text, fixed: [] };
  const fixed: Diagnostic[] = [];
  let current = original;
  for (let round = 0; round < maxRounds; round++) {
    const next = await sameWith(original, current, find(current));
    if (!next) break;
    fixed.push(...next.applied);
    current = next.dockerfile;
  }
  return { source, text: current.source.text, fixed };
}

interface Fixed {
  readonly dockerfile: Dockerfile;
  readonly applied: readonly Diagnostic[];
}

/** All fixes at once, else those that change nothing by themselves; undefined where there is none. */
async function sameWith(
  original: Dockerfile,
  current: Dockerfile,
  found: readonly Diagnostic[],
): Promise<Fixed | undefined> {
  const all = await ifSame(original, current, found);
  if (all) return all.applied.length === 0 ? undefined : all;
  const harmless: Diagnostic[] = [];
  for (const diagnostic of found) if (await ifSame(original, current, [diagnostic])) harmless.push(diagnostic);
  const some = await ifSame(original, current, harmless);
  return some && some.applied.length > 0 ? some : undefined;
}

async function ifSame(
  original: Dockerfile,
  current: Dockerfile,
  found: readonly Diagnostic[],
): Promise<Fixed | undefined> {
  const { text, applied } = applyFixes(current.source, found);
  if (applied.length === 0) return { dockerfile: current, applied };
  assert(text !== current.source.text, "a fix changes nothing");
  const dockerfile = parseSound({ path: current.source.path, text });
  return dockerfile && (await isSameDockerfile(original, dockerfile)) ? { dockerfile, applied } : undefined;
}

function parseSound(source: SourceFile): Dockerfile | undefined {
  const { dockerfile, diagnostics } = parseDockerfile(source);
  return diagnostics.some(({ severity }) => severity === "error") ? undefined : dockerfile;
}
