// Runs a command in the network namespace that it is started in, where nothing can be reached but one port of the loopback: its bytes go through a socket file, which namespaces share.
// Arguments: the socket, the port, the command and its arguments.
import { spawn } from "node:child_process";
import { connect, createServer } from "node:net";

const [socket = "", port = "", command = "", ...args] = process.argv.slice(2);

const server = createServer((inside) => {
  const outside = connect(socket);
  inside.pipe(outside).pipe(inside);
  inside.on("error", () => outside.destroy());
  outside.on("error", () => inside.destroy());
});
server.listen(Number(port), "127.0.0.1", () => {
  const child = spawn(command, args, { stdio: "inherit" });
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? (signal === null ? 1 : 128);
    server.close();
    process.exit();
  });
});
