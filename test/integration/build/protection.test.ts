// A build takes its lease late (T50, pain 13): what it has found by then may have been removed by another process, and then it must notice and start again.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LayersGone, Session } from "../../../src/engine/session.ts";
import { digestOf } from "../../../src/oci/digest.ts";
import { openStore } from "../../../src/store/store.ts";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

test("T50: a layer that went between finding and pinning is noticed, whatever of it went", async () => {
  const root = mkdtempSync(join(tmpdir(), "tsbuild-protection-"));
  try {
    for (const loss of ["row", "directory", "nothing"] as const) {
      using store = openStore(root, { onNotice: () => {} });
      const { id } = store.layers.create({ createdBy: "RUN x", treeDigest: digestOf("x") });
      await store.layers.adoptDirectory(id, mkdtempSync(join(root, "tmp", "d-")));
      await using session = new Session({
        engine: { root, cwd: root, environment: {}, isRootless: false, version: "0", onEvent: () => {} },
        store,
        client: () => Promise.reject(new Error("no registry")),
        isRootless: false,
        pull: "missing",
        kind: "build",
        signal: new AbortController().signal,
      });
      expect(session.faces.fromStore(id)?.isDurable()).toBe(true);
      expect(readdirSync(join(root, "leases")), "no lease yet").toEqual([]);
      using other = openStore(root, { onNotice: () => {} });
      if (loss !== "nothing")
        rmSync((loss === "row" ? other.layers.detach(id) : other.layers.detachDirectory(id))!, { recursive: true });
      if (loss === "nothing") await session.protect();
      else await expect(session.protect()).rejects.toThrow(LayersGone);
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

test("builds beside a process that prunes everything all the time succeed and are right", async () => {
  const context = rig.context({
    Dockerfile: "FROM busybox\nRUN echo one > /one\nCOPY changing /changing\nRUN cat /one /changing > /both\n",
    changing: "0",
  });
  const done = new AbortController();
  const pruning = (async () => {
    while (!done.signal.aborted) await rig.must(["prune", "--all"]);
  })();
  try {
    for (let i = 0; i < 6; i++) {
      writeFileSync(join(context, "changing"), `${i}`);
      await rig.must(["-t", "racing", context]);
      await rig.must(["-t", "racing", context]);
      const { stdout } = await rig.must(["run", "racing", "cat", "/both"]);
      expect(stdout).toBe(`one\n${i}`);
    }
  } finally {
    done.abort();
    await pruning;
  }
});
