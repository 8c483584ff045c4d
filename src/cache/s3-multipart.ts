// Large objects in parts: read once, a few parts in memory at a time, each with its own checksum in the signature. What fails leaves no parts behind.
import { createHash } from "node:crypto";
import { BuildError } from "../diagnostics/build-error.ts";
import { byteParts, onePart, wholeOf } from "./byte-parts.ts";
import type { S3Client } from "./s3-client.ts";

export interface MultipartOptions {
  readonly client: S3Client;
  readonly key: string;
  readonly bytes: AsyncIterable<Uint8Array>;
  readonly partSize: number;
  /** Parts on their way at once. */
  readonly parallelism: number;
  readonly signal: AbortSignal;
}

export async function uploadInParts(options: MultipartOptions): Promise<void> {
  const { client, key, signal } = options;
  const opened = await client.send({ method: "POST", key, query: { uploads: "" }, accept: [200], signal });
  const uploadId = /<UploadId>(.*?)<\/UploadId>/s.exec((await wholeOf(opened.body)).toString("utf8"))?.[1];
  if (uploadId === undefined) throw new BuildError("registry", `s3 opened no upload for ${key}`);
  try {
    const tags = await sendParts(uploadId, options);
    const parts = tags.map((tag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${tag}</ETag></Part>`);
    const body = Buffer.from(`<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`);
    const done = await client.send({
      method: "POST",
      key,
      query: { uploadId },
      headers: { "content-type": "application/xml" },
      body: { size: body.length, open: () => onePart(body) },
      payloadHash: sha256(body),
      accept: [200],
      signal,
    });
    // It answers 200 before it knows.
    if (/<Error>/.test((await wholeOf(done.body)).toString("utf8")))
      throw new BuildError("registry", `s3 could not put ${key} together`);
  } catch (error) {
    if (!signal.aborted) await abandon(uploadId, options);
    throw error;
  }
}

async function sendParts(uploadId: string, options: MultipartOptions): Promise<string[]> {
  const { parallelism } = options;
  const tags: Promise<string>[] = [];
  const running = new Set<Promise<string>>();
  for await (const part of byteParts(options.bytes, options.partSize)) {
    const sending = sendPart(uploadId, part, tags.length + 1, options);
    sending.catch(() => {});
    tags.push(sending);
    running.add(sending);
    void sending.finally(() => running.delete(sending)).catch(() => {});
    if (running.size >= parallelism) await Promise.race(running);
  }
  return Promise.all(tags);
}

async function sendPart(
  uploadId: string,
  part: Uint8Array,
  number: number,
  options: MultipartOptions,
): Promise<string> {
  const { client, key, signal } = options;
  const response = await client.send({
    method: "PUT",
    key,
    query: { partNumber: String(number), uploadId },
    body: { size: part.length, open: () => onePart(part) },
    payloadHash: sha256(part),
    accept: [200],
    signal,
  });
  await response.discard();
  const tag = response.headers["etag"];
  if (tag === undefined) throw new BuildError("registry", `s3 gave part ${number} of ${key} no ETag`);
  return tag.replaceAll('"', "&quot;");
}

/** Its failure is nobody's concern: buckets have rules for what is left. */
async function abandon(uploadId: string, { client, key, signal }: MultipartOptions): Promise<void> {
  try {
    await (
      await client.send({ method: "DELETE", key, query: { uploadId }, accept: [204, 200, 404], signal })
    ).discard();
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
