// Where the mistakes of fixtures/mistakes are made: a store with busybox, a registry that refuses, a web site, a small disk. Addresses in fixtures are as long as real ones, so that
// carets stay where they are.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startRegistry } from "./registry/server.ts";
import { openRig, type CommandResult, type Rig } from "./rig.ts";
import { makeRepository, openSite } from "./site.ts";

const REGISTRY = "127.0.0.1:55555";
const SITE = "127.0.0.1:44444";
const OCI = "application/vnd.oci.image";

export interface MistakesWorld extends AsyncDisposable {
  readonly rig: Rig;
  run(name: string, words: readonly string[], cwd: string): Promise<CommandResult>;
  /** A fixture's text with the addresses of the servers that run. */
  toReal(text: string): string;
  /** What was printed, with the fixtures' addresses and without what differs from run to run. */
  toFixture(text: string, cwd: string): string;
}

export async function openMistakesWorld(): Promise<MistakesWorld> {
  await using opened = new AsyncDisposableStack();
  const rig = opened.use(await openRig());
  const registry = opened.use(await startRegistry());
  const manifestOf = (architecture: string): Buffer => {
    const config = Buffer.from(JSON.stringify({ os: "linux", architecture, rootfs: { type: "layers", diff_ids: [] } }));
    return Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: `${OCI}.manifest.v1+json`,
        config: { mediaType: `${OCI}.config.v1+json`, digest: sha256(config), size: config.length },
        layers: [],
      }),
    );
  };
  registry.addManifest("damaged/base", "1", manifestOf("amd64"), `${OCI}.manifest.v1+json`);
  const manifests = ["amd64", "arm64"].map((architecture) => {
    const bytes = manifestOf(architecture);
    const digest = registry.addManifest("team/multi", undefined, bytes, `${OCI}.manifest.v1+json`);
    const platform = { os: "linux", architecture };
    return { mediaType: `${OCI}.manifest.v1+json`, digest, size: bytes.length, platform };
  });
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: `${OCI}.index.v1+json`, manifests }));
  registry.addManifest("team/multi", "1", index, `${OCI}.index.v1+json`);
  registry.fault = (request) => {
    if (request.url.startsWith("/v2/private/")) return { kind: "answer", status: 401 };
    return request.url.startsWith("/v2/damaged/") ? { kind: "corrupt" } : undefined;
  };
  const repositories = join(rig.root, "repositories");
  mkdirSync(repositories);
  makeRepository(repositories, "lib").commit({ "lib.c": "int x;\n" });
  const site = opened.use(await openSite(repositories));
  site.pages.set("/tool.txt", { body: "tool 1.3\n" });
  const disk = join(rig.root, "disk");
  mkdirSync(disk);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=24m", "tmpfs", disk]);
  opened.defer(() => {
    execFileSync("umount", [disk]);
  });
  const cgroup = opened.use(smallCgroup());
  const base = join(rig.root, "base");
  await rig.must(["-o", `type=oci,tar=false,dest=${base}`, rig.context({ Dockerfile: "FROM busybox\n" })]);
  const held = opened.move();
  return {
    rig,
    run: (name, words, cwd) => {
      // Nothing here asks the internet: what is not on this machine cannot be reached.
      const env = {
        BUILDKIT_PROGRESS: "none",
        HTTPS_PROXY: "http://127.0.0.1:1",
        NO_PROXY: "127.0.0.1,.invalid",
        SOURCE_DATE_EPOCH: "0",
      };
      if (name === "run-oom") return rig.tsbuild(["--cgroup-parent", cgroup.name, ...words], { cwd, env });
      if (name !== "disk-full") return rig.tsbuild(words, { cwd, env });
      const more = ["--build-context", `busybox=oci-layout://${base}`];
      return rig.tsbuild([...more, ...words], { cwd, env: { ...env, TSBUILD_ROOT: join(disk, "s") } });
    },
    toReal: (text) => text.replaceAll(REGISTRY, registry.host).replaceAll(SITE, site.host),
    toFixture: (text, cwd) =>
      text
        .replaceAll(registry.host, REGISTRY)
        .replaceAll(site.host, SITE)
        .replaceAll(cwd, "CONTEXT")
        .replace(new RegExp(`${disk}/s|${rig.store}`, "g"), "STORE")
        .replace(/(?<=private\/app@sha256:)[0-9a-f]{64}/g, "DIGEST")
        .replace(/STORE\/logs\/\S+/g, "STORE/logs/BUILD/STEP"),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** A cgroup in which 32 MiB are all there is. */
function smallCgroup(): Disposable & { readonly name: string } {
  const name = `tsbuild-mistakes-${process.pid}`;
  const v1 = "/sys/fs/cgroup/memory";
  const isV1 = existsSync(v1);
  const path = join(isV1 ? v1 : "/sys/fs/cgroup", name);
  if (!isV1) writeFileSync("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
  mkdirSync(path);
  const limits = isV1 ? ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"] : ["memory.max", "memory.swap.max"];
  for (const [i, limit] of limits.entries()) {
    const file = join(path, limit);
    // Not every kernel counts swap.
    if (existsSync(file)) writeFileSync(file, String(isV1 || i === 0 ? 32 << 20 : 0));
  }
  return {
    name,
    [Symbol.dispose]: () => {
      rmdirSync(path);
      if (!isV1) return;
      // The runtime has made it in the other hierarchies.
      for (const hierarchy of readdirSync("/sys/fs/cgroup")) {
        const made = join("/sys/fs/cgroup", hierarchy, name);
        if (existsSync(made)) rmdirSync(made);
      }
    },
  };
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
