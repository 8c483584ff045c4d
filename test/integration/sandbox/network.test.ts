// Networks of steps: what is reachable and what is not. Reference S50, S52, S53, pain 14.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runProcess } from "../../../src/base/process.ts";
import { NetworkPool } from "../../../src/sandbox/network.ts";
import { mountsBelow } from "../../../src/sandbox/reap.ts";
import { DEFAULT_SEARCH_PATH } from "../../../src/sandbox/runtime.ts";
import { commandsMentioning, processesMentioning, Rig } from "./rig.ts";

let rig: Rig;
let server: Server;
let port = 0;
beforeAll(async () => {
  rig = await Rig.open();
  server = createServer((_request, response) => response.end("hello from the host\n"));
  await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(async () => {
  server.close();
  await rig[Symbol.asyncDispose]();
});

const fetchFrom = (address: string): string =>
  `printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 2 ${address} ${port} 2>/dev/null | tail -1 | grep . || echo refused`;

test("S50: none has loopback and nothing else", async () => {
  expect(await rig.output("ip -o link | awk '{print $2, $3}'")).toMatch(/^lo: <LOOPBACK,UP[^>]*>\n$/);
});

test("S50: host is the host's", async () => {
  expect(await rig.output(fetchFrom("127.0.0.1"), { network: "host" })).toBe("hello from the host\n");
});

test("S50: default has an interface and a route of its own, and does not reach services on the host's loopback, by no address", async () => {
  const gateway = "$(ip route | awk '/default/ {print $3}')";
  const text = await rig.output(
    `${fetchFrom("127.0.0.1")}; ${fetchFrom(gateway)}; ip -o link | grep -vc lo:; ip route | grep -c default`,
    { network: "default" },
  );
  expect(text).toBe("refused\nrefused\n1\n1\n");
  expect(rig.notices).toEqual([]);
});

test("S50: on a machine without a way out a step has loopback alone, and nothing is said of it", async () => {
  const dir = rig.directory("alone");
  const source = join(import.meta.dirname, "../../../src/sandbox/sandbox.ts");
  const request = rig.request("ip -o link | awk '{print $2, $3}'", { network: "default" });
  const script = `
    import { createSandbox } from ${JSON.stringify(source)};
    await using sandbox = await createSandbox({ stateDir: ${JSON.stringify(dir)}, isRootless: false, onNotice: console.log });
    await sandbox.run({ ...${JSON.stringify(request)}, onOutput: (_stream, chunk) => process.stdout.write(chunk) });`;
  const { stdout } = await runProcess("unshare", ["--net", process.execPath, "--input-type=module", "-e", script]);
  // Up, which that of the machine is not.
  expect(stdout).toMatch(/^lo: <LOOPBACK,UP[^>]*>\n$/);
});

test("S50, S51: steps in a row share a namespace, steps at once do not, an insecure one leaves its to nobody", async () => {
  const namespace = async (): Promise<string> =>
    rig.output("readlink /proc/self/ns/net; sleep 0.2", { network: "default" });
  const first = await namespace();
  expect(await namespace()).toBe(first);
  const [a, b] = await Promise.all([namespace(), namespace()]);
  expect(a).not.toBe(b);
  const mark = "ip addr add 192.0.2.99/32 dev lo";
  const marked = (): Promise<string> =>
    rig.output(`${mark}; readlink /proc/self/ns/net; sleep 0.2`, { network: "default", security: "insecure" });
  const [c, d] = await Promise.all([marked(), marked()]);
  expect([a, b].sort()).toEqual([c, d].sort());
  // Not by its number, which the kernel gives to the next one as soon as this one is gone.
  expect(await rig.output("ip -o addr show dev lo | grep -c 192.0.2.99 || true", { network: "default" })).toBe("0\n");
});

test("S50: a machine that has a way out by IPv6 alone has one", async () => {
  const dir = rig.directory("six");
  const source = join(import.meta.dirname, "../../../src/sandbox/network.ts");
  const script = `
    import { NetworkPool } from ${JSON.stringify(source)};
    await using pool = new NetworkPool({ searchPath: "/nowhere", stateDir: ${JSON.stringify(dir)}, onNotice: () => undefined });
    console.log((await pool.acquire()).isConnected);`;
  const route = "ip -6 route add default via fd00::1 dev v0";
  const away = "ip -6 route add unreachable default dev lo metric 4096";
  for (const [how, isConnected] of [
    [route, "true"],
    [away, "false"],
  ] as const) {
    const command = `ip link add v0 type veth peer name v1; ip link set lo up; ip link set v1 up; ip link set v0 up
      ip -6 addr add fd00::2/64 dev v0 nodad; ${how}; exec "$0" "$@"`;
    const node = [process.execPath, "--input-type=module", "-e", script];
    const { stdout } = await runProcess("unshare", ["--net", "sh", "-ec", command, ...node]);
    expect(stdout).toBe(`${isConnected}\n`);
  }
});

test("S51: the namespace that is warmed is the one that the first step gets; one whose helper has died serves nobody", async () => {
  const stateDir = rig.directory("warm");
  const onNotice = (): undefined => undefined;
  await using pool = new NetworkPool({ searchPath: DEFAULT_SEARCH_PATH, stateDir, onNotice });
  pool.warm();
  const first = await pool.acquire();
  expect(readdirSync(stateDir).filter((name) => /^netns-\w+$/.test(name))).toHaveLength(1);
  pool.release(first, false);
  const again = await pool.acquire();
  expect(again.path).toBe(first.path);
  pool.release(again, false);
  for (const pid of commandsMentioning(stateDir).keys()) process.kill(pid, "SIGKILL");
  const next = async (): Promise<string | undefined> => {
    const network = await pool.acquire();
    pool.release(network, false);
    return network.path;
  };
  await expect.poll(next).not.toBe(first.path);
});

test.each([
  ["pasta", "169.254.1.1"],
  ["slirp4netns", "10.0.2.3"],
])(
  "S53, pain 14: a resolver on the machine's loopback is reached by %s's forwarder, and no other is invented",
  async (helper, forwarder) => {
    // A machine of its own kind: in a mount namespace whose resolv.conf names a name server that listens on loopback.
    const dir = rig.directory("dns");
    const searchPath = join(dir, "bin");
    mkdirSync(searchPath);
    for (const path of ["/usr/bin/crun", "/usr/bin/unshare", "/usr/sbin/runc", `/usr/bin/${helper}`])
      if (existsSync(path)) symlinkSync(path, join(searchPath, basename(path)));
    writeFileSync(join(dir, "resolv.conf"), "search example.test\nnameserver 127.0.0.77\noptions ndots:2\n");
    const source = join(import.meta.dirname, "../../../src/sandbox/sandbox.ts");
    const request = rig.request("cat /etc/resolv.conf; nslookup build.test. 2>&1 | tail -4", { network: "default" });
    const script = `
    import { createSocket } from "node:dgram";
    import { createSandbox } from ${JSON.stringify(source)};
    const dns = createSocket("udp4", (query, from) => {
      const answer = Buffer.from("c00c000100010000003c00040a090807", "hex");
      const isA = query.readUInt16BE(query.length - 4) === 1;
      const head = Buffer.from(query); head.writeUInt16BE(0x8180, 2); head.writeUInt16BE(isA ? 1 : 0, 6);
      dns.send(isA ? Buffer.concat([head, answer]) : head, from.port, from.address);
    });
    await new Promise((resolve) => dns.bind(53, "127.0.0.77", resolve));
    {
      const places = { stateDir: ${JSON.stringify(dir)}, searchPath: ${JSON.stringify(searchPath)} };
      await using sandbox = await createSandbox({ ...places, isRootless: false, onNotice: console.log });
      await sandbox.run({ ...${JSON.stringify(request)}, onOutput: (_stream, chunk) => process.stdout.write(chunk) });
    }
    dns.close();`;
    const command = 'mount --bind "$0" /etc/resolv.conf && exec "$@"';
    const isolated = ["--mount", "--propagation", "private", "sh", "-c", command, join(dir, "resolv.conf")];
    const { stdout } = await runProcess("unshare", [
      ...isolated,
      process.execPath,
      "--input-type=module",
      "-e",
      script,
    ]);
    expect(stdout).toContain(`nameserver ${forwarder}\nsearch example.test\noptions ndots:2\n`);
    expect(stdout).not.toContain("8.8.8.8");
    expect(stdout).toContain("10.9.8.7");
  },
);

test("S53: behind systemd-resolved's stub are its servers; in the host's own network the stub is what it is there", async () => {
  const dir = rig.directory("resolved");
  writeFileSync(join(dir, "stub"), "nameserver 127.0.0.53\noptions edns0\n");
  writeFileSync(join(dir, "upstream"), "nameserver 192.0.2.7\nsearch example.test\n");
  const source = join(import.meta.dirname, "../../../src/sandbox/sandbox.ts");
  const requests = (["default", "host"] as const).map((network) => rig.request("cat /etc/resolv.conf", { network }));
  const script = `
    import { createSandbox } from ${JSON.stringify(source)};
    await using sandbox = await createSandbox({ stateDir: ${JSON.stringify(dir)}, isRootless: false, onNotice: console.log });
    for (const request of ${JSON.stringify(requests)})
      await sandbox.run({ ...request, onOutput: (_stream, chunk) => process.stdout.write(chunk) });`;
  const command = `mount -t tmpfs run /run && mkdir -p /run/systemd/resolve && cp "$0/upstream" /run/systemd/resolve/resolv.conf
    mount --bind "$0/stub" /etc/resolv.conf && exec "$@"`;
  const isolated = ["--mount", "--propagation", "private", "sh", "-ec", command, dir];
  const { stdout } = await runProcess("unshare", [...isolated, process.execPath, "--input-type=module", "-e", script]);
  expect(stdout).toBe("nameserver 192.0.2.7\nsearch example.test\nnameserver 127.0.0.53\noptions edns0\n");
});

test("S55: no helper: the host's network, said once", async () => {
  const bin = rig.directory("bin");
  for (const path of ["/usr/bin/crun", "/usr/bin/unshare", "/usr/sbin/runc"])
    if (existsSync(path)) symlinkSync(path, join(bin, basename(path)));
  await using bare = await Rig.open({ searchPath: bin });
  expect(await bare.output(fetchFrom("127.0.0.1"), { network: "default" })).toBe("hello from the host\n");
  await bare.output("true", { network: "default" });
  expect(bare.notices).toEqual([
    "neither pasta (package passt) nor slirp4netns is installed: RUN uses the network of this machine",
  ]);
});

test("S55: slirp4netns does where pasta is not installed", async () => {
  const bin = rig.directory("bin");
  for (const path of ["/usr/bin/crun", "/usr/bin/unshare", "/usr/sbin/runc", "/usr/bin/slirp4netns"]) {
    if (existsSync(path)) symlinkSync(path, join(bin, basename(path)));
  }
  await using bare = await Rig.open({ searchPath: bin });
  const text = await bare.output(`${fetchFrom("127.0.0.1")}; ${fetchFrom("10.0.2.2")}; ip -o link | grep -c tap0`, {
    network: "default",
  });
  expect(text).toBe("refused\nrefused\n1\n");
  expect(bare.notices).toEqual([]);
});

test("S55: a helper that fails is said with its reason, once, and leaves no namespace; the next one does where there is one", async () => {
  const bin = rig.directory("bin");
  for (const path of ["/usr/bin/crun", "/usr/bin/unshare", "/usr/sbin/runc"])
    if (existsSync(path)) symlinkSync(path, join(bin, basename(path)));
  const starts = join(bin, "starts");
  const broken = `#!/bin/sh\necho >> ${starts}; echo no /dev/net/tun here >&2; exit 1\n`;
  writeFileSync(join(bin, "pasta"), broken, { mode: 0o755 });
  const namespaces = (dir: string): readonly string[] =>
    readdirSync(join(dir, "state")).filter((name) => name.startsWith("netns-"));
  await using bare = await Rig.open({ searchPath: bin });
  expect(await bare.output(fetchFrom("127.0.0.1"), { network: "default" })).toBe("hello from the host\n");
  await bare.output("true", { network: "default" });
  const reason = "pasta does not work here (no /dev/net/tun here): RUN uses the network of this machine";
  expect(bare.notices).toEqual([reason]);
  // Also where several find out at the same time.
  const notices: string[] = [];
  const stateDir = bare.directory("pool");
  await using pool = new NetworkPool({ searchPath: bin, stateDir, onNotice: (text) => notices.push(text) });
  await Promise.all([pool.acquire(), pool.acquire(), pool.acquire()]);
  expect(notices).toEqual([reason]);
  expect(namespaces(bare.dir)).toEqual([]);
  symlinkSync("/usr/bin/slirp4netns", join(bin, "slirp4netns"));
  await using other = await Rig.open({ searchPath: bin });
  expect(await other.output("ip -o link | grep -c tap0", { network: "default" })).toBe("1\n");
  expect([other.notices, namespaces(other.dir).length]).toEqual([[], 1]);
  // What has failed once is not started again.
  writeFileSync(starts, "");
  await Promise.all([1, 2].map(() => other.output("sleep 0.2", { network: "default" })));
  expect([readFileSync(starts, "utf8"), namespaces(other.dir).length]).toEqual(["", 2]);
  expect(mountsBelow(other.dir)).toHaveLength(2);
  await other.sandbox[Symbol.asyncDispose]();
  expect([namespaces(other.dir), mountsBelow(other.dir)]).toEqual([[], []]);
});

test("nothing is left of the helpers of a sandbox that is disposed", async () => {
  const other = await Rig.open();
  await other.output("true", { network: "default" });
  expect(processesMentioning(other.dir).length).toBeGreaterThan(0);
  await other[Symbol.asyncDispose]();
  expect(processesMentioning(other.dir)).toEqual([]);
});

test("S73: no runtime, no steps: what to install is said", async () => {
  await expect(Rig.open({ searchPath: "/nowhere" })).rejects.toThrow(
    "RUN needs an OCI runtime, and neither crun nor runc is installed",
  );
  await expect(Rig.open({ runtime: "youki" })).rejects.toThrow('there is no OCI runtime "youki"');
});
