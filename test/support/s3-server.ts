// s3rver on a free port of the loopback, with its objects in a directory. It knows key ids but checks no signature of version 4: that is done here, from the request as it arrives.
import type { IncomingMessage } from "node:http";
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { signedHeaders } from "../../src/cache/sigv4.ts";

export interface S3Server extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  readonly dataDir: string;
  /** Requests since the last call: `PUT /bucket/key`. */
  requests(): readonly string[];
}

interface Context {
  readonly method: string;
  readonly path: string;
  readonly req: IncomingMessage;
  status: number;
  body: unknown;
}

interface S3rver {
  use(middleware: (context: Context, next: () => Promise<void>) => Promise<void>): void;
  middleware: unknown[];
  run(): Promise<AddressInfo>;
  close(): Promise<void>;
}

/** Key and secret that it knows. */
export const S3_KEY = "S3RVER";

export async function openS3Server(bucket: string): Promise<S3Server> {
  const dataDir = mkdtempSync(join(tmpdir(), "tsbuild-s3-"));
  const Server = createRequire(import.meta.url)("s3rver") as new (options: object) => S3rver;
  const server = new Server({
    address: "127.0.0.1",
    port: 0,
    silent: true,
    directory: dataDir,
    configureBuckets: [{ name: bucket }],
  });
  let log: string[] = [];
  server.use(async (context, next) => {
    log.push(`${context.method} ${context.path}`);
    if (isSigned(context.req)) return next();
    context.status = 403;
    context.body = "<Error><Code>SignatureDoesNotMatch</Code><Message>check your key</Message></Error>";
  });
  // Before all others but those that write XML.
  server.middleware.unshift(server.middleware.pop());
  const { port } = await server.run();
  return {
    url: `http://127.0.0.1:${port}`,
    dataDir,
    requests: () => {
      const taken = log;
      log = [];
      return taken;
    },
    [Symbol.asyncDispose]: async () => {
      await server.close();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

function isSigned({ method = "", url = "", headers }: IncomingMessage): boolean {
  const given = /SignedHeaders=([^,]*), Signature=/.exec(headers.authorization ?? "")?.[1];
  if (given === undefined) return false;
  const added = ["host", "x-amz-date", "x-amz-content-sha256"];
  const names = given.split(";").filter((name) => !added.includes(name));
  const time = String(headers["x-amz-date"]);
  const expected = signedHeaders(
    {
      method,
      url: new URL(url, `http://${headers.host}`),
      headers: Object.fromEntries(names.map((name) => [name, String(headers[name])])),
      payloadHash: String(headers["x-amz-content-sha256"]),
    },
    {
      credentials: { accessKeyId: S3_KEY, secretAccessKey: S3_KEY },
      region: "us-east-1",
      nowIso: time.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6.000Z"),
    },
  );
  return expected["authorization"] === headers.authorization;
}
