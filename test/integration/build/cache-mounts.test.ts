// Cache mounts between builds: who waits for whom, and package managers that fail on each other's lock files (pain 30).
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

/** What apt does: takes a lock file or fails, and works for a while. The wait is for the other build, not for time. */
function aptLike(name: string, options: { readonly mount: string; readonly isFirst: boolean }): string {
  const wait = options.isFirst ? "until [ -e /sync/second ]; do usleep 20000; done" : "true";
  return rig.context({
    Dockerfile: `FROM busybox\nRUN --mount=type=cache,target=/sync,id=sync-${name.slice(0, -1)} --mount=${options.mount} set -e; mkdir /var/cache/apt/lock || exit 100; sh -c "echo lo''cked"; touch /sync/${name}; ${wait}; echo ${name}; rmdir /var/cache/apt/lock\n`,
  });
}

test("pain 30, T47: two processes that lock as apt does both pass with the default sharing; who waits says for whom", async () => {
  const mount = "type=cache,target=/var/cache/apt";
  const [one, two] = [aptLike("a1", { mount, isFirst: true }), aptLike("a2", { mount, isFirst: false })];
  // The first step ends once the second is known to wait.
  const { promise: isWaiting, resolve: tellWaiting } = Promise.withResolvers<void>();
  const { promise: isRunning, resolve: tellRunning } = Promise.withResolvers<void>();
  const sync = rig.context({
    Dockerfile: `FROM busybox\nRUN --mount=type=cache,target=/sync,id=sync-a touch /sync/second\n`,
  });
  const first = rig.tsbuild(["--progress", "plain", one], {
    onStderr: (text) => {
      if (/\d locked/.test(text)) tellRunning();
    },
  });
  await isRunning;
  const second = rig.tsbuild(["--progress", "plain", two], {
    onStderr: (text) => {
      if (text.includes("waiting for cache mount")) tellWaiting();
    },
  });
  await isWaiting;
  await rig.must([sync]);
  const results = await Promise.all([first, second]);
  expect(
    results.map(({ code }) => code),
    results.map(({ stderr }) => stderr).join("\n"),
  ).toEqual([0, 0]);
  expect(results[1].stderr).toMatch(
    /waiting for cache mount \/var\/cache\/apt held by \[stage-0 2\/2\] RUN .*… of the build of .*Dockerfile \(pid \d+\)/,
  );
});

test("pain 30: sharing that was written is what happens, and the default leaves keys as they are", async () => {
  const context = (mount: string) =>
    rig.context(
      { Dockerfile: `FROM busybox\nRUN --mount=type=cache,target=/var/lib/apt/lists${mount} echo kept\n` },
      `k${mount}`,
    );
  const written = await rig.must(["--progress", "plain", context(",sharing=shared")]);
  expect(written.stderr).not.toContain("one step at a time");
  const byDefault = await rig.must(["--progress", "rawjson", context("")]);
  expect([...rig.outcomes(byDefault.stderr)].filter(([name]) => name.includes("RUN"))).toEqual([
    [expect.stringContaining("RUN"), "cached"],
  ]);
});

test("pain 30: one cache at two places of a step is one directory, and two steps that lock two caches in either order both end", async () => {
  const [apt, lib] = ["--mount=type=cache,target=/var/cache/apt", "--mount=type=cache,target=/var/lib/apt"];
  const twice = "--mount=type=cache,id=x,target=/var/cache/apt --mount=type=cache,id=x,target=/var/lib/apt";
  await rig.must([
    rig.context({ Dockerfile: `FROM busybox\nRUN ${twice} touch /var/cache/apt/f; ls /var/lib/apt/f\n` }),
  ]);
  const crossed = rig.context({
    Dockerfile: `FROM busybox AS a\nRUN ${apt} ${lib} usleep 50000; touch /a\nFROM busybox AS b\nRUN ${lib} ${apt} usleep 50000; touch /b\nFROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /\n`,
  });
  await rig.must(["--jobs", "2", crossed]);
  expect(readdirSync(join(rig.store, "mounts")).length).toBeGreaterThan(0);
});

test("M20, M23, M25: what a step leaves in a cache is there for other builds under its id, read-only where asked, and in no layer", async () => {
  const out = join(rig.root, "of-cache");
  const build = (mount: string, run: string): Promise<unknown> =>
    rig.must(["-q", "-o", out, rig.context({ Dockerfile: `FROM busybox\nRUN --mount=type=cache,${mount} ${run}\n` })]);
  await build("target=/first,id=kept", "echo one > /first/f");
  await build("target=/other,id=kept,ro", "cat /other/f > /seen; touch /other/x 2> /dev/null || echo ro >> /seen");
  expect(readFileSync(join(out, "seen"), "utf8")).toBe("one\nro\n");
  await build("target=/first", "ls -A /first > /seen");
  expect(readFileSync(join(out, "seen"), "utf8")).toBe("");
  expect(readdirSync(out).filter((name) => name === "first" || name === "other")).toEqual([]);
});

test("M10, M12: a mount of the context has what .dockerignore leaves; what is written to it is thrown away, and the user's files are as they were", async () => {
  const out = join(rig.root, "of-context");
  const context = rig.context({
    Dockerfile: `FROM busybox AS a
RUN echo stage > /a
FROM busybox
RUN --mount=target=/c --mount=from=a,source=/a,target=/a --mount=from=busybox,source=/etc/passwd,target=/i { ls -A /c; cat /a; head -n 1 /i; } > /seen
RUN --mount=target=/c,rw echo changed > /c/other && rm /c/kept.log && cat /c/other >> /seen
RUN --mount=target=/c cat /c/other >> /seen; ls /c/kept.log >> /seen
`,
    ".dockerignore": "*.log\n!kept.log\n.dockerignore\n",
    "a.log": "",
    "kept.log": "",
    other: "own\n",
  });
  await rig.must(["-q", "-o", out, context]);
  const listed = ["Dockerfile", "kept.log", "other", "stage", "root:x:0:0:root:/root:/bin/sh"];
  expect(readFileSync(join(out, "seen"), "utf8").trimEnd().split("\n")).toEqual([
    ...listed,
    "changed",
    "own",
    "/c/kept.log",
  ]);
  expect(readFileSync(join(context, "other"), "utf8")).toBe("own\n");
  expect(readdirSync(context).sort()).toEqual([".dockerignore", "Dockerfile", "a.log", "kept.log", "other"]);
});

test("M11: what a link of the context names is mounted, and its content counts, wherever the link claims to lead", async () => {
  const out = join(rig.root, "through-links");
  const sources = ["near", "up", "absolute", "folder/in", "behind/in"];
  const run = sources.map((source, at) => `--mount=source=${source},target=/m${at}`).join(" ");
  const context = rig.context({
    Dockerfile: `FROM busybox\nRUN --mount=source=behind,target=/d --mount=from=other,source=near,target=/o ${run} cat /o /m* > /seen; ls /d >> /seen\n`,
    file: "one\n",
    near: { link: "file" },
    up: { link: "../../file" },
    absolute: { link: "/file" },
    "folder/in": { link: "../file" },
    behind: { link: "folder" },
  });
  const build = async (): Promise<string> => {
    await rig.must(["-q", "--build-context", `other=${context}`, "-o", out, context]);
    return readFileSync(join(out, "seen"), "utf8");
  };
  expect(await build()).toBe(`${"one\n".repeat(6)}in\n`);
  writeFileSync(join(context, "file"), "two\n");
  expect(await build()).toBe(`${"two\n".repeat(6)}in\n`);
});

test("M22, Q34: with other files to start with a cache is another one, and with the same again the one that there was", async () => {
  const dest = join(rig.root, "q34");
  const said = async (text: string): Promise<string> => {
    const files = `FROM busybox AS files\nRUN mkdir /d && echo ${text} > /d/f\n`;
    const own = "FROM busybox\nRUN --mount=type=cache,target=/c,id=q34,from=files,source=/d";
    const context = rig.context({ Dockerfile: `${files}${own} echo + >> /c/f && tr -d '\\n' < /c/f > /said\n` });
    await rig.must(["-q", "--no-cache", "-o", dest, context]);
    return readFileSync(join(dest, "said"), "utf8");
  };
  expect([await said("one"), await said("two"), await said("one")]).toEqual(["one+", "two+", "one++"]);
});

test("M22, M24: a cache starts as what source names, with its mode and owner, be it one file; without from there is nothing to name", async () => {
  const files = "FROM busybox AS files\nRUN mkdir -p /a/b && echo f > /a/b/f && chown 7:8 /a/b && chmod 0710 /a/b\n";
  const look = (mount: string): string =>
    rig.context({
      Dockerfile: `${files}FROM busybox\nRUN --mount=type=cache,target=/m,${mount} stat -c '%F %a %u:%g' /m; cat /m/f /m 2>/dev/null; echo more >> /m/f || echo more >> /m\n`,
    });
  const lines = async (mount: string): Promise<string[]> => {
    const { stderr } = await rig.must(["--progress", "plain", "--no-cache", look(mount)]);
    return [...stderr.matchAll(/^#\d+ [\d.]+ (.*)$/gm)].map(([, line]) => line!);
  };
  expect(await lines("from=files,source=/a/b,mode=0777,uid=5")).toEqual(["directory 710 7:8", "f"]);
  expect(await lines("from=files,mode=0711,uid=5")).toEqual(["directory 711 5:0"]);
  expect((await lines("from=files,source=/a/b/f"))[0]).toBe("regular file 644 0:0");
  expect(await lines("from=files,source=/a/b/f")).toContain("more");
  const failed = await rig.tsbuild([look("source=/a")]);
  expect(failed.stderr).toMatch(/error: open \/a: no such file or directory\n/);
  // BuildKit's sentence, for scripts that look for it.
  expect(failed.stderr).toMatch(/buildkit: process "\/bin\/sh -c .*" did not complete successfully: open \/a: no such/);
  expect(failed.code).toBe(1);
});

test("Q30, Q34, T47: --no-cache empties a cache that has an owner or mode of its own, and no other; owners and modes are other caches; nothing of one is in the image", async () => {
  const context = rig.context({ Dockerfile: "" });
  const dest = join(rig.root, "q30");
  /** What the directory was and holds after the step has added `word`. */
  const add = async (word: string, options: string, ...args: string[]): Promise<string> => {
    const command = `stat -c '%a %u:%g' /c; echo ${word} >> /c/log; cat /c/log`;
    const text = `FROM busybox AS own\nRUN --mount=type=cache,target=/c,id=q30${options} (${command}) > /said\n`;
    writeFileSync(join(context, "Dockerfile"), text);
    rmSync(dest, { recursive: true, force: true });
    await rig.must(["-q", "-o", dest, ...args, context]);
    expect(existsSync(join(dest, "c"))).toBe(false);
    return readFileSync(join(dest, "said"), "utf8").trim().replaceAll("\n", " ");
  };
  expect(await add("a", "")).toBe("755 0:0 a");
  expect(await add("b", "", "--no-cache")).toBe("755 0:0 a b");
  expect(await add("c", ",uid=5")).toBe("755 5:0 c");
  expect(await add("d", ",uid=5")).toBe("755 5:0 c d");
  expect(await add("e", ",uid=5", "--no-cache-filter", "Own")).toBe("755 5:0 e");
  expect(await add("f", ",uid=5")).toBe("755 5:0 e f");
  expect(await add("g", ",gid=6")).toBe("755 0:6 g");
  expect(await add("h", ",mode=0700")).toBe("700 0:0 h");
  expect(await add("i", ",mode=0700", "--no-cache")).toBe("700 0:0 i");
  expect(await add("j", "")).toBe("755 0:0 a b j");
});
