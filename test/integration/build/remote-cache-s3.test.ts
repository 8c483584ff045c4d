// Caches in an S3 bucket, against a server that checks signatures (reference G06; pains 7, 33).
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { S3Client } from "../../../src/cache/s3-client.ts";
import { S3Storage } from "../../../src/cache/s3-storage.ts";
import type { Digest } from "../../../src/oci/digest.ts";
import { systemClock } from "../../../src/registry/retry.ts";
import { Transport } from "../../../src/registry/transport.ts";
import { openRig, type CommandResult, type Rig } from "../../support/rig.ts";
import { S3_KEY, openS3Server, type S3Server } from "../../support/s3-server.ts";

const BUCKET = "caches";
let rig: Rig;
let server: S3Server;

beforeAll(async () => {
  [rig, server] = await Promise.all([openRig(), openS3Server(BUCKET)]);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

const environment = () => ({
  AWS_ACCESS_KEY_ID: S3_KEY,
  AWS_SECRET_ACCESS_KEY: S3_KEY,
  AWS_REGION: "us-east-1",
  AWS_BUCKET: BUCKET,
});

const place = (more = "") => `type=s3,endpoint_url=${server.url},use_path_style=true${more}`;

/** A RUN of its own per text; a store without its record is another machine as far as the step goes. */
function context(text: string): string {
  return rig.context({ Dockerfile: `FROM busybox\nRUN echo ${text} > /x; head -c 50000 /dev/urandom > /y\n` });
}

function build(args: readonly string[]): Promise<CommandResult> {
  return rig.must(["--progress", "plain", "-o", "type=cacheonly", ...args], { env: environment() });
}

async function wiped(args: readonly string[]): Promise<CommandResult> {
  await rig.must(["prune", "--all"]);
  return build(args);
}

function outcome(result: CommandResult): string {
  return /^#\d+ \[.*2\/2\].*\n#\d+ (\S+)/m.exec(result.stderr)?.[1] ?? "";
}

test("G06: a cache goes to a bucket and comes back; with nothing changed nothing is written", async () => {
  const step = context("bucket");
  await build(["--cache-to", place(",name=one;two,prefix=app/"), step]);
  const written = server.requests().filter((line) => line.startsWith("PUT"));
  expect(written.filter((line) => line.includes("/app/manifests/")).map((line) => line.split("/").at(-1))).toEqual([
    "one",
    "two",
  ]);
  // A layer, and what explains its step.
  expect(written.filter((line) => line.includes("/app/blobs/")).length).toBe(2);
  await build(["--cache-to", place(",name=one;two,prefix=app/"), step]);
  expect(server.requests().filter((line) => line.startsWith("PUT"))).toEqual([]);
  const result = await wiped(["--cache-from", place(",name=two,prefix=app/"), step]);
  expect(outcome(result)).toBe("CACHED");
});

test("G06, G09: a wrong key is one line that names no secret", async () => {
  const result = await build([
    "--cache-to",
    place(",access_key_id=S3RVER,secret_access_key=hush-hush"),
    context("wrong"),
  ]);
  expect(result.stderr).toMatch(
    /^note: cache to s3 caches\/buildkit was not exported: s3 GET .* was answered 403 \(SignatureDoesNotMatch/m,
  );
  expect(result.stderr).not.toContain("hush");
});

test("pain 33: a bucket keeps max-size", async () => {
  const to = ["--cache-to", place(",prefix=small/,max-size=120k")];
  for (const text of ["a", "b", "c", "d"]) await build([...to, context(`size-${text}`)]);
  const blobs = readdirSync(join(server.dataDir, BUCKET, "small/blobs"));
  expect(blobs.filter((name) => name.endsWith("object")).length).toBe(4);
});

test("G06: a large blob goes in parts and comes back from the middle", async () => {
  using transport = new Transport({ userAgent: "tsbuild/test" });
  const location = {
    kind: "s3",
    bucket: BUCKET,
    region: "us-east-1",
    prefix: "parts/",
    manifestsPrefix: "manifests/",
    blobsPrefix: "blobs/",
    names: ["x"],
    endpointUrl: server.url,
    usesPathStyle: true,
    accessKeyId: S3_KEY,
    secretAccessKey: S3_KEY,
    retryMode: "adaptive",
    retryMaxAttempts: 3,
    touchRefreshMs: 0,
    uploadParallelism: 2,
  } as const;
  const credentials = { accessKeyId: S3_KEY, secretAccessKey: S3_KEY };
  const client = new S3Client({ ...location, credentials, maxAttempts: 3, transport, clock: systemClock });
  using storage = new S3Storage({ location, client, multipartFrom: 1000, partSize: 400_000 });
  const bytes = randomBytes(1_000_000);
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
  const blob = { mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size: bytes.length };
  const { signal } = new AbortController();
  const open = async function* (offset: number) {
    yield bytes.subarray(offset);
  };
  expect(await storage.put(blob, open, { sources: [], signal })).toBe(true);
  expect(await storage.put(blob, open, { sources: [], signal })).toBe(false);
  const chunks: Uint8Array[] = [];
  for await (const chunk of storage.open(blob, 600_000, signal)) chunks.push(chunk);
  expect(Buffer.concat(chunks).equals(bytes.subarray(600_000))).toBe(true);
});
