// The way to a registry: TLS with a private authority, which scheme, proxies, headers.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { OCI_MANIFEST } from "../../../src/oci/media-type.ts";
import { startRegistry, type RegistryOptions, type TestRegistry } from "../../support/registry/server.ts";
import { observe, referenceTo, sampleImage } from "../../support/registry/sample.ts";

const folder = mkdtempSync(join(tmpdir(), "tsbuild-tls-"));
let tls: { readonly key: string; readonly cert: string };
beforeAll(() => {
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const subject = ["-subj", "/CN=tsbuild test", "-addext", "subjectAltName=IP:127.0.0.1,DNS:registry.test"];
  execFileSync(
    "openssl",
    [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-days",
      "2",
      "-keyout",
      key,
      "-out",
      cert,
      ...subject,
    ],
    { stdio: "ignore" },
  );
  tls = { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
});
afterAll(() => rmSync(folder, { recursive: true }));

const image = sampleImage([]);

async function serving(options: RegistryOptions = {}): Promise<TestRegistry> {
  const registry = await startRegistry(options);
  registry.addManifest("app", "1", image.manifest.bytes, OCI_MANIFEST);
  return registry;
}

test("RG02, pain 20: TLS on the loopback is found out, and trusted with --ca-cert only", async () => {
  await using registry = await serving({ tls });
  const reference = referenceTo(registry.host, "app:1");
  using trusting = observe({ caCerts: [tls.cert] });
  expect((await trusting.client.resolve(reference)).descriptor).toEqual(image.manifest.descriptor);
  await trusting.client.resolve(reference);
  // Plain http was tried once, never again.
  expect(trusting.requests.map((line) => line.split(" ").at(-1))).toEqual(["0", "200", "200"]);
  using doubting = observe();
  await expect(doubting.client.resolve(reference)).rejects.toMatchObject({ code: "registry" });
  using careless = observe({ isInsecure: true });
  expect((await careless.client.resolve(reference)).descriptor).toEqual(image.manifest.descriptor);
});

test("RG03: certificates of a host in a folder of its own", async () => {
  await using registry = await serving({ tls });
  mkdirSync(join(folder, registry.host));
  writeFileSync(join(folder, registry.host, "ca.crt"), tls.cert);
  using world = observe({ certificateFolders: [folder] });
  expect((await world.client.resolve(referenceTo(registry.host, "app:1"))).descriptor).toEqual(
    image.manifest.descriptor,
  );
});

interface TestProxy extends AsyncDisposable {
  readonly url: string;
  readonly seen: string[];
}

/** Leads everything to one port, and writes down what it was asked for and by whom. */
async function startProxy(target: string, refuses = false): Promise<TestProxy> {
  const [host = "", port] = target.split(":");
  const seen: string[] = [];
  const server = createServer((incoming, outgoing) => {
    seen.push(`${incoming.method} ${incoming.url} ${incoming.headers["proxy-authorization"]}`);
    const { pathname, search } = new URL(incoming.url ?? "");
    const forwarded = httpRequest(
      { host, port, method: incoming.method, path: pathname + search, headers: incoming.headers },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
        answer.pipe(outgoing);
      },
    );
    incoming.pipe(forwarded);
  });
  server.on("connect", (incoming, socket) => {
    seen.push(`CONNECT ${incoming.url} ${incoming.headers["proxy-authorization"]}`);
    if (refuses) {
      socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
      return;
    }
    const upstream = connect(Number(port), host, () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      upstream.pipe(socket).pipe(upstream);
    });
    for (const end of [upstream, socket]) end.on("error", () => undefined);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    seen,
    url: `http://u:p%40ss@127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

const PROXY_AUTHORIZATION = `Basic ${Buffer.from("u:p@ss").toString("base64")}`;

test("RG23: https goes through CONNECT, the certificate is still the registry's", async () => {
  await using registry = await serving({ tls });
  await using proxy = await startProxy(registry.host);
  using world = observe({ caCerts: [tls.cert], environment: { HTTPS_PROXY: proxy.url, HOME: folder } });
  const reference = referenceTo("registry.test:444", "app:1");
  expect((await world.client.resolve(reference)).descriptor).toEqual(image.manifest.descriptor);
  await world.client.resolve(reference);
  expect(proxy.seen).toEqual([`CONNECT registry.test:444 ${PROXY_AUTHORIZATION}`]);
  await expect(world.client.resolve(referenceTo("wrong.test", "app:1"))).rejects.toMatchObject({
    message: expect.stringContaining('cannot trust the registry "wrong.test"') as string,
    details: { isTransient: false },
  });
});

test("RG02, RG23: an insecure registry that speaks http only is found through a proxy too", async () => {
  await using registry = await serving();
  await using proxy = await startProxy(registry.host);
  using world = observe({
    isInsecure: true,
    environment: { http_proxy: proxy.url, https_proxy: proxy.url, HOME: folder },
  });
  expect((await world.client.resolve(referenceTo("registry.test", "app:1"))).descriptor).toEqual(
    image.manifest.descriptor,
  );
  expect(proxy.seen).toEqual([
    `CONNECT registry.test:443 ${PROXY_AUTHORIZATION}`,
    `HEAD http://registry.test/v2/app/manifests/1 ${PROXY_AUTHORIZATION}`,
  ]);
  expect(registry.log[0]?.headers["proxy-authorization"]).toBeDefined();
});

test("RG23: a proxy that refuses is named, without its password", async () => {
  await using proxy = await startProxy("127.0.0.1:1", true);
  using world = observe({ environment: { HTTPS_PROXY: proxy.url, HOME: folder } });
  const error: unknown = await world.client
    .resolve(referenceTo("registry.test", "app"))
    .catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    message: 'cannot reach the registry "registry.test": the proxy answered 403 for registry.test',
  });
});

test("RG09, RG23: who we are, and the headers that the user wants sent", async () => {
  await using registry = await serving();
  mkdirSync(join(folder, "docker"));
  const HttpHeaders = { "X-Team": "blue", Authorization: "evil", "User-Agent": "evil", "Bad Name": "x" };
  writeFileSync(join(folder, "docker/config.json"), JSON.stringify({ HttpHeaders }));
  using world = observe({ version: "1.2.3", environment: { DOCKER_CONFIG: join(folder, "docker"), HOME: folder } });
  await world.client.resolve(referenceTo(registry.host, "app:1"));
  expect(registry.log[0]?.headers).toMatchObject({ "user-agent": "tsbuild/1.2.3", "x-team": "blue" });
  expect(registry.log[0]?.authorization).toBeUndefined();
});
