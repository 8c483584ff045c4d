// Without root, a command that touches the store or runs something starts itself again as root of a user namespace of its own.
import { endDeadBuilds, rootlessCommand, storeRoot } from "../index.ts";
import { ROOTLESS } from "./terminal.ts";

/** Replaces this process, which is not root. Fails with "runtime" that says what is missing. */
export async function enterUserNamespace(words: readonly string[]): Promise<void> {
  const { env, execPath, execArgv, argv } = process;
  const uid = process.getuid?.() ?? 0;
  const command = await rootlessCommand({
    argv: [execPath, ...execArgv, argv[1]!, ...words],
    uid,
    userName: env["USER"] ?? env["LOGNAME"] ?? String(uid),
    searchPath: `${env["PATH"] ?? ""}:/usr/sbin:/sbin:/usr/bin:/bin`,
  });
  await endDeadBuilds(storeRoot(env, uid));
  // As the launcher says it: bin.ts has taken it away.
  const memory = { MALLOC_ARENA_MAX: env["MALLOC_ARENA_MAX"] ?? "1" };
  process.execve?.(command[0]!, [...command], { ...env, ...memory, [ROOTLESS]: String(uid) });
}
