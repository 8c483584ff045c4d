// Our own mistakes. An InternalError is never the user's fault: the CLI prints "this is a bug in tsbuild" and exits 70.

/** A broken invariant of tsbuild itself. */
export class InternalError extends Error {
  override readonly name = "InternalError";
}

/** Throws {@link InternalError} unless `condition` holds. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InternalError(message);
}

/** Closes a switch over a union: does not compile while a member is unhandled. */
export function unreachable(value: never): never {
  throw new InternalError(`unexpected value ${JSON.stringify(value)}`);
}
