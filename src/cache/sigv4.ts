// AWS Signature Version 4 for S3 (docs.aws.amazon.com, "Authenticating Requests: Using the Authorization Header"). Pure: time comes from the caller.
import { createHash, createHmac } from "node:crypto";

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface SigningRequest {
  readonly method: string;
  /** Its path is encoded by {@link encodePath}, its query by {@link encodeQuery}. */
  readonly url: URL;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** sha256 hex of the body, or UNSIGNED-PAYLOAD. */
  readonly payloadHash: string;
}

export interface SigningScope {
  readonly credentials: S3Credentials;
  readonly region: string;
  /** RFC 3339 with milliseconds, UTC. */
  readonly nowIso: string;
}

export const EMPTY_PAYLOAD: string = sha256("");

/** The headers to send: those that were given, and what the signature adds. Host is signed and not among them. */
export function signedHeaders(request: SigningRequest, scope: SigningScope): Record<string, string> {
  const { credentials, region } = scope;
  const time = scope.nowIso.replace(/[-:]|\.\d+/g, "");
  const date = time.slice(0, 8);
  const headers: Record<string, string> = {
    ...request.headers,
    "x-amz-content-sha256": request.payloadHash,
    "x-amz-date": time,
    ...(credentials.sessionToken === undefined ? {} : { "x-amz-security-token": credentials.sessionToken }),
  };
  const signed = Object.entries({ ...headers, host: request.url.host }).sort(([a], [b]) => (a < b ? -1 : 1));
  const names = signed.map(([name]) => name).join(";");
  const canonical = [
    request.method,
    request.url.pathname,
    request.url.search.slice(1).split("&").sort().join("&"),
    ...signed.map(([name, value]) => `${name}:${value.trim().replace(/ +/g, " ")}`),
    "",
    names,
    request.payloadHash,
  ].join("\n");
  const place = `${date}/${region}/s3/aws4_request`;
  const text = ["AWS4-HMAC-SHA256", time, place, sha256(canonical)].join("\n");
  const keys = [date, region, "s3", "aws4_request"];
  const key = keys.reduce((last: string | Buffer, part) => hmac(last, part), `AWS4${credentials.secretAccessKey}`);
  const signature = hmac(key, text).toString("hex");
  const authorization = `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${place}, SignedHeaders=${names}, Signature=${signature}`;
  return { ...headers, authorization };
}

/** A key as a path: everything but unreserved characters and "/" is escaped, as S3 counts it. */
export function encodePath(path: string): string {
  return path.split("/").map(encodeStrictly).join("/");
}

export function encodeQuery(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => `${encodeStrictly(name)}=${encodeStrictly(value)}`)
    .sort()
    .join("&");
}

function encodeStrictly(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
