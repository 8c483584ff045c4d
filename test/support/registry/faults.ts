// What can go wrong on purpose between a client and the test registry. A fault is chosen per request by a function, so that a test says exactly when.

/** A request as it arrives, before anything is done for it. */
export interface SeenRequest {
  /** Counts from 1 over all requests. */
  readonly number: number;
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export type Fault =
  /** The connection is reset before anything is read. */
  | { readonly kind: "reset" }
  /** This answer instead of the real one; nothing is done. */
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    }
  /** Everything is done, then the connection is reset instead of answering. */
  | { readonly kind: "lose-answer" }
  /** The connection is reset after so many bytes of the request's body; what came is kept in the session. */
  | { readonly kind: "drop-upload"; readonly afterBytes: number }
  /** The connection is reset after so many bytes of the answer's body. */
  | { readonly kind: "drop-download"; readonly afterBytes: number }
  /** Nothing comes after so many bytes of the answer's body, and the connection stays. */
  | { readonly kind: "stall-download"; readonly afterBytes: number }
  /** The answer's body is complete, and one byte of it is wrong. */
  | { readonly kind: "corrupt" }
  /** The registry believes that the blob is only so long. */
  | { readonly kind: "truncate"; readonly size: number }
  /** Nothing is ever answered. */
  | { readonly kind: "silence" };

/** Chooses the fault of a request; may wait first, which is how latency is made. */
export type FaultChoice = (request: SeenRequest) => Fault | undefined | Promise<Fault | undefined>;

/** `fault` for each n-th request that `matches`. */
export function everyNth(
  n: number,
  fault: Fault,
  matches: (request: SeenRequest) => boolean = () => true,
): FaultChoice {
  let seen = 0;
  return (request) => (matches(request) && ++seen % n === 0 ? fault : undefined);
}

/** `fault` for the first `times` requests that `matches`. */
export function firstTimes(
  times: number,
  fault: Fault,
  matches: (request: SeenRequest) => boolean = () => true,
): FaultChoice {
  let seen = 0;
  return (request) => (matches(request) && seen++ < times ? fault : undefined);
}

/** The first fault that any of them chooses; all of them see every request. */
export function anyOf(...choices: readonly FaultChoice[]): FaultChoice {
  return async (request) => {
    const faults = await Promise.all(choices.map(async (choose) => choose(request)));
    return faults.find((fault) => fault !== undefined);
  };
}

/** Matches by method and a part of the URL. */
export function isRequest(method: string, part: string | RegExp): (request: SeenRequest) => boolean {
  return (request) =>
    request.method === method && (typeof part === "string" ? request.url.includes(part) : part.test(request.url));
}
