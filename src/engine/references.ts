// References that people typed.
import { BuildError } from "../diagnostics/build-error.ts";
import {
  familiarReference,
  formatReference,
  parseReference,
  withDefaultTag,
  type Reference,
} from "../oci/reference.ts";

/** Reads a name, `latest` filled in. Fails with "usage". */
export function readReference(text: string): Reference {
  return withDefaultTag(readName(text));
}

/** Reads a name as it is. Fails with "usage". */
export function readName(text: string): Reference {
  const reference = parseReference(text);
  if (reference) return reference;
  const lower = text.toLowerCase();
  if (parseReference(lower))
    throw new BuildError(
      "usage",
      `invalid reference format: ${JSON.stringify(text)}: repository name must be lowercase`,
      {
        summary: `image names must be lower case: ${JSON.stringify(text)}`,
        help: `did you mean ${JSON.stringify(lower)}?`,
      },
    );
  throw new BuildError("usage", `invalid reference format: ${JSON.stringify(text)}`, badReference(text));
}

function badReference(text: string): { readonly summary?: string; readonly help: string } {
  const [, name = "", tag = ""] = /^(.+):([^/:@]+)$/.exec(text) ?? [];
  const wrong = /[^\w.-]/.exec(tag)?.[0];
  const fixed = `${name}:${tag.replaceAll(/[^\w.-]/g, "-")}`;
  if (wrong === undefined || !parseReference(fixed)) return { help: "write it as [REGISTRY/]NAME[:TAG][@DIGEST]" };
  return {
    summary: `invalid tag ${JSON.stringify(tag)}: ${JSON.stringify(wrong)} is not allowed`,
    help: `write ${fixed}: a tag has letters, digits, "_", "." and "-"`,
  };
}

/** `registry/repository[:tag]`. */
export function nameWithoutDigest(reference: Reference): string {
  const { registry, repository, tag } = reference;
  return formatReference({ registry, repository, ...(tag === undefined ? {} : { tag }) });
}

/** What people type for a normalised name. */
export function familiarName(name: string): string {
  const reference = parseReference(name);
  return reference ? familiarReference(reference) : name;
}
