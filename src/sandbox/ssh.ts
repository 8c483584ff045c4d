// Agent sockets for steps (reference M50–M52): a socket of our own with the owner and mode that the step asked for, which passes everything on. The agent itself
// answers only its own user, and its socket's owner is not ours to change.
import { chmodSync, chownSync, closeSync, openSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { basename, dirname } from "node:path";
import { pipeline } from "node:stream/promises";

export interface AgentProxyOptions {
  /** Socket of the agent. */
  readonly socket: string;
  /** Where the new socket is made; its directory exists. */
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Listens at `path` until disposed; then all connections are cut. */
export async function openAgentProxy(options: AgentProxyOptions): Promise<AsyncDisposable> {
  const connections = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const agent = connect({ path: options.socket, allowHalfOpen: true });
    for (const socket of [client, agent]) {
      connections.add(socket);
      socket.once("close", () => connections.delete(socket));
    }
    // A side that breaks breaks the other one: the step sees its agent go away, which is what happened.
    void Promise.all([pipeline(client, agent), pipeline(agent, client)]).catch(() => {
      client.destroy();
      agent.destroy();
    });
  });
  // A socket's path has at most 107 bytes, and directories of builds may be deeper: the descriptor makes it short.
  const directory = openSync(dirname(options.path), "r");
  try {
    await listen(server, `/proc/self/fd/${directory}/${basename(options.path)}`);
    chownSync(options.path, options.uid, options.gid);
    chmodSync(options.path, options.mode & 0o777);
  } catch (error) {
    server.close();
    closeSync(directory);
    throw error;
  }
  return {
    [Symbol.asyncDispose]: async () => {
      for (const socket of connections) socket.destroy();
      await closeServer(server);
      closeSync(directory);
    },
  };
}

async function listen(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ path }, () => resolve());
  await promise;
}

async function closeServer(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  await promise;
}
