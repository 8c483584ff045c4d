// Projects as people have them, on a Debian base from a registry, with the network: built, pushed, run by others, and built again without work.
import { appendFileSync, cpSync, existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { downloads, openDockerRegistry, uploads, type DockerRegistry } from "../support/docker-registry.ts";
import { makeDebianBase } from "../support/debian-base.ts";
import { accepted, Podman, runUnpacked } from "../support/judges.ts";
import { openRig, type Rig } from "../support/rig.ts";

/** Steps trust who this machine trusts: a proxy that opens TLS is none of their business. */
const BUNDLE = "/etc/ssl/certs/ca-certificates.crt";
const TRUST = existsSync(BUNDLE) ? ["--ca-cert", BUNDLE] : [];
const PROJECTS = new URL("../../fixtures/projects", import.meta.url).pathname;

let rig: Rig;
let registry: DockerRegistry;
let podman: Podman;
beforeAll(async () => {
  [rig, registry] = await Promise.all([openRig(), openDockerRegistry()]);
  podman = new Podman(rig.root);
  const image = await makeDebianBase(rig.root);
  const target = `docker://${registry.host}/library/debian:bookworm-slim`;
  await accepted("skopeo", ["copy", "-q", "--dest-tls-verify=false", `oci:${image}`, target]);
});
afterAll(async () => {
  await podman[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

/** Builds with the registry as the mirror of docker.io. */
const must = (...args: readonly string[]) =>
  rig.must(args, { env: { TSBUILD_REGISTRY_MIRRORS: `docker.io=http://${registry.host}` } });

/** A copy of the fixture that the test may change. */
function checkout(name: string): string {
  const folder = join(rig.root, name);
  cpSync(join(PROJECTS, name), folder, { recursive: true });
  return folder;
}

/** Steps of the Dockerfile → how they ended. */
const steps = (stderr: string) => [...rig.outcomes(stderr)].filter(([name]) => /^\[.*\d+\/\d+\] [A-Z]/.test(name));
const ran = (stderr: string) =>
  steps(stderr).flatMap(([name, how]) => (how === "ran" ? [name.replace(/^.*\] /, "")] : []));

describe("a C program with a compiler from apt-get", () => {
  let context: string;
  let reference: string;
  beforeAll(() => {
    context = checkout("c");
    reference = `${registry.host}/c/primes:1`;
  });

  test("is built, pushed, and accepted by skopeo, umoci with runc and crun, and podman", async () => {
    await must("-q", "-t", reference, "--push", context);
    const inspected = await accepted("skopeo", ["inspect", "--tls-verify=false", `docker://${reference}`]);
    expect(JSON.parse(inspected)).toMatchObject({ Os: "linux", Layers: { length: 3 } });
    const layout = join(rig.root, "primes");
    await accepted("skopeo", ["copy", "-q", "--src-tls-verify=false", `docker://${reference}`, `oci:${layout}:1`]);
    const wanted = "2 3 5 7 11 13 17 19 23 29\nuid 700\n";
    for (const runtime of ["runc", "crun"] as const)
      expect(await runUnpacked(layout, "1", join(rig.root, `primes-${runtime}`), { runtime })).toBe(wanted);
    await podman.pull(reference);
    expect(await podman.run(reference)).toBe(wanted);
    expect(await podman.run(reference, "3")).toBe("2 3 5\nuid 700\n");
  });

  test("is not built, not read and not uploaded again", async () => {
    await registry.requests();
    const { stderr } = await must("--progress", "rawjson", "-t", reference, "--push", context);
    expect(steps(stderr).length).toBeGreaterThan(5);
    expect(ran(stderr)).toEqual([]);
    const requests = await registry.requests();
    expect([...uploads(requests), ...downloads(requests)]).toEqual([]);
  });

  test("a comment in the source is compiled again, and nothing after it: the program is the same", async () => {
    appendFileSync(join(context, "primes.c"), "/* the end */\n");
    const { stderr } = await must("--progress", "rawjson", "-t", reference, "--push", context);
    expect(ran(stderr)).toEqual(["COPY Makefile *.c ./", "RUN make"]);
  });

  test("--target scratch with the static program alone", async () => {
    const archive = join(rig.root, "static.tar");
    await must("-q", "-t", "primes:static", "--target", "static", "-o", `type=docker,dest=${archive}`, context);
    await podman.load(archive);
    expect(await podman.run("docker.io/library/primes:static", "4")).toBe("2 3 5 7\nuid 0\n");
  });
});

describe("a Node project with npm", () => {
  let context: string;
  let reference: string;
  beforeAll(async () => {
    context = checkout("node");
    reference = `${registry.host}/node/greeter:1`;
    // The base image: this Node and the machine's npm on Debian.
    const npm = dirname(dirname(await accepted("sh", ["-c", 'printf %s "$(readlink -f "$(command -v npm)")"'])));
    const base = rig.context({
      Dockerfile: `FROM debian:bookworm-slim
COPY --from=node ${basename(process.execPath)} /usr/local/bin/node
COPY --from=npm . /usr/local/lib/node_modules/npm/
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && npm --version
`,
    });
    const contexts = { node: dirname(process.execPath), npm };
    const flags = Object.entries(contexts).flatMap(([name, folder]) => ["--build-context", `${name}=${folder}`]);
    await must("-q", "-t", `${registry.host}/library/node:24`, "--push", ...flags, base);
  });

  test("is installed by the lockfile, built, pruned, and runs as a user without development dependencies", async () => {
    await must("-q", ...TRUST, "-t", reference, "--push", context);
    await podman.pull(reference);
    expect(await podman.run(reference)).toBe("hello build production 1000 false\n");
    expect(await podman.run(reference, "ls", "-A", "/app")).toBe("dist\nnode_modules\npackage.json\n");
    // Neither npm's cache nor the trusted certificates are in it.
    expect(await podman.run(reference, "sh", "-c", "ls -A /home/node /dev; env")).not.toMatch(/\.npm|tsbuild|CERT/);
  });

  test("a change of the sources leaves the dependencies alone; one of the lockfile installs from the kept cache", async () => {
    appendFileSync(join(context, "src/greet.js"), 'console.log("changed");\n');
    const sources = await must("--progress", "rawjson", ...TRUST, "-t", reference, context);
    expect(ran(sources.stderr)).toEqual([
      "COPY . .",
      "RUN npm run build && npm prune --omit=dev",
      "COPY --from=build --chown=node:node /app/dist ./dist",
    ]);
    appendFileSync(join(context, "package-lock.json"), "\n");
    const lockfile = join(context, "Dockerfile");
    cpSync(lockfile, `${lockfile}.offline`);
    await accepted("sed", ["-i", "s/npm ci/npm ci --offline/", `${lockfile}.offline`]);
    const installed = await must("--progress", "rawjson", "-f", `${lockfile}.offline`, "-t", reference, context);
    expect(ran(installed.stderr)).toContain(
      "RUN --mount=type=cache,target=/root/.npm npm ci --offline --no-audit --no-fund",
    );
  });
});
