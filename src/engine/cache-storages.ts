// Makes the storage of a cache location. Loaded with the first location that is given.
import type { CacheLocation, GhaLocation, S3Location } from "../cache/location.ts";
import type { ManifestForm } from "../cache/cache-manifest.ts";
import type { CacheStorage } from "../cache/storage.ts";
import type { Transport } from "../registry/transport.ts";
import type { EngineOptions } from "./options.ts";
import type { EngineParts } from "./parts.ts";
import { readReference } from "./references.ts";

const FORM: ManifestForm = { imageManifest: true, ociMediaTypes: true };

const GHA_CONNECTIONS = 4;

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
    case "s3":
      return openS3(parts, location);
    case "gha":
      return openGha(parts, location);
  }
}

async function openS3({ options }: EngineParts, location: S3Location): Promise<CacheStorage> {
  const { S3Storage } = await import("../cache/s3-storage.ts");
  const { S3Client } = await import("../cache/s3-client.ts");
  const { systemClock } = await import("../registry/retry.ts");
  const transport = await openTransport(options, location.uploadParallelism);
  const { bucket, region, endpointUrl, usesPathStyle, retryMode, retryMaxAttempts } = location;
  const { accessKeyId, secretAccessKey, sessionToken } = location;
  const credentials = { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
  const client = new S3Client({
    bucket,
    region,
    ...(endpointUrl === undefined ? {} : { endpointUrl }),
    usesPathStyle,
    credentials,
    retryMode,
    maxAttempts: retryMaxAttempts,
    transport,
    clock: systemClock,
  });
  return new S3Storage({ location, client, dispose: () => transport[Symbol.dispose]() });
}

async function openGha({ options }: EngineParts, location: GhaLocation): Promise<CacheStorage> {
  const { GhaStorage } = await import("../cache/gha-storage.ts");
  const { GhaClient } = await import("../cache/gha-client.ts");
  const { systemClock } = await import("../registry/retry.ts");
  const transport = await openTransport(options, GHA_CONNECTIONS);
  const client = new GhaClient({ location, transport, clock: systemClock });
  return new GhaStorage({ location, client, dispose: () => transport[Symbol.dispose]() });
}

/** Connections with the proxies and certificates of the environment. The caller disposes. */
async function openTransport(options: EngineOptions, connectionsPerHost: number): Promise<Transport> {
  const { Transport } = await import("../registry/transport.ts");
  const { readCertificate } = await import("./client.ts");
  const { version, environment, caCert } = options;
  return new Transport({
    userAgent: `tsbuild/${version}`,
    environment,
    caCerts: caCert === undefined ? [] : [await readCertificate(caCert)],
    connectionsPerHost,
  });
}
