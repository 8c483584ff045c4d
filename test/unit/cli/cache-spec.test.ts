// What --cache-from and --cache-to take (reference G01–G09): every option, its default, and what is said of wrong ones.
import { expect, test } from "vitest";
import { parseCacheFrom, parseCacheTo } from "../../../src/cli/cache-spec.ts";

const AWS = {
  AWS_ACCESS_KEY_ID: "id",
  AWS_SECRET_ACCESS_KEY: "key",
  AWS_SESSION_TOKEN: "token",
  AWS_REGION: "eu",
  AWS_BUCKET: "b",
};
const JOB = { ACTIONS_RESULTS_URL: "https://results/", ACTIONS_RUNTIME_TOKEN: "t" };
const world = { cwd: "/work", environment: { ...AWS, ...JOB } };

test("G08: references alone, several in one", () => {
  expect(parseCacheFrom("user/app:cache,other", world)).toEqual([
    { location: { kind: "registry", ref: "user/app:cache", isInsecure: false } },
    { location: { kind: "registry", ref: "other", isInsecure: false } },
  ]);
});

test("G01, G03: a registry with its defaults, and with everything", () => {
  expect(parseCacheTo("type=registry,ref=r/c", world)).toEqual([
    {
      location: { kind: "registry", ref: "r/c", isInsecure: false },
      mode: "min",
      isErrorIgnored: true,
      compression: "gzip",
      forceCompression: false,
      imageManifest: true,
      ociMediaTypes: true,
      skipsCheap: true,
      mounts: false,
      reset: false,
    },
  ]);
  const all =
    "type=registry,ref=r/c,registry.insecure=true,mode=max,ignore-error=false,compression=zstd,compression-level=9,force-compression=true,image-manifest=false,keep=3,max-size=1g,skip-cheap=false,mounts=true";
  expect(parseCacheTo(all, world)[0]).toMatchObject({
    location: { isInsecure: true },
    mode: "max",
    isErrorIgnored: false,
    compression: "zstd",
    compressionLevel: 9,
    forceCompression: true,
    imageManifest: false,
    keep: 3,
    maxSize: 1024 ** 3,
    skipsCheap: false,
    mounts: true,
  });
});

test("G04: a directory, relative to where the command runs", () => {
  expect(parseCacheTo("type=local,dest=out,tag=t,reset=true", world)[0]).toMatchObject({
    location: { kind: "local", path: "/work/out", tag: "t" },
    reset: true,
  });
  const digest = `sha256:${"0".repeat(64)}`;
  expect(parseCacheFrom(`type=local,src=/in,digest=${digest}`, world)[0]).toMatchObject({
    location: { path: "/in", tag: "latest", digest },
  });
});

test("G05, G06: from the environment, unless it is given", () => {
  expect(parseCacheTo("type=gha", world)[0]).toMatchObject({
    location: { scope: "buildkit", url: "https://results/", token: "t", timeoutMs: 600_000 },
  });
  expect(parseCacheTo("type=s3,name=a;b,touch_refresh=1h30m,upload_parallelism=2", world)[0]).toMatchObject({
    location: {
      bucket: "b",
      region: "eu",
      names: ["a", "b"],
      sessionToken: "token",
      touchRefreshMs: 5_400_000,
      uploadParallelism: 2,
    },
  });
  const own = parseCacheFrom("type=s3,access_key_id=x,secret_access_key=y,region=us", world)[0]!.location;
  expect(own).toMatchObject({ accessKeyId: "x", region: "us", names: ["buildkit"] });
  expect(own).not.toHaveProperty("sessionToken");
});

test("G02: inline has no mode but min, and is read through its image", () => {
  expect(parseCacheTo("type=inline", world)).toEqual(["inline"]);
  expect(() => parseCacheTo("type=inline,mode=max", world)).toThrow('knows no mode "max"');
  expect(() => parseCacheFrom("type=inline", world)).toThrow("names no image");
});

test.each([
  ["type=registry", "missing ref"],
  ["type=local", "missing dest"],
  ["ref=r/c", "type is required"],
  ["type=regsitry,ref=r/c", 'unknown cache type "regsitry"'],
  ["type=azblob,account_url=https://a", "type=azblob is not built"],
  ["type=registry,ref=r/c,mod=max", 'has no option "mod"'],
  ["type=registry,ref=r/c,mode=most", 'invalid mode "most"'],
  ["type=registry,ref=r/c,keep=0", 'invalid value "0" for keep'],
  ["type=registry,ref=r/c,oci-mediatypes=false", "OCI mediatypes are required for image-manifest cache format"],
  ["type=registry,ref=r/c,compression=estargz", "compression=estargz is built for outputs"],
  ["type=registry,ref=r/c,dest=x", 'has no option "dest"'],
  ["type=s3,retry_mode=never", 'invalid retry_mode "never"'],
  ["type=s3,touch_refresh=soon", 'invalid duration "soon"'],
  ["type=gha,version=1", "only version 2 of the cache service is built"],
])("--cache-to %s refuses", (text, said) => {
  expect(() => parseCacheTo(text, world)).toThrow(said);
});

test("G06: what is missing is named with its variable", () => {
  expect(() => parseCacheTo("type=s3", { cwd: "/", environment: {} })).toThrow("type=s3: missing bucket");
});
