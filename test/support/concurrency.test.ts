import { expect, test } from "vitest";

import { mapBounded } from "./concurrency.ts";

test("results stand in the order of the items, and no more tasks run at a time than allowed", async () => {
  let running = 0;
  let most = 0;
  const results = await mapBounded([5, 1, 4, 2, 3], 2, async (item, index) => {
    most = Math.max(most, ++running);
    for (let i = 0; i < item; i++) await Promise.resolve();
    running--;
    return `${index}:${item}`;
  });
  expect(results).toEqual(["0:5", "1:1", "2:4", "3:2", "4:3"]);
  expect(most).toBe(2);
});

test("after an error no further task starts, and those under way are waited for", async () => {
  const started: number[] = [];
  const ended: number[] = [];
  const run = mapBounded([1, 2, 3, 4], 2, async (item) => {
    started.push(item);
    for (let i = 0; i < item * 3; i++) await Promise.resolve();
    if (item === 1) throw new Error("the first fails");
    ended.push(item);
  });
  await expect(run).rejects.toThrow("the first fails");
  expect(started).toEqual([1, 2]);
  expect(ended).toEqual([2]);
});

test("nothing to do is done at once", async () => {
  await expect(mapBounded([], 4, () => Promise.reject(new Error("never called")))).resolves.toEqual([]);
});
