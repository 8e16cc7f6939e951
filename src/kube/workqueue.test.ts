import { describe, expect, test } from "vitest";

import { ManualClock } from "../../test/support/manual-clock.ts";
import { createMetrics } from "../telemetry/metrics.ts";
import { ExponentialBackoff } from "./rate-limiter.ts";
import { WorkQueue } from "./workqueue.ts";

function setup() {
  const clock = new ManualClock();
  const metrics = createMetrics({ version: "test" });
  const queue = new WorkQueue<string>({ name: "q", clock, rateLimiter: new ExponentialBackoff(), metrics });
  const figure = async (name: string): Promise<number> => {
    const line = (await metrics.render()).split("\n").find((found) => found.startsWith(`${name}{name="q"} `));
    return Number(line?.split(" ")[1]);
  };
  return { clock, queue, figure };
}

/** The key of the next item; fails when the queue has none ready. */
async function take(queue: WorkQueue<string>): Promise<string> {
  expect(queue.length).toBeGreaterThan(0);
  return (await queue.get())?.key ?? "(shut down)";
}

async function takeAll(queue: WorkQueue<string>): Promise<string[]> {
  const keys: string[] = [];
  while (queue.length > 0) keys.push(await take(queue));
  return keys;
}

describe("keys that wait", () => {
  test("come out in the order they went in, each once", async () => {
    const { queue } = setup();
    for (const key of ["a", "b", "a", "c", "b"]) queue.add(key);
    expect(await takeAll(queue)).toEqual(["a", "b", "c"]);
  });

  test("with high priority come before those with low, whenever they were added", async () => {
    const { queue } = setup();
    queue.add("sweep-1", "Low");
    queue.add("sweep-2", "Low");
    queue.add("event-1", "High");
    queue.add("event-2", "High");
    expect(await takeAll(queue)).toEqual(["event-1", "event-2", "sweep-1", "sweep-2"]);
  });

  test("move up when they are added again with high priority, and never down", async () => {
    const { queue } = setup();
    queue.add("a", "Low");
    queue.add("b", "Low");
    queue.add("c", "High");
    queue.add("b", "High");
    queue.add("c", "Low");
    expect(await takeAll(queue)).toEqual(["c", "b", "a"]);
  });

  test("are taken in time that does not grow with their number", async () => {
    const { queue } = setup();
    for (let i = 0; i < 200_000; i++) queue.add(`key-${i}`, "Low");
    for (let i = 0; i < 200_000; i += 2) queue.add(`key-${i}`, "High");
    // Quadratic work on 200,000 keys would run into the test's time limit.
    const order = await takeAll(queue);
    expect(order.length).toBe(200_000);
    expect([order[0], order[1], order[100_000]]).toEqual(["key-0", "key-2", "key-1"]);
  });
});

describe("a key that is worked on", () => {
  test("is given to nobody else until it is done, then again if it was added meanwhile", async () => {
    const { queue } = setup();
    queue.add("a");
    await take(queue);
    queue.add("a");
    queue.add("a");
    expect(queue.length).toBe(0);
    queue.done("a");
    expect(await takeAll(queue)).toEqual(["a"]);
    queue.done("a");
    expect(queue.length).toBe(0);
  });

  test("comes back with the highest priority it was added with meanwhile", async () => {
    const { queue } = setup();
    queue.add("a", "Low");
    expect(await queue.get()).toEqual({ key: "a", priority: "Low" });
    queue.add("a", "Low");
    queue.add("a", "High");
    queue.add("b", "Low");
    queue.done("a");
    expect(await queue.get()).toEqual({ key: "a", priority: "High" });
  });

  test("is not disturbed by a done() that nobody owed", async () => {
    const { queue } = setup();
    queue.done("a");
    queue.add("a");
    queue.done("a");
    expect(await takeAll(queue)).toEqual(["a"]);
  });
});

describe("workers that wait", () => {
  test("are served in the order they came, each with another key", async () => {
    const { queue } = setup();
    const got: string[] = [];
    for (const worker of ["first", "second"]) {
      void queue.get().then((item) => got.push(`${worker}:${item?.key ?? ""}`));
    }
    queue.add("a");
    queue.add("a");
    queue.add("b");
    queue.add("c");
    await Promise.resolve();
    expect(got).toEqual(["first:a", "second:b"]);
    expect(queue.length).toBe(1);
  });
});

describe("delayed keys", () => {
  test("come when their time is over, in the order of their times", async () => {
    const { queue, clock } = setup();
    queue.addAfter("late", 200);
    queue.addAfter("soon", 100);
    queue.addAfter("also-soon", 100);
    await clock.advance(99);
    expect(queue.length).toBe(0);
    await clock.advance(1);
    expect(await takeAll(queue)).toEqual(["soon", "also-soon"]);
    await clock.advance(100);
    expect(await takeAll(queue)).toEqual(["late"]);
  });

  test("keep the earlier of two times, and the higher priority", async () => {
    const { queue, clock } = setup();
    queue.addAfter("a", 100, "Low");
    queue.addAfter("a", 500, "High");
    queue.addAfter("b", 500, "Low");
    queue.addAfter("b", 100, "Low");
    await clock.advance(100);
    expect(await queue.get()).toEqual({ key: "a", priority: "High" });
    expect(await queue.get()).toEqual({ key: "b", priority: "Low" });
    await clock.advance(1_000);
    queue.done("a");
    queue.done("b");
    expect(queue.length).toBe(0);
    expect(clock.pending).toBe(0);
  });

  test("are added at once when there is nothing to wait for", async () => {
    const { queue } = setup();
    queue.addAfter("a", 0);
    queue.addAfter("b", -5);
    expect(await takeAll(queue)).toEqual(["a", "b"]);
  });

  test("do not keep the key from being added before", async () => {
    const { queue, clock } = setup();
    queue.addAfter("a", 100);
    queue.add("a");
    expect(await takeAll(queue)).toEqual(["a"]);
    queue.done("a");
    await clock.advance(100);
    expect(await takeAll(queue)).toEqual(["a"]);
  });

  test("back off one by one, and begin anew when forgotten", async () => {
    const { queue, clock } = setup();
    const waits: number[] = [];
    for (let i = 0; i < 4; i++) {
      const start = clock.monotonic();
      queue.addRateLimited("a");
      while (queue.length === 0) await clock.advance(1);
      waits.push(clock.monotonic() - start);
      await take(queue);
      if (i === 2) queue.forget("a");
      queue.done("a");
    }
    expect(waits).toEqual([5, 10, 20, 5]);
    expect(queue.retries("a")).toBe(1);
  });
});

describe("shutting down", () => {
  test("hands out what waits, takes nothing new and drops what is delayed", async () => {
    const { queue, clock } = setup();
    queue.add("a");
    queue.addAfter("b", 10);
    queue.shutdown();
    queue.add("c");
    queue.addAfter("d", 0);
    queue.addRateLimited("e");
    await clock.advance(100);
    expect((await queue.get())?.key).toBe("a");
    expect(await queue.get()).toBeUndefined();
    expect(queue.shuttingDown).toBe(true);
    expect(clock.pending).toBe(0);
  });

  test("sends idle workers home", async () => {
    const { queue } = setup();
    const workers = [queue.get(), queue.get()];
    queue.shutdown();
    expect(await Promise.all(workers)).toEqual([undefined, undefined]);
  });

  test("with drain waits for keys in work, those that wait, and those added before while in work", async () => {
    const { queue } = setup();
    queue.add("a");
    queue.add("b");
    await take(queue);
    queue.add("a");
    let drained = false;
    const draining = queue.shutdownWithDrain().then(() => (drained = true));
    queue.add("z");
    for (const expected of ["b", "a"]) {
      queue.done("a");
      expect((await queue.get())?.key).toBe(expected);
      await Promise.resolve();
      expect(drained).toBe(false);
      queue.done("b");
    }
    queue.done("a");
    await draining;
    expect(await queue.get()).toBeUndefined();
  });

  test("with drain ends at once when nothing is there, and when a plain shutdown follows", async () => {
    const empty = setup().queue;
    await empty.shutdownWithDrain();
    const { queue } = setup();
    queue.add("a");
    const draining = queue.shutdownWithDrain();
    queue.shutdown();
    await draining;
  });
});

describe("figures", () => {
  test("count keys that wait, keys added, times and retries", async () => {
    const { queue, clock, figure } = setup();
    queue.add("a");
    queue.add("a");
    queue.add("b");
    queue.addAfter("c", 1_000);
    expect(await figure("workqueue_depth")).toBe(2);
    expect(await figure("workqueue_adds_total")).toBe(2);
    expect(await figure("workqueue_retries_total")).toBe(1);
    await clock.advance(500);
    await take(queue);
    expect(await figure("workqueue_queue_duration_seconds_sum")).toBe(0.5);
    await clock.advance(250);
    await take(queue);
    await clock.advance(125);
    expect(await figure("workqueue_unfinished_work_seconds")).toBe(0.5);
    expect(await figure("workqueue_longest_running_processor_seconds")).toBe(0.375);
    queue.done("a");
    expect(await figure("workqueue_work_duration_seconds_sum")).toBe(0.375);
    expect(await figure("workqueue_longest_running_processor_seconds")).toBe(0.125);
    expect(await figure("workqueue_depth")).toBe(0);
  });
});
