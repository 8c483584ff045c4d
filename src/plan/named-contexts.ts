// Looks up `--build-context` names as BuildKit does: familiar name without `:latest`, first with the platform, then without (reference X05).
import { familiarReference, parseReference } from "../oci/reference.ts";
import { formatPlatform, type Platform } from "../oci/platform.ts";
import type { NamedContext } from "./options.ts";

/** A context under the name it was given. */
export interface FoundContext {
  readonly name: string;
  readonly context: NamedContext;
}

/** The context that stands for a stage or an image called `name`; undefined where there is none. */
export function findNamedContext(
  contexts: ReadonlyMap<string, NamedContext>,
  name: string,
  platform: Platform,
): FoundContext | undefined {
  if (contexts.size === 0 || /^(?:scratch|context)$/i.test(name)) return undefined;
  const wanted = contextName(name);
  if (wanted === undefined) return undefined;
  const suffix = `::${formatPlatform(platform)}`;
  let plain: FoundContext | undefined;
  for (const [given, context] of contexts) {
    const [base = "", givenPlatform] = given.split("::");
    if (contextName(base) !== wanted) continue;
    if (givenPlatform === undefined) plain = { name: given, context };
    else if (given.endsWith(suffix)) return { name: given, context };
  }
  return plain;
}

function contextName(text: string): string | undefined {
  const reference = parseReference(text);
  return reference && familiarReference(reference).replace(/:latest$/, "");
}
