// Places and their queue.
import { expect, test } from "vitest";
import { Slots } from "../../../src/registry/slots.ts";

test("RG12: in order of arrival, never more than there are places, and giving back twice gives back once", async () => {
  const slots = new Slots(1);
  const first = await slots.acquire();
  const order: number[] = [];
  const second = slots.acquire().then((release) => (order.push(2), release));
  const third = slots.acquire().then((release) => (order.push(3), release));
  first();
  first();
  const release = await second;
  expect(order).toEqual([2]);
  release();
  await third;
  expect(order).toEqual([2, 3]);
});

test("a waiter that is cancelled leaves at once, and its place in the queue is gone", async () => {
  const slots = new Slots(1);
  const release = await slots.acquire();
  const scope = new AbortController();
  const reason = new Error("stop");
  const cancelled = slots.acquire(scope.signal);
  const next = slots.acquire();
  scope.abort(reason);
  await expect(cancelled).rejects.toBe(reason);
  release();
  expect(await next).toBeTypeOf("function");
});
