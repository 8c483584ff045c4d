// Makes the storage of a cache location. Loaded with the first location that is given.
import type { CacheLocation } from "../cache/location.ts";
import type { ManifestForm } from "../cache/cache-manifest.ts";
import type { CacheStorage } from "../cache/storage.ts";
import type { EngineParts } from "./parts.ts";
import { readReference } from "./references.ts";

const FORM: ManifestForm = { imageManifest: true, ociMediaTypes: true };

/** The caller disposes. */
export async function openCacheStorage(
  parts: EngineParts,
  location: CacheLocation,
  form: ManifestForm = FORM,
): Promise<CacheStorage> {
  switch (location.kind) {
    case "registry": {
      const { RegistryStorage } = await import("../cache/registry-storage.ts");
      const { isInsecure } = location;
      return new RegistryStorage({
        reference: readReference(location.ref),
        form,
        client: () => parts.client({ isInsecure }),
        hastyClient: () => parts.client({ isInsecure, isHasty: true }),
      });
    }
    case "local": {
      const { LocalStorage } = await import("../cache/local-storage.ts");
      const { path, tag, digest } = location;
      return new LocalStorage({ path, tag, form, ...(digest === undefined ? {} : { digest }) });
    }
  }
}
