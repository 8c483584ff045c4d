// Why there is no connection, in words, by the code of the system call that failed.

const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: "no such host",
  EAI_AGAIN: "the name server does not answer",
  ECONNREFUSED: "connection refused",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  ENETDOWN: "network is down",
  EADDRNOTAVAIL: "no address to connect from",
  ETIMEDOUT: "connection timed out",
};

/** Undefined where the code is of another kind of failure. */
export function unreachableReason(code: string): string | undefined {
  return REASONS[code];
}
