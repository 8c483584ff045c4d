// What works on this machine and what to do about the rest (pain 16). Loads what it examines only when it is asked.
import type { DoctorOptions, Finding, UserOptions } from "./try-machine.ts";

export type { Finding } from "./try-machine.ts";

/**
 * What somebody who is not root needs before the rest can be tried: ids, and a user namespace. All good: start again inside of one, where
 * {@link diagnoseMachine} says the rest.
 */
export async function diagnoseUser(options: UserOptions): Promise<readonly Finding[]> {
  const { tryUser } = await import("./try-machine.ts");
  return tryUser(options);
}

/** As root of the machine or of a user namespace. Never fails. */
export async function diagnoseMachine(options: DoctorOptions): Promise<readonly Finding[]> {
  const { tryMachine } = await import("./try-machine.ts");
  return tryMachine(options);
}
