// Which hosts are asked, in which order, by which scheme, and which of them through a proxy.
import { expect, test } from "vitest";
import {
  endpointsFor,
  originOf,
  parseMirrors,
  repositoriesAt,
  repositoryUrl,
} from "../../../src/registry/endpoints.ts";
import { proxyFor } from "../../../src/registry/proxy.ts";

const urls = (registry: string, mirrors?: string, isInsecure = false) =>
  endpointsFor(registry, { isInsecure, ...(mirrors === undefined ? {} : { mirrors: parseMirrors(mirrors) }) }).map(
    (endpoint) =>
      endpoint.schemes.map((scheme) => repositoryUrl(endpoint, scheme, { repository: "a/b" }, "manifests/x").href),
  );

test("RG01: Docker Hub's name and its host differ", () => {
  expect(urls("docker.io")).toEqual([["https://registry-1.docker.io/v2/a/b/manifests/x"]]);
  expect(originOf("docker.io").credentialHost).toBe("docker.io");
});

test.each(["localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "localhost"])(
  "RG02: %s speaks http first",
  (host) => {
    expect(originOf(host).schemes).toEqual(["http", "https"]);
  },
);

test.each(["example.org", "localhost.example.org:5000", "128.0.0.1:5000", "127.example.org"])(
  "RG02: %s speaks https only",
  (host) => {
    expect(originOf(host).schemes).toEqual(["https"]);
  },
);

test("RG02: an insecure registry may fall back to http, verified ones never", () => {
  expect(originOf("example.org", { isInsecure: true })).toMatchObject({ schemes: ["https", "http"], isInsecure: true });
});

test("RG03, pain 22: mirrors in order, with their own scheme and path and ?ns=, then the registry", () => {
  expect(
    urls("docker.io", "docker.io=http://m1.example.org, index.docker.io=m2:444/cache/hub/,other.io=https://m3"),
  ).toEqual([
    ["http://m1.example.org/v2/a/b/manifests/x?ns=docker.io"],
    ["https://m2:444/v2/cache/hub/a/b/manifests/x?ns=docker.io"],
    ["https://registry-1.docker.io/v2/a/b/manifests/x"],
  ]);
  expect(urls("quay.io", "docker.io=http://m1").length).toBe(1);
});

test("RG16, pain 38: what came through a mirror can be mounted at the mirror, below its path", () => {
  const mirrors = parseMirrors("docker.io=http://127.0.0.1:5000,docker.io=https://hub.example.org/proxy");
  const sources = [
    { registry: "docker.io", repository: "library/debian" },
    { registry: "127.0.0.1:5000", repository: "library/debian" },
    { registry: "127.0.0.1:5000", repository: "team/app" },
  ];
  expect(repositoriesAt("127.0.0.1:5000", sources, mirrors)).toEqual(["library/debian", "team/app"]);
  expect(repositoriesAt("hub.example.org", sources, mirrors)).toEqual(["proxy/library/debian"]);
  expect(repositoriesAt("docker.io", sources, mirrors)).toEqual(["library/debian"]);
  expect(repositoriesAt("ghcr.io", sources)).toEqual([]);
});

test("RG03: credentials of a mirror are those of the mirror's own host", () => {
  const [mirror] = endpointsFor("docker.io", { mirrors: parseMirrors("docker.io=https://m.example.org") });
  expect(mirror?.credentialHost).toBe("m.example.org");
});

test.each([
  "nothing",
  "=https://a",
  "a.io=",
  "a.io=ftp://b",
  "a.io=https://user:geheim@b",
  "a.io=https://b?x=1",
  "a.io=https://b c",
])("RG03: the mirror list %j is refused without repeating it", (text) => {
  expect(() => parseMirrors(text)).toThrowError(
    expect.objectContaining({ code: "usage", message: expect.not.stringContaining("geheim") as string }) as Error,
  );
});

test.each([
  ["https://r.example.org/", "http://p:3128/"],
  ["http://r.example.org/", undefined],
  ["https://internal.corp/", undefined],
  ["https://a.internal.corp:8443/", undefined],
  ["https://internal.corp.evil/", "http://p:3128/"],
  ["https://10.1.2.3/", undefined],
  ["https://11.1.2.3/", "http://p:3128/"],
  ["https://127.0.0.1:5000/", undefined],
  ["https://[fd00::1]/", undefined],
  ["https://port.example:444/", undefined],
  ["https://port.example/", "http://p:3128/"],
])("RG23: %s goes through %s", (url, expected) => {
  const environment = { https_proxy: "p:3128", NO_PROXY: "internal.corp, 10.0.0.0/8 fd00::/8,port.example:444" };
  expect(proxyFor(new URL(url), environment)?.href).toBe(expected);
});

test("RG23: NO_PROXY=* is direct, ALL_PROXY is the last resort, socks is refused", () => {
  const url = new URL("https://r.example.org/");
  expect(proxyFor(url, { HTTPS_PROXY: "http://p", NO_PROXY: "*" })).toBeUndefined();
  expect(proxyFor(url, { ALL_PROXY: "http://q" })?.host).toBe("q");
  expect(() => proxyFor(url, { HTTPS_PROXY: "socks5://p" })).toThrow(/socks5 is not supported/);
});
