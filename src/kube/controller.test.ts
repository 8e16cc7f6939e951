import { describe, expect, test } from "vitest";

import { ManualClock } from "../../test/support/manual-clock.ts";
import { createLogger } from "../telemetry/log.ts";
import { createMetrics } from "../telemetry/metrics.ts";
import { Controller, TerminalError } from "./controller.ts";
import type { ControllerOptions, ReconcileContext, Result } from "./controller.ts";

function setup(reconcile: ControllerOptions<string>["reconcile"], options: Partial<ControllerOptions<string>> = {}) {
  const clock = new ManualClock();
  const metrics = createMetrics({ version: "test" });
  const lines: Record<string, unknown>[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>);
  const controller = new Controller<string>({
    name: "test",
    reconcile,
    clock,
    metrics,
    log: createLogger({ destination: { write } }),
    ...options,
  });
  const stop = new AbortController();
  const start = (): Promise<void> => controller.run(stop.signal);
  const figure = async (series: string): Promise<number> => {
    const line = (await metrics.render()).split("\n").find((found) => found.startsWith(`${series} `));
    return Number(line?.split(" ")[1]);
  };
  const result = (value: string) => figure(`controller_runtime_reconcile_total{controller="test",result="${value}"}`);
  const counted = (name: string) => figure(`controller_runtime_${name}{controller="test"}`);
  return { clock, controller, stop, start, result, counted, lines };
}

/** A reconcile function that does what it is told, run by run, and notes when it ran. */
function script(clock: () => number, ...runs: (() => Promise<Result>)[]) {
  const ranAt: number[] = [];
  const contexts: ReconcileContext[] = [];
  const reconcile = (_key: string, context: ReconcileContext): Promise<Result> => {
    ranAt.push(clock());
    contexts.push(context);
    return (runs.shift() ?? (() => Promise.resolve(undefined)))();
  };
  return { reconcile, ranAt, contexts };
}

const fail = (thrown: unknown): (() => Promise<Result>) => {
  const error = thrown as Error;
  return () => Promise.reject(error);
};
const again =
  (requeueAfterMs: number, keepTrigger = false) =>
  (): Promise<Result> =>
    Promise.resolve({ requeueAfterMs, keepTrigger });

describe("the result of a reconciliation", () => {
  test("success is counted and not repeated", async () => {
    const { reconcile, ranAt } = script(() => 0);
    const { controller, start, clock, result, counted } = setup(reconcile);
    void start();
    controller.enqueue("a");
    await clock.advance(3_600_000);
    expect(ranAt).toHaveLength(1);
    expect(await result("success")).toBe(1);
    expect(await counted("reconcile_errors_total")).toBe(0);
    expect(await counted("active_workers")).toBe(0);
    expect(await counted("reconcile_time_seconds_count")).toBe(1);
  });

  test("an error comes back with a delay that doubles, until a success forgets it", async () => {
    let now = (): number => 0;
    const boom = fail(new Error("boom"));
    const { reconcile, ranAt } = script(() => now(), boom, boom, boom, again(1_000), boom);
    const { controller, start, clock, result, counted } = setup(reconcile);
    now = () => clock.monotonic();
    const begin = clock.monotonic();
    void start();
    controller.enqueue("a");
    await clock.advance(5_000);
    expect(ranAt.map((at) => at - begin)).toEqual([0, 5, 15, 35, 1_035, 1_040]);
    expect(await result("error")).toBe(4);
    expect(await result("requeue_after")).toBe(1);
    expect(await result("success")).toBe(1);
    expect(await counted("reconcile_errors_total")).toBe(4);
    expect(await counted("reconcile_panics_total")).toBe(0);
  });

  test("to be run again after 0 ms means not to be run again", async () => {
    const { reconcile, ranAt } = script(() => 0, again(0));
    const { controller, start, clock, result } = setup(reconcile);
    void start();
    controller.enqueue("a");
    await clock.advance(10_000);
    expect(ranAt).toHaveLength(1);
    expect(await result("success")).toBe(1);
  });

  for (const [what, error] of Object.entries({
    "a terminal error": new TerminalError("the spec names no registry"),
    "a terminal error as the cause of another": new Error("x", { cause: new TerminalError("y") }),
  })) {
    test(`${what} is counted and not tried again`, async () => {
      const { reconcile, ranAt } = script(() => 0, fail(new Error("first")), fail(error), fail(new Error("second")));
      const { controller, start, clock, counted, result, lines } = setup(reconcile);
      void start();
      controller.enqueue("a");
      await clock.advance(60_000);
      expect(ranAt).toHaveLength(2);
      expect(await counted("terminal_reconcile_errors_total")).toBe(1);
      expect(await counted("reconcile_errors_total")).toBe(2);
      expect(await result("error")).toBe(2);
      // The next event finds no memory of earlier failures: the first retry comes after 5 ms.
      controller.enqueue("a");
      await clock.advance(5);
      expect(ranAt).toHaveLength(4);
      expect(lines.every((line) => line["controller"] === "test" && line["key"] === "a")).toBe(true);
    });
  }

  for (const [what, error] of Object.entries({
    "a mistake in the program": new TypeError("x is not a function"),
    "something that is no error": "just text",
    nothing: undefined,
  })) {
    test(`${what} thrown is counted as a panic and retried, and other keys go on`, async () => {
      const { reconcile, ranAt } = script(() => 0, fail(error));
      const { controller, start, clock, counted } = setup(reconcile);
      void start();
      controller.enqueue("a");
      controller.enqueue("b");
      await clock.advance(5);
      expect(ranAt).toHaveLength(3);
      expect(await counted("reconcile_panics_total")).toBe(1);
    });
  }

  test("a function that throws before it returns a promise does not end the loop", async () => {
    let runs = 0;
    const { controller, start, clock } = setup(() => {
      runs += 1;
      if (runs === 1) throw new Error("at once");
      return Promise.resolve(undefined);
    });
    void start();
    controller.enqueue("a");
    await clock.advance(5);
    expect(runs).toBe(2);
  });
});

describe("workers", () => {
  test("reconcile as many keys at once as allowed, and never one key twice at once", async () => {
    const ends: (() => void)[] = [];
    const running: string[] = [];
    const { controller, start, clock, counted } = setup(
      async (key) => {
        expect(running).not.toContain(key);
        running.push(key);
        await new Promise<void>((resolve) => ends.push(resolve));
        running.splice(running.indexOf(key), 1);
        return undefined;
      },
      { concurrency: 2 },
    );
    void start();
    for (const key of ["a", "b", "c"]) controller.enqueue(key);
    await clock.advance(0);
    controller.enqueue("a");
    expect(running).toEqual(["a", "b"]);
    expect(await counted("active_workers")).toBe(2);
    expect(await counted("max_concurrent_reconciles")).toBe(2);
    ends.shift()?.();
    await clock.advance(0);
    expect(running).toEqual(["b", "c"]);
    ends.shift()?.();
    await clock.advance(0);
    expect(running).toEqual(["c", "a"]);
  });

  test("take what an event brought before what a sweep brought", async () => {
    const order: string[] = [];
    const { controller, start, clock } = setup((key) => {
      order.push(key);
      return Promise.resolve(undefined);
    });
    controller.enqueue("swept", { priority: "Low" });
    controller.enqueueAfter("later", 10, { priority: "High" });
    controller.enqueue("seen");
    void start();
    await clock.advance(10);
    expect(order).toEqual(["seen", "swept", "later"]);
  });

  test("tell a reconciliation to stop at its deadline, and wait for it all the same", async () => {
    const reasons: unknown[] = [];
    let runs = 0;
    let release = (): void => undefined;
    const { controller, start, clock, counted } = setup(
      async (_key, { signal }) => {
        runs += 1;
        if (runs > 1) return undefined;
        signal.addEventListener("abort", () => reasons.push((signal.reason as { code: string }).code));
        await new Promise<void>((resolve) => (release = resolve));
        signal.throwIfAborted();
        return undefined;
      },
      { reconcileTimeoutMs: 2_000, concurrency: 2 },
    );
    void start();
    controller.enqueue("a");
    await clock.advance(1_999);
    expect(reasons).toEqual([]);
    await clock.advance(1);
    expect(reasons).toEqual(["ReconcileDeadline"]);
    controller.enqueue("a");
    await clock.advance(60_000);
    expect(runs).toBe(1);
    release();
    await clock.advance(5);
    expect(runs).toBeGreaterThan(1);
    expect(await counted("reconcile_timeouts_total")).toBe(1);
    expect(await counted("reconcile_errors_total")).toBe(1);
  });

  test("leave no timer behind", async () => {
    const { controller, start, clock } = setup(() => Promise.resolve(undefined));
    void start();
    for (let i = 0; i < 100; i++) controller.enqueue(`key-${i}`);
    await clock.advance(0);
    expect(clock.pending).toBe(0);
  });
});

describe("a trigger", () => {
  const first = { traceId: "first", seenAt: 10 };
  const second = { traceId: "second", seenAt: 20 };
  const seen = (contexts: readonly ReconcileContext[]) => contexts.map(({ traceId, seenAt }) => [traceId, seenAt]);

  test("is the first of those that came while the key waited", async () => {
    const { reconcile, contexts } = script(() => 0);
    const { controller, start, clock } = setup(reconcile);
    controller.enqueue("a", { priority: "Low" });
    controller.enqueue("a", { trace: first });
    controller.enqueue("a", { trace: second });
    void start();
    await clock.advance(0);
    controller.enqueue("a", { trace: second });
    await clock.advance(0);
    expect(seen(contexts)).toEqual([
      ["first", 10],
      ["second", 20],
    ]);
  });

  test("stays for the retry, before one that came meanwhile, and until then is nobody else's", async () => {
    const { reconcile, contexts } = script(
      () => 0,
      async () => {
        await Promise.resolve();
        controller.enqueue("a", { trace: second });
        throw new Error("boom");
      },
    );
    const { controller, start, clock } = setup(reconcile);
    void start();
    controller.enqueue("a", { trace: first });
    await clock.advance(1_000);
    expect(seen(contexts).slice(0, 2)).toEqual([
      ["first", 10],
      ["first", 10],
    ]);
    expect(contexts[0]?.reconcileId).not.toBe(contexts[1]?.reconcileId);
  });

  test("stays for a run that goes on with the same matter, and not for one that is only periodic", async () => {
    const { reconcile, contexts } = script(() => 0, again(50, true), again(50));
    const { controller, start, clock } = setup(reconcile, { newTraceId: () => "new" });
    void start();
    controller.enqueue("a", { trace: first });
    await clock.advance(1_000);
    expect(seen(contexts)).toEqual([
      ["first", 10],
      ["first", 10],
      ["new", undefined],
    ]);
  });

  test("is in every line that the reconciliation logs, with the id of the run", async () => {
    const { controller, start, clock, lines } = setup((_key, { log }) => {
      log.info("judged");
      return Promise.resolve(undefined);
    });
    void start();
    controller.enqueue("a", { trace: first });
    await clock.advance(0);
    expect(lines).toMatchObject([{ msg: "judged", traceId: "first", controller: "test", key: "a" }]);
    expect(lines[0]?.["reconcileId"]).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe("a stop", () => {
  test("begins no key any more, and waits for those under way", async () => {
    const began: string[] = [];
    let release = (): void => undefined;
    const { controller, start, clock, stop } = setup(async (key) => {
      began.push(key);
      await new Promise<void>((resolve) => (release = resolve));
      return { requeueAfterMs: 1 };
    });
    let ended = false;
    const run = start().then(() => (ended = true));
    controller.enqueue("a");
    controller.enqueue("b");
    await clock.advance(0);
    stop.abort();
    await clock.advance(29_999);
    controller.enqueue("c");
    expect(ended).toBe(false);
    release();
    await run;
    expect(began).toEqual(["a"]);
    expect(clock.pending).toBe(0);
  });

  test("aborts what is under way when the grace is over", async () => {
    const { controller, start, clock, stop, lines } = setup(
      (_key, { signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
    );
    const run = start();
    controller.enqueue("a");
    await clock.advance(0);
    stop.abort();
    await clock.advance(30_000);
    await run;
    expect(lines).toMatchObject([{ level: "info", err: { code: "ShuttingDown" } }]);
  });

  test("ends even when a reconciliation never does, and says so", async () => {
    const { controller, start, clock, stop, lines } = setup(() => new Promise(() => undefined), {
      shutdownGraceMs: 100,
    });
    const run = start();
    controller.enqueue("a");
    await clock.advance(0);
    stop.abort();
    await clock.advance(1_100);
    await run;
    expect(lines).toMatchObject([{ level: "error", stuck: 1 }]);
  });

  test("before the start begins nothing, and there is no second start", async () => {
    const { reconcile, ranAt } = script(() => 0);
    const { controller, start, stop } = setup(reconcile);
    controller.enqueue("a");
    stop.abort();
    await start();
    expect(ranAt).toEqual([]);
    await expect(start()).rejects.toMatchObject({ code: "AlreadyStarted" });
  });
});
