// Pain 1: for each kind of change, what `tsbuild why` says of it: a golden file below fixtures/why. Update with `vitest -u`, and read the diff.
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseBuildArguments } from "../../../src/cli/build-args.ts";
import { stepsText } from "../../../src/cli/why-text.ts";
import { Engine, type BuildOptions, type EngineOptions } from "../../../src/index.ts";

const GOLDEN = resolve(import.meta.dirname, "../../../fixtures/why");

type Build = Partial<BuildOptions>;
interface Kind {
  readonly files: Readonly<Record<string, string>>;
  /** Path → target. */
  readonly links?: Readonly<Record<string, string>>;
  /** Of the first build. */
  readonly options?: Build;
  /** Between the builds; what it returns are the options of the second one. */
  readonly change: (lab: Lab) => Build | undefined | Promise<Build | undefined>;
  /** The first build fails. */
  readonly fails?: true;
}

interface Lab {
  readonly context: string;
  readonly store: string;
  readonly write: (path: string, text: string) => undefined;
  readonly engine: typeof withEngine;
}

const STAGES =
  "FROM busybox AS build\nWORKDIR /w\nCOPY in .\nRUN cat in > out && chmod 600 in\nFROM busybox\nCOPY --from=build /w/out /out\nRUN cat /out\n";
const file = (text: string): Kind["files"] => ({ Dockerfile: text });
/** Two Dockerfiles. */
const edit = (before: string, after: string, more: Kind["files"] = {}): Kind => ({
  files: { Dockerfile: before, ...more },
  change: ({ write }) => write("Dockerfile", after),
});

const KINDS: Readonly<Record<string, Kind>> = {
  nothing: { files: file("FROM busybox\nRUN echo nothing\n"), change: () => undefined },
  "file-content": {
    files: { Dockerfile: "FROM busybox\nCOPY . /app/\nRUN ls /app\n", "src/a.ts": "a", "src/b.ts": "b" },
    change: ({ write }) => write("src/a.ts", "A"),
  },
  "file-mode": {
    files: { Dockerfile: "FROM busybox\nCOPY src /app\n", "src/a.ts": "mode" },
    change: ({ context }) => {
      chmodSync(join(context, "src/a.ts"), 0o755);
      return undefined;
    },
  },
  "directory-mode": {
    files: { Dockerfile: "FROM busybox\nCOPY . /app\n", "src/a.ts": "dir mode" },
    change: ({ context }) => {
      chmodSync(join(context, "src"), 0o700);
      return undefined;
    },
  },
  "file-added": {
    files: { Dockerfile: "FROM busybox\nCOPY *.ts /app/\n", "a.ts": "added" },
    change: ({ write }) => write("b.ts", "b"),
  },
  "file-removed": {
    files: { Dockerfile: "FROM busybox\nCOPY *.ts /app/\n", "a.ts": "removed", "b.ts": "" },
    change: ({ context }) => {
      rmSync(join(context, "b.ts"));
      return undefined;
    },
  },
  "link-target": {
    files: { Dockerfile: "FROM busybox\nCOPY d /d\n", "d/one": "link", "d/two": "" },
    links: { "d/link": "one" },
    change: ({ context }) => {
      rmSync(join(context, "d/link"));
      symlinkSync("two", join(context, "d/link"));
      return undefined;
    },
  },
  "file-becomes-link": {
    files: { Dockerfile: "FROM busybox\nCOPY d /d\n", "d/one": "becomes", "d/two": "" },
    change: ({ context }) => {
      rmSync(join(context, "d/two"));
      symlinkSync("one", join(context, "d/two"));
      return undefined;
    },
  },
  "many-files": {
    files: { Dockerfile: "FROM busybox\nCOPY d /d\n", "d/0": "many" },
    change: ({ write }) => {
      for (let i = 1; i < 30; i++) write(`d/${i}`, "");
      return undefined;
    },
  },
  "excluded-file-beside": {
    files: { Dockerfile: "FROM busybox\nCOPY --exclude=*.md d /d\n", "d/a": "ex", "d/b.md": "" },
    change: ({ write }) => {
      write("d/a", "EX");
      return write("d/b.md", "changed too");
    },
  },
  "build-arg": {
    files: file("FROM busybox\nARG V\nRUN echo build-arg $V\n"),
    options: { buildArgs: new Map([["V", "1"]]) },
    change: () => ({ buildArgs: new Map([["V", "2"]]) }),
  },
  "secret-named-arg": {
    files: file("FROM busybox\nARG API_TOKEN\nRUN echo tokens\n"),
    options: { buildArgs: new Map([["API_TOKEN", "hunter2"]]) },
    change: () => ({ buildArgs: new Map([["API_TOKEN", "hunter3"]]) }),
  },
  env: edit("FROM busybox\nENV A=1\nRUN echo env\n", "FROM busybox\nENV A=2\nRUN echo env\n"),
  "env-new": edit("FROM busybox\nRUN echo env-new\n", "FROM busybox\nENV B=1\nRUN echo env-new\n"),
  "env-gone": edit("FROM busybox\nENV B=1\nRUN echo env-gone\n", "FROM busybox\nRUN echo env-gone\n"),
  command: edit("FROM busybox\nRUN echo one\n", "FROM busybox\nRUN echo one two\n"),
  script: edit(
    "FROM busybox\nRUN <<E\nset -e\necho script\necho b\nE\n",
    "FROM busybox\nRUN <<E\nset -e\necho script\necho c\necho d\nE\n",
  ),
  shell: edit("FROM busybox\nRUN echo shell\n", 'FROM busybox\nSHELL ["/bin/sh", "-ec"]\nRUN echo shell\n'),
  workdir: edit("FROM busybox\nWORKDIR /a\nRUN pwd\n", "FROM busybox\nWORKDIR /b\nRUN pwd\n"),
  user: edit("FROM busybox\nRUN id\n", "FROM busybox\nUSER nobody\nRUN id\n"),
  network: edit("FROM busybox\nRUN echo net\n", "FROM busybox\nRUN --network=none echo net\n"),
  "cache-mount-id": edit(
    "FROM busybox\nRUN --mount=type=cache,target=/c echo mount\n",
    "FROM busybox\nRUN --mount=type=cache,target=/c,id=why echo mount\n",
  ),
  "added-mount": edit("FROM busybox\nRUN echo tmp\n", "FROM busybox\nRUN --mount=type=tmpfs,target=/t echo tmp\n"),
  "base-image": {
    files: { Dockerfile: "FROM why-base\nRUN echo base\n", other: "" },
    change: async ({ engine, context }) => {
      writeFileSync(join(context, "base.Dockerfile"), "FROM busybox\nRUN echo 2 > /base\n");
      await engine(async (open) =>
        open.build(await options(context, { dockerfile: join(context, "base.Dockerfile"), tags: ["why-base"] })),
      );
      return undefined;
    },
  },
  "base-reference": edit("FROM busybox\nRUN echo reference\n", "FROM why-other\nRUN echo reference\n"),
  "instruction-inserted": edit(
    "FROM busybox\nRUN echo first > /i1\nRUN cat /i1 > /i2\n",
    "FROM busybox\nRUN echo first > /i1\nRUN echo between > /i1\nRUN cat /i1 > /i2\n",
  ),
  "instruction-removed": edit(
    "FROM busybox\nRUN echo 1 > /r1\nRUN echo 2 > /r2\nRUN ls /\n",
    "FROM busybox\nRUN echo 1 > /r1\nRUN ls /\n",
  ),
  "copy-destination": edit("FROM busybox\nCOPY f /a\n", "FROM busybox\nCOPY f /b\n", { f: "dest" }),
  "copy-chmod": edit("FROM busybox\nCOPY f /a\n", "FROM busybox\nCOPY --chmod=700 f /a\n", { f: "flag" }),
  "copy-source": edit("FROM busybox\nCOPY f /a\n", "FROM busybox\nCOPY g /a\n", { f: "source", g: "other" }),
  "heredoc-file": edit("FROM busybox\nCOPY <<E /h\na\nE\n", "FROM busybox\nCOPY <<E /h\nb\nE\n"),
  "stage-result": {
    files: { Dockerfile: STAGES, in: "result" },
    change: ({ write }) => write("in", "RESULT"),
  },
  "stage-file-mode": edit(
    "FROM busybox AS b\nRUN echo m > /m\nFROM busybox\nCOPY --from=b /m /m\n",
    "FROM busybox AS b\nRUN echo m > /m && chmod 755 /m && chown 1:2 /m\nFROM busybox\nCOPY --from=b /m /m\n",
  ),
  "bind-mount": {
    files: { Dockerfile: "FROM busybox\nRUN --mount=type=bind,source=d,target=/m ls /m\n", "d/f": "bind" },
    change: ({ write }) => write("d/f", "BIND"),
  },
  "bind-mount-of-stage": edit(
    "FROM busybox AS b\nRUN echo 1 > /f\nFROM busybox\nRUN --mount=type=bind,from=b,source=/f,target=/f cat /f\n",
    "FROM busybox AS b\nRUN echo 2 > /f\nFROM busybox\nRUN --mount=type=bind,from=b,source=/f,target=/f cat /f\n",
  ),
  "early-cut-off": edit(
    "FROM busybox\nRUN echo cut > /cut # one\nRUN cat /cut\nCOPY f /f\n",
    "FROM busybox\nRUN echo cut > /cut # two\nRUN cat /cut\nCOPY f /f\n",
    { f: "" },
  ),
  "no-cache": { files: file("FROM busybox\nRUN echo no-cache\n"), change: () => ({ cache: "ignore" }) },
  "no-cache-filter": {
    files: file(
      "FROM busybox AS one\nRUN head -c 8 /dev/urandom > /f\nFROM busybox AS two\nRUN echo filter\nCOPY --from=one /f /f\n",
    ),
    change: () => ({ noCacheFilter: ["ONE"] }),
  },
  "no-cache-comment": edit("FROM busybox\nRUN echo comment\n", "FROM busybox\n# tsbuild: no-cache\nRUN echo comment\n"),
  expired: edit("FROM busybox\nRUN echo expired\n", "FROM busybox\n# tsbuild: ttl=0\nRUN echo expired\n"),
  "expired-for-all": {
    files: file("FROM busybox\nRUN echo expired all\n"),
    change: () => ({ cacheTtlMs: 0 }),
  },
  "failed-before": {
    files: file("FROM busybox\nRUN --mount=type=secret,id=why test -e /run/secrets/why\n"),
    fails: true,
    change: ({ context }) => ({ secrets: [{ id: "why", file: join(context, "Dockerfile") }] }),
  },
  lost: {
    files: file("FROM busybox\nRUN echo lost > /lost\nRUN cat /lost > /lost2\n"),
    options: { outputs: [{ kind: "cacheonly" }] },
    change: async ({ engine, store }) => {
      const { steps } = await engine((open) => open.why({ step: "cat /lost" }));
      for (const { layer } of steps) rmSync(join(store, "layers", layer!), { recursive: true });
      return { outputs: [{ kind: "cacheonly" }] };
    },
  },
  // Never pulled, the base is the same; its programs are this machine's, whatever they are said to be for.
  platform: {
    files: file("FROM busybox\nRUN echo platform\n"),
    options: { platforms: ["linux/s390x"], pull: "never" },
    change: () => ({ platforms: ["linux/riscv64"] }),
  },
  pruned: {
    files: file("FROM busybox\nRUN echo pruned\n"),
    options: { outputs: [{ kind: "cacheonly" }] },
    change: async ({ engine }) => {
      await engine((open) => open.prune({ all: true }));
      return { outputs: [{ kind: "cacheonly" }] };
    },
  },
  "evicted-age": {
    files: file("FROM busybox\nRUN echo evicted for its age\n"),
    options: { outputs: [{ kind: "cacheonly" }] },
    change: async ({ engine }) => {
      await engine((open) => open.prune({ olderThanMs: 0 }));
      return { outputs: [{ kind: "cacheonly" }] };
    },
  },
  "evicted-ceiling": {
    files: { Dockerfile: "FROM busybox\nRUN echo evicted by a ceiling\n", other: "FROM busybox\nRUN echo too much\n" },
    options: { outputs: [{ kind: "cacheonly" }] },
    change: async ({ engine, context }) => {
      const other: Build = { dockerfile: join(context, "other"), outputs: [{ kind: "cacheonly" }] };
      // A ceiling below what has to stay: everything else goes before the build fails.
      const failed = engine(async (open) => open.build(await options(context, other)), { cacheMaxSize: 100_000 });
      await expect(failed).rejects.toThrow("--cache-max-size");
      return { outputs: [{ kind: "cacheonly" }] };
    },
  },
};

let root: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "tsbuild-why-"));
  const base = join(root, "busybox");
  mkdirSync(join(base, "etc"), { recursive: true });
  copyFileSync("/bin/busybox", join(base, "busybox"));
  writeFileSync(join(base, "etc/passwd"), "root:x:0:0::/:\nnobody:x:65534:65534::/:\n");
  writeFileSync(
    join(base, "Dockerfile"),
    'FROM scratch\nCOPY busybox /bin/busybox\nCOPY etc /etc\nRUN ["/bin/busybox", "--install", "-s", "/bin"]\nENV PATH=/bin\n',
  );
  await withEngine(async (engine) => {
    await engine.build(await options(base, { tags: ["busybox"] }));
    writeFileSync(join(base, "Dockerfile"), "FROM busybox\nRUN echo 1 > /base\n");
    await engine.build(await options(base, { tags: ["why-base", "why-other"] }));
  });
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

test.each(Object.keys(KINDS))("pain 1: why of %s", async (name) => {
  const kind = KINDS[name]!;
  const lab = openLab(name);
  for (const [path, text] of Object.entries(kind.files)) lab.write(path, text);
  for (const [path, target] of Object.entries(kind.links ?? {})) symlinkSync(target, join(lab.context, path));
  const first = withEngine(async (engine) => engine.build(await options(lab.context, kind.options)));
  await (kind.fails ? expect(first).rejects.toThrow() : first);
  const changed = await kind.change(lab);
  const text = await withEngine(async (engine) => {
    await engine.build(await options(lab.context, { ...kind.options, ...changed }));
    return stepsText((await engine.why({})).steps, false);
  });
  await expect(neutral(text)).toMatchFileSnapshot(join(GOLDEN, `${name}.txt`));
});

function openLab(name: string): Lab {
  const context = join(root, name);
  return {
    context,
    store: join(root, "store"),
    write: (path, text) => {
      mkdirSync(dirname(join(context, path)), { recursive: true });
      writeFileSync(join(context, path), text);
    },
    engine: withEngine,
  };
}

async function withEngine<T>(use: (engine: Engine) => Promise<T>, own: Partial<EngineOptions> = {}): Promise<T> {
  await using engine = await Engine.open({
    root: join(root, "store"),
    cwd: root,
    environment: { PATH: process.env["PATH"] },
    isRootless: false,
    version: "0",
    onEvent: () => {},
    ...own,
  });
  return await use(engine);
}

/** Without digests, times and ages. */
function neutral(text: string): string {
  return text
    .replaceAll(/sha256:[0-9a-f]{64}/g, "sha256:…")
    .replaceAll(/\(\d{4}-[^)]*Z\)/g, "(time)")
    .replaceAll(/expired: \w+ old/g, "expired: … old");
}

/** As the command line gives them. */
async function options(context: string, own: Build = {}): Promise<BuildOptions> {
  const given = await parseBuildArguments([context], root, {});
  if (typeof given === "string") throw new Error(given);
  return { ...given.build, ...own };
}
