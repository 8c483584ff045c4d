import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { tempStore } from "../../support/store/temp-store.ts";

test("Q32: exclusive holders of one process follow one another in order, and are told who they wait for", async () => {
  using temp = tempStore();
  const { store } = temp;
  const order: string[] = [];
  const waits: string[] = [];
  const first = await store.lock("step", { mode: "exclusive", holder: "building A" });
  const take = async (name: string): Promise<void> => {
    const onWait = (holder: string): number => waits.push(`${name} waits for ${holder}`);
    await using _ = await store.lock("step", { mode: "exclusive", holder: name, onWait });
    order.push(name);
  };
  const all = [take("B"), take("C")];
  await (await store.lock("other step", { mode: "exclusive" }))[Symbol.asyncDispose]();
  expect(order).toEqual([]);
  await first[Symbol.asyncDispose]();
  await Promise.all(all);
  expect(order).toEqual(["B", "C"]);
  expect(waits).toEqual(["B waits for building A", "C waits for building A"]);
});

test("shared holders are together; an exclusive one is alone", async () => {
  using temp = tempStore();
  const { store } = temp;
  const one = await store.lock("n", { mode: "shared" });
  const two = await store.lock("n", { mode: "shared" });
  let isAlone = false;
  const alone = store.lock("n", { mode: "exclusive" }).then((lock) => {
    isAlone = true;
    return lock;
  });
  await one[Symbol.asyncDispose]();
  expect(isAlone).toBe(false);
  await two[Symbol.asyncDispose]();
  await (await alone)[Symbol.asyncDispose]();
  expect(isAlone).toBe(true);
  expect(readdirSync(store.paths.locks)).toEqual([]);
});

test("T49: one waiter's abort, with its own reason, leaves the others in the queue", async () => {
  using temp = tempStore();
  const { store } = temp;
  const first = await store.lock("n", { mode: "exclusive" });
  const controller = new AbortController();
  const gone = store.lock("n", { mode: "exclusive", signal: controller.signal });
  const staying = store.lock("n", { mode: "exclusive" });
  const reason = new Error("the user pressed Ctrl-C");
  controller.abort(reason);
  await expect(gone).rejects.toBe(reason);
  await first[Symbol.asyncDispose]();
  await (await staying)[Symbol.asyncDispose]();
  await expect(store.lock("n", { mode: "exclusive", signal: controller.signal })).rejects.toBe(reason);
});
