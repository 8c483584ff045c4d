// A request and its answer as data: what the rest of this folder and the transport tell each other.

/** Bytes of a request, opened again for each attempt. */
export interface RequestBody {
  /** Undefined where it is still being made. */
  readonly size: number | undefined;
  readonly open: () => AsyncIterable<Uint8Array>;
}

/**
 * Which connections to a host a request may take. "json" has one of its own, so that small questions do not wait behind big blobs; "stream" two, because
 * what is sent while it is made may wait for something that "data" has to fetch.
 */
export type Lane = "data" | "json" | "stream";

export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Headers for the host of `url` only, Authorization among them: no redirect to another origin carries them. */
  readonly privateHeaders?: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  readonly lane?: Lane;
  /** Do not verify the server's certificate. */
  readonly isInsecure?: boolean;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpResponse {
  readonly status: number;
  /** Lower-case names; repeated fields joined with ", ". */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Where the answer came from, after redirects. */
  readonly url: URL;
  /** The bytes, once. Its connection is busy until it is read to the end or left. Fails with a TransportError. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Reads the rest away, or drops the connection where the rest is long. */
  discard(): Promise<void>;
}

/** Client certificate and CAs of one host, PEM. */
export interface HostCertificates {
  readonly ca: readonly string[];
  readonly cert?: string;
  readonly key?: string;
}
