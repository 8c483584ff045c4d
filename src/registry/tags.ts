// Tags of a repository (distribution-spec "Content discovery"), to say what there is instead of what was asked for.
import { formatReference } from "../oci/reference.ts";
import { readStart } from "./errors.ts";
import { pullScopes, type ManifestCall } from "./manifests.ts";

/** More than this many nobody reads. */
const MOST_TAGS = 200;

const TAG = /^\w[\w.-]{0,127}$/;

/** Some tags of a repository, in the registry's order. Fails with the registry's words where it has no such repository. */
export async function listTags(call: ManifestCall): Promise<readonly string[]> {
  const { exchange, endpoint, reference, backoff, signal } = call;
  const response = await exchange.send(
    {
      method: "GET",
      endpoint,
      repository: reference.repository,
      path: "tags/list",
      query: { n: String(MOST_TAGS) },
      lane: "json",
      scopes: pullScopes(`${endpoint.prefix}${reference.repository}`),
      accept: [200],
      purpose: { verb: "pull", subject: formatReference(reference), registry: reference.registry },
      signal,
    },
    backoff,
  );
  const { tags } = JSON.parse(await readStart(response)) as { readonly tags?: unknown };
  if (!Array.isArray(tags)) return [];
  return (tags as readonly unknown[]).filter((tag) => typeof tag === "string" && TAG.test(tag)) as readonly string[];
}
