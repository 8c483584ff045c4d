// A line to a real server that breaks where a test wants it to: below HTTP, so that it works for registries that are not ours.
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

export interface CutLine extends AsyncDisposable {
  readonly host: string;
  /** Bytes that each next connection lives for. */
  readonly limits: number[];
  readonly cutCount: number;
  /** Ends the connections that are open, between requests. */
  drop(): void;
}

/** Forwards connections to `target` and breaks them after so many bytes of both directions. */
export async function startCutLine(target: string, limits: number[]): Promise<CutLine> {
  const [host = "", port] = target.split(":");
  const open = new Set<Socket>();
  let cutCount = 0;
  const server = createServer((near) => {
    const far = connect(Number(port), host);
    let room = limits.shift() ?? Infinity;
    open.add(near);
    const forward = (from: Socket, to: Socket): void => {
      from.on("data", (chunk: Buffer) => {
        room -= chunk.length;
        if (room >= 0) return void to.write(chunk);
        if (!near.destroyed) cutCount += 1;
        near.destroy();
        far.destroy();
      });
      from.on("error", () => undefined);
      from.on("close", () => to.destroy());
    };
    forward(near, far);
    forward(far, near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const drop = (): void => {
    for (const socket of open) socket.destroy();
    open.clear();
  };
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    limits,
    get cutCount() {
      return cutCount;
    },
    drop,
    async [Symbol.asyncDispose]() {
      drop();
      server.close();
      await once(server, "close");
    },
  };
}
