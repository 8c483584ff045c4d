// An image that its registry does not have: whether the name is wrong or the tag, and what there is instead.
import { suggest } from "../base/suggest.ts";
import { amend, BuildError } from "../diagnostics/build-error.ts";
import { repositoryName, type Reference } from "../oci/reference.ts";

/** Nobody waits longer for a better message. */
const PATIENCE_MS = 2000;
const MOST_SHOWN = 5;

/** Lists the tags of a reference's repository; fails with NAME_UNKNOWN where there is no such repository. */
export type ListTags = (reference: Reference, signal: AbortSignal) => Promise<readonly string[]>;

/** The failure with what the registry has; as it was, where it is another one or the registry does not say. */
export async function withTags(
  error: unknown,
  reference: Reference,
  list: ListTags,
  signal: AbortSignal,
): Promise<unknown> {
  const { tag = "latest", digest } = reference;
  if (!(error instanceof BuildError) || digest !== undefined) return error;
  // With a cause it was only a mirror that answered.
  if (error.code !== "registry" || error.details.status !== 404 || error.cause !== undefined) return error;
  const name = repositoryName(reference);
  try {
    const tags = await list(reference, AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]));
    if (tags.length === 0) return error;
    const near = suggest(tag, tags, tag.length < 5 ? 1 : 2);
    const some = tags.slice(0, MOST_SHOWN).join(", ");
    const others = tags.length > MOST_SHOWN ? ", …" : "";
    const help =
      near === undefined
        ? `use ${tags.length === 1 ? "the only tag" : "a tag"} that it has: ${some}${others}`
        : `did you mean ${JSON.stringify(near)}?`;
    return amend(error, { summary: `${name} has no tag ${JSON.stringify(tag)}`, help });
  } catch (failure) {
    const isUnknown =
      failure instanceof BuildError && failure.cause === undefined && /NAME_UNKNOWN/.test(failure.message);
    if (!isUnknown) return error;
    const help = "check the name for typing errors";
    return amend(error, { summary: `the registry has no repository ${name}`, help });
  }
}
