// Manifests that point at another one (distribution-spec "Listing Referrers", "Referrers Tag Schema"; reference RG21).
import { digestAlgorithm, digestHex, type Digest } from "../oci/digest.ts";
import type { Descriptor, Index, Manifest } from "../oci/image.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../oci/media-type.ts";
import { repositoryName, type Reference } from "../oci/reference.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import {
  getManifest,
  MAX_MANIFEST_SIZE,
  pullScopes,
  putManifest,
  type ManifestCall,
  type PushedManifest,
} from "./manifests.ts";
import { readStart } from "./errors.ts";

/** The tag under which registries without the API keep the list. */
export function referrersTag(subject: Digest): string {
  return `${digestAlgorithm(subject)}-${digestHex(subject).slice(0, 64)}`;
}

/** Descriptors of what refers to `subject`: by the API, else by the fallback tag. Empty where there is nothing. */
export async function listReferrers(
  call: ManifestCall,
  subject: Digest,
  artifactType?: string,
): Promise<readonly Descriptor[]> {
  const { exchange, endpoint, reference, signal, backoff } = call;
  const response = await exchange.send(
    {
      method: "GET",
      endpoint,
      repository: reference.repository,
      path: `referrers/${subject}`,
      ...(artifactType === undefined ? {} : { query: { artifactType } }),
      headers: { accept: OCI_INDEX },
      lane: "json",
      scopes: pullScopes(`${endpoint.prefix}${reference.repository}`),
      accept: [200, 400, 404, 405, 501],
      purpose: { verb: "pull", subject: `${repositoryName(reference)}@${subject}`, registry: reference.registry },
      signal,
    },
    backoff,
  );
  const type = response.headers["content-type"] ?? "";
  if (response.status === 200 && type.startsWith(OCI_INDEX)) {
    const index = parseIndex(await readStart(response, MAX_MANIFEST_SIZE), reference);
    return filtered(index.manifests, artifactType);
  }
  await response.discard();
  return filtered((await fallbackIndex(call, subject)).manifests, artifactType);
}

/** After a manifest with a subject was put at a registry that keeps no lists: adds it to the list under the fallback tag. */
export async function noteReferrer(call: ManifestCall, bytes: Uint8Array, pushed: PushedManifest): Promise<void> {
  const manifest = JSON.parse(Buffer.from(bytes).toString("utf8")) as Partial<Manifest>;
  const subject = manifest.subject?.digest;
  if (subject === undefined || pushed.subject !== undefined) return;
  const index = await fallbackIndex(call, subject);
  if (index.manifests.some(({ digest }) => digest === pushed.digest)) return;
  const artifactType = manifest.artifactType ?? manifest.config?.mediaType;
  const entry: Descriptor = {
    mediaType: manifest.mediaType ?? OCI_MANIFEST,
    digest: pushed.digest,
    size: bytes.length,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(manifest.annotations === undefined ? {} : { annotations: manifest.annotations }),
  };
  const updated: Index = { ...index, manifests: [...index.manifests, entry] };
  const { registry, repository } = call.reference;
  const reference: Reference = { registry, repository, tag: referrersTag(subject) };
  await putManifest({ ...call, reference }, Buffer.from(JSON.stringify(updated)), OCI_INDEX);
}

async function fallbackIndex(call: ManifestCall, subject: Digest): Promise<Index> {
  const { registry, repository } = call.reference;
  const reference: Reference = { registry, repository, tag: referrersTag(subject) };
  try {
    const { bytes } = await getManifest({ ...call, reference }, reference);
    return parseIndex(Buffer.from(bytes).toString("utf8"), reference);
  } catch (error) {
    if (!(error instanceof BuildError) || error.details.status !== 404) throw error;
    return { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] };
  }
}

function parseIndex(text: string, reference: Reference): Index {
  try {
    const index = JSON.parse(text) as Index;
    if (Array.isArray(index.manifests)) return index;
  } catch {
    // Said below.
  }
  throw new BuildError("registry", `the list of referrers in ${repositoryName(reference)} is no index`, {
    details: { isTransient: false },
  });
}

/** Registries may ignore the filter. */
function filtered(manifests: readonly Descriptor[], artifactType: string | undefined): readonly Descriptor[] {
  return artifactType === undefined ? manifests : manifests.filter((entry) => entry.artifactType === artifactType);
}
