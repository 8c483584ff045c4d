// Why there was no answer. Kept apart from answers that say no: those are errors.ts.
import { unreachableReason } from "../base/unreachable.ts";

/**
 * - `unreachable`: no connection (name, port, route) · `certificate`: the server's certificate is not trusted
 * - `protocol`: it does not speak what we speak (TLS on a plain port, not HTTP, redirect loops)
 * - `proxy`: the proxy refused · `timeout`: silence for too long · `reset`: the connection broke
 */
export type TransportErrorKind = "unreachable" | "certificate" | "protocol" | "proxy" | "timeout" | "reset";

/** A request that got no complete answer. Never leaves this folder. */
export class TransportError extends Error {
  readonly kind: TransportErrorKind;
  /** Host and port that were spoken to: the registry, its token server, its blob store or a proxy. */
  readonly host: string;
  /** System or OpenSSL code, where there is one. */
  readonly code: string | undefined;

  constructor(kind: TransportErrorKind, url: URL, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.host = url.host;
    this.code = codeOf(options.cause);
  }
}

const CERTIFICATE =
  /^(CERT_|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT|UNABLE_TO_(GET_ISSUER|VERIFY_LEAF|DECRYPT_CERT)|ERR_TLS_CERT_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE)/;

/** Sorts what a socket or the parser threw. Errors that are ours already pass through. */
export function asTransportError(error: unknown, url: URL): Error {
  if (error instanceof TransportError) return error;
  const code = codeOf(error) ?? "";
  const message = error instanceof Error ? error.message : String(error);
  const because = { cause: error };
  const reason = unreachableReason(code);
  if (reason !== undefined) return new TransportError("unreachable", url, reason, because);
  if (CERTIFICATE.test(code)) return new TransportError("certificate", url, firstLine(message), because);
  if (code === "EPROTO" || code.startsWith("ERR_SSL_"))
    return new TransportError("protocol", url, "no TLS spoken there", because);
  if (code.startsWith("HPE_")) return new TransportError("protocol", url, "no HTTP spoken there", because);
  return new TransportError("reset", url, `connection broken (${code || firstLine(message)})`, because);
}

function firstLine(text: string): string {
  return (text.split("\n", 1)[0] ?? "").slice(0, 200);
}

/** The code of an error, or of the first of several (one per address of a name). */
function codeOf(error: unknown): string | undefined {
  if (error instanceof AggregateError) return codeOf(error.errors[0]) ?? (error as NodeJS.ErrnoException).code;
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === "string" ? code : undefined;
}
