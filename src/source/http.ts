// Files behind HTTP URLs, for ADD and for contexts (reference AD03–AD05, Q04): fetched whole or not at all, kept per URL, asked for again with the validators that the server gave.
// A copy counts only for the URL that it came from, and its bytes are hashed again before they are used again (pain 31). How one request is made is http-request.ts's business.
//   <cacheDir>/<id of URL and credentials>/{record.json, <sha256 of the bytes>}
import { createHash, type Hash } from "node:crypto";
import { createReadStream, createWriteStream, existsSync, mkdirSync, openSync, renameSync, rmSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { createGunzip } from "node:zlib";
import { msOfIso, randomName } from "../base/clock.ts";
import { readFileIfExists, touchFolder, writeFileAtomic } from "../base/fs-atomic.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { digestAlgorithm, digestHex, digestOfJson, finishDigest, type Digest } from "../oci/digest.ts";
import { isTransient, openResponse, type HttpAccess } from "./http-request.ts";
import { errnoOf, readError } from "./read-error.ts";
import { unreachableReason } from "../base/unreachable.ts";
import { redactUrls } from "../base/url-text.ts";

export interface FetchHttpOptions extends HttpAccess {
  /** Only what was fetched before is there. */
  readonly isOffline?: boolean;
  readonly url: string;
  /** What the bytes must be. A kept copy that is those bytes needs no request. */
  readonly checksum?: Digest;
  /** Copies are kept below this directory. */
  readonly cacheDir: string;
  /** Bytes at most; absent = no limit. */
  readonly maxSize?: number;
  /** Bytes so far and in all, 0 where the server does not say. */
  readonly onProgress?: (current: number, total: number) => void;
  /** Waits before a retry; tests replace it. */
  readonly wait?: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
}

export interface FetchedFile {
  /** In the cache: not to be written to. */
  readonly path: string;
  /** sha256 of the bytes. */
  readonly digest: Digest;
  readonly size: number;
  /** From Last-Modified; absent = the server did not say. */
  readonly lastModifiedMs?: number;
  readonly contentType?: string;
  /** "kept" = the checksum matched without a request, "revalidated" = the server said that nothing changed. */
  readonly origin: "fetched" | "revalidated" | "kept";
}

/** What is remembered of the last answer with a body. */
interface Record {
  readonly sha256: string;
  readonly size: number;
  readonly etag?: string;
  readonly lastModified?: string;
  readonly contentType?: string;
}

/** Waits before the second, third and fourth attempt. */
const RETRY_DELAYS_MS = [250, 1_000, 3_000];

/** The file behind a URL. Fails with "source" where it cannot be had, with "registry" where the network or the server fails, with "content" where it is not what `checksum` says. */
export async function fetchHttp(options: FetchHttpOptions): Promise<FetchedFile> {
  const folder = join(options.cacheDir, cacheId(options));
  mkdirSync(folder, { recursive: true });
  touchFolder(folder);
  const kept = await readKept(folder, options.checksum);
  if (kept && options.checksum !== undefined) return result(folder, kept, "kept");
  if (options.isOffline === true) {
    if (kept) return result(folder, kept, "kept");
    const message = `${redactUrls(options.url)} is not in the store, and --offline forbids fetching it`;
    throw new BuildError("source", message, { help: "build once without --offline" });
  }
  const known = kept ?? (options.checksum === undefined ? await readKept(folder, undefined) : undefined);
  for (let attempt = 0; ; attempt++) {
    options.signal?.throwIfAborted();
    try {
      return await fetchOnce(options, folder, known);
    } catch (error) {
      options.signal?.throwIfAborted();
      const wait = RETRY_DELAYS_MS[attempt];
      if (wait === undefined || !isTransient(error)) throw asBuildError(error, options.url);
      await (options.wait ?? pause)(wait, options.signal);
    }
  }
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await delay(ms, undefined, signal === undefined ? {} : { signal });
}

/** What an answer may depend on: a private file is not handed to someone without the credentials. */
function cacheId({ url, authorization = "", headers = {} }: FetchHttpOptions): string {
  return digestHex(digestOfJson(["tsbuild.http.v1", url, authorization, headers]));
}

async function fetchOnce(options: FetchHttpOptions, folder: string, known: Record | undefined): Promise<FetchedFile> {
  if (known?.etag !== undefined && (await isUnchanged(options, known))) return result(folder, known, "revalidated");
  const validators = known === undefined ? {} : conditions(known);
  const response = await openResponse(options.url, { ...options, method: "GET", extraHeaders: validators });
  if (response.statusCode !== 304) return store(options, folder, response);
  response.resume();
  if (known !== undefined && saysSame(response, known)) return result(folder, known, "revalidated");
  // "Not modified", but what it names is not what we have: only the bytes themselves can be trusted.
  const whole = await openResponse(options.url, { ...options, method: "GET", extraHeaders: {} });
  if (whole.statusCode === 304) whole.resume();
  return store(options, folder, whole);
}

/** Some servers give an ETag and ignore If-None-Match: a HEAD and our own comparison save the download. Any trouble = not known. */
async function isUnchanged(options: FetchHttpOptions, known: Record): Promise<boolean> {
  try {
    const request = { ...options, method: "HEAD", extraHeaders: conditions(known) } as const;
    const response = await openResponse(options.url, request);
    response.resume();
    if (response.statusCode === 304) return saysSame(response, known);
    return response.statusCode === 200 && strongEtag(response.headers.etag) === strongEtag(known.etag);
  } catch {
    options.signal?.throwIfAborted();
    return false;
  }
}

function conditions({ etag, lastModified }: Record): Readonly<{ [name: string]: string }> {
  if (etag !== undefined) return { "if-none-match": etag };
  return lastModified === undefined ? {} : { "if-modified-since": lastModified };
}

/** A 304 without an ETag speaks of the only one that was asked about. */
function saysSame({ headers }: IncomingMessage, known: Record): boolean {
  return headers.etag === undefined || strongEtag(headers.etag) === strongEtag(known.etag);
}

function strongEtag(etag: string | undefined): string | undefined {
  return etag?.replace(/^W\//, "");
}

/** Takes the body into the cache. */
async function store(options: FetchHttpOptions, folder: string, response: IncomingMessage): Promise<FetchedFile> {
  assertStatus(options.url, response);
  const temp = join(folder, `${randomName()}.tmp`);
  try {
    const body = await receive(options, response, temp);
    const { checksum, url } = options;
    if (checksum !== undefined && body.checksum !== checksum) {
      throw new BuildError(
        "content",
        `digest mismatch for ${redactUrls(url)}: ${body.checksum} (expected: ${checksum})`,
        {
          summary: `the checksum does not match the file at ${redactUrls(url)}`,
          help: `the checksum is wrong, or the file at the URL was changed; if you trust the file: --checksum=${body.checksum}`,
          details: { word: `--checksum=${checksum}` },
        },
      );
    }
    const { etag, "last-modified": lastModified, "content-type": contentType } = response.headers;
    const record: Record = {
      sha256: digestHex(body.sha256),
      size: body.size,
      ...(etag === undefined ? {} : { etag }),
      ...(lastModified === undefined ? {} : { lastModified }),
      ...(contentType === undefined ? {} : { contentType }),
    };
    renameSync(temp, join(folder, record.sha256));
    writeFileAtomic(join(folder, "record.json"), JSON.stringify(record), 0o600);
    return result(folder, record, "fetched");
  } finally {
    rmSync(temp, { force: true });
  }
}

function assertStatus(url: string, { statusCode: status = 0 }: IncomingMessage): void {
  if (status >= 200 && status < 400 && status !== 304) return;
  const host = new URL(url).hostname;
  const help =
    status === 401 || status === 403
      ? `pass credentials by --secret id=HTTP_AUTH_TOKEN_${host},env=…`
      : status === 404 || status === 410
        ? "check the URL, for example with curl -I"
        : undefined;
  const summary =
    status === 404 || status === 410 ? `there is nothing at ${redactUrls(url)} (HTTP ${status})` : undefined;
  const isTransient = [408, 425, 429, 500, 502, 503, 504].includes(status);
  throw new BuildError(
    isTransient ? "registry" : "source",
    `invalid response status ${status} for ${redactUrls(url)}`,
    {
      details: { status, isTransient, word: redactUrls(url) },
      ...(help === undefined ? {} : { help }),
      ...(summary === undefined ? {} : { summary }),
    },
  );
}

interface Body {
  readonly size: number;
  readonly sha256: Digest;
  /** In the algorithm of the expected checksum. */
  readonly checksum: Digest;
}

async function receive(options: FetchHttpOptions, response: IncomingMessage, path: string): Promise<Body> {
  const { checksum, maxSize = Number.POSITIVE_INFINITY, onProgress, signal } = options;
  const algorithm = checksum === undefined ? "sha256" : digestAlgorithm(checksum);
  const sha256 = createHash("sha256");
  const other = algorithm === "sha256" ? undefined : createHash(algorithm);
  const isEncoded = response.headers["content-encoding"] === "gzip";
  const total = isEncoded ? 0 : Number(response.headers["content-length"] ?? 0);
  let size = 0;
  async function* measured(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of body) {
      size += chunk.length;
      if (size > maxSize) throw tooBig(options.url, maxSize);
      sha256.update(chunk);
      other?.update(chunk);
      onProgress?.(size, total);
      yield chunk;
    }
  }
  const streams = isEncoded ? [response, createGunzip()] : [response];
  // Opened now: a stream that opens later could make the file after a failure has removed it.
  const file = createWriteStream(path, { fd: openSync(path, "wx", 0o600) });
  await pipeline([...streams, measured, file] as never, signal === undefined ? {} : { signal });
  if (!response.complete) throw Object.assign(new Error("the connection was closed early"), { code: "ECONNRESET" });
  const digest = finishDigest(sha256);
  return { size, sha256: digest, checksum: other === undefined ? digest : hexDigest(algorithm, other) };
}

function hexDigest(algorithm: string, hash: Hash): Digest {
  return `${algorithm}:${hash.digest("hex")}` as Digest;
}

function tooBig(url: string, maxSize: number): BuildError {
  return new BuildError("source", `${redactUrls(url)} is larger than ${maxSize} bytes`, {
    help: "download it before the build and COPY it",
  });
}

/** The remembered answer, if its bytes are still what they were and, with a checksum, what they must be. */
async function readKept(folder: string, checksum: Digest | undefined): Promise<Record | undefined> {
  const text = readFileIfExists(join(folder, "record.json"))?.toString("utf8");
  const record = text === undefined ? undefined : parseRecord(text);
  if (record === undefined || !existsSync(join(folder, record.sha256))) return undefined;
  const path = join(folder, record.sha256);
  if ((await digestOfFile(path, "sha256")) !== `sha256:${record.sha256}`) return undefined;
  if (checksum === undefined) return record;
  return (await digestOfFile(path, digestAlgorithm(checksum))) === checksum ? record : undefined;
}

function parseRecord(text: string): Record | undefined {
  try {
    const record = JSON.parse(text) as Record;
    return /^[0-9a-f]{64}$/.test(record.sha256) ? record : undefined;
  } catch {
    // Damage is a miss.
    return undefined;
  }
}

async function digestOfFile(path: string, algorithm: string): Promise<Digest> {
  const hash = createHash(algorithm);
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash);
  return hexDigest(algorithm, hash);
}

function result(folder: string, record: Record, origin: FetchedFile["origin"]): FetchedFile {
  const { sha256, size, lastModified, contentType } = record;
  const lastModifiedMs = lastModified === undefined ? undefined : msOfIso(lastModified);
  return {
    path: join(folder, sha256),
    digest: `sha256:${sha256}` as Digest,
    size,
    origin,
    ...(lastModifiedMs === undefined ? {} : { lastModifiedMs }),
    ...(contentType === undefined ? {} : { contentType }),
  };
}

function asBuildError(error: unknown, url: string): unknown {
  if (error instanceof BuildError) return error;
  const code = errnoOf(error);
  if (code === "ENOSPC" || code === "EACCES" || code === "EROFS") return readError("keep", redactUrls(url), error);
  const reason = unreachableReason(code) ?? (error instanceof Error ? redactUrls(error.message) : code);
  const help = helpOf(code);
  return new BuildError("registry", `cannot fetch ${redactUrls(url)}: ${reason === "" ? code : reason}`, {
    ...(help === undefined ? {} : { help }),
    details: { isTransient: isTransient(error), word: redactUrls(url) },
  });
}

function helpOf(code: string): string | undefined {
  if (code === "ECONNREFUSED") return "is the server running? check the URL's host and port, and HTTP_PROXY/NO_PROXY";
  if (code === "ENOTFOUND") return "check the host's name, and HTTP_PROXY if there is a proxy";
  if (/CERT|SIGNATURE/.test(code)) return "give its certificate authority with --ca-cert FILE";
  return isTransient(Object.assign(new Error(code), { code }))
    ? "check the host and the network, then build again"
    : undefined;
}

/** A secret that may hold credentials for a URL. */
export interface HttpSecret {
  readonly id: string;
  readonly kind: "header" | "token";
}

/** Ids of the secrets to look for, the first that exists counts (AD05). */
export function httpSecrets(url: string): readonly HttpSecret[] {
  if (!URL.canParse(url)) return [];
  const { hostname } = new URL(url);
  return [
    { id: `HTTP_AUTH_TOKEN_${hostname}`, kind: "token" },
    { id: `HTTP_AUTH_HEADER_${hostname}`, kind: "header" },
  ];
}

/** Value of the Authorization header that a secret stands for. */
export function httpAuthorization({ kind }: HttpSecret, value: string): string {
  return kind === "token" ? `Bearer ${value}` : value;
}
