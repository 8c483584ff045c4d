// The options of a cache in an S3 bucket (reference G06); what is not given comes from the AWS_* environment.
import { BuildError, type CacheLocation } from "../index.ts";
import type { CacheAttributes } from "./cache-attributes.ts";
import type { Environment } from "./values.ts";

/** Of both ways. `disable_accept_encoding` asks for what is so anyway: that header is never sent, so never signed. */
export const S3_KEYS: readonly string[] = [
  "bucket",
  "region",
  "prefix",
  "manifests_prefix",
  "blobs_prefix",
  "name",
  "endpoint_url",
  "access_key_id",
  "secret_access_key",
  "session_token",
  "use_path_style",
  "disable_accept_encoding",
  "retry_mode",
  "retry_max_attempts",
];
/** Of exports. */
export const S3_TARGET_KEYS: readonly string[] = ["touch_refresh", "upload_parallelism"];

export function s3Location(given: CacheAttributes, environment: Environment): CacheLocation & { readonly kind: "s3" } {
  const required = (key: string, ...variables: readonly string[]): string => {
    const value = given.text(key) ?? variables.map((name) => environment[name]).find((text) => text !== undefined);
    if (value !== undefined && value !== "") return value;
    throw new BuildError("usage", `${given.flag} type=s3: missing ${key}`, {
      help: `add ${key}=…, or set ${variables.join(" or ")}`,
    });
  };
  const endpointUrl =
    given.text("endpoint_url") ?? environment["AWS_ENDPOINT_URL_S3"] ?? environment["AWS_ENDPOINT_URL"];
  if (endpointUrl !== undefined && !/^https?:\/\//.test(endpointUrl))
    throw new BuildError("usage", `invalid endpoint_url ${JSON.stringify(endpointUrl)}`, {
      help: "it starts with https://",
    });
  given.flagOf("disable_accept_encoding", false);
  // A key of the flag's own is not mixed with a token of the environment's.
  const isOwnKey = given.text("access_key_id") !== undefined;
  const sessionToken = given.text("session_token") ?? (isOwnKey ? undefined : environment["AWS_SESSION_TOKEN"]);
  const names = given.list("name");
  return {
    kind: "s3",
    bucket: required("bucket", "AWS_BUCKET"),
    region: required("region", "AWS_REGION", "AWS_DEFAULT_REGION"),
    prefix: given.text("prefix") ?? "",
    manifestsPrefix: given.text("manifests_prefix") ?? "manifests/",
    blobsPrefix: given.text("blobs_prefix") ?? "blobs/",
    names: names.length === 0 ? ["buildkit"] : names,
    ...(endpointUrl === undefined ? {} : { endpointUrl }),
    usesPathStyle: given.flagOf("use_path_style", false),
    accessKeyId: required("access_key_id", "AWS_ACCESS_KEY_ID"),
    secretAccessKey: required("secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ...(sessionToken === undefined || sessionToken === "" ? {} : { sessionToken }),
    retryMode: given.oneOf("retry_mode", ["standard", "adaptive"], "standard"),
    retryMaxAttempts: given.count("retry_max_attempts") ?? 3,
    touchRefreshMs: given.duration("touch_refresh", "24h"),
    uploadParallelism: given.count("upload_parallelism") ?? 4,
  };
}
