import { inject, expect, test } from "vitest";

import { systemClock } from "../../src/clock/system.ts";
import { blackHole, delay, dropEvents, hold, type ProxyRequest, Recording } from "../env/proxy/index.ts";
import { startControlPlane } from "../env/index.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Bench, eventually, RecordingSink, type Running } from "./kube-reflector-harness.ts";

/** Waits until so many barriers more have been asked for and answered. */
async function passBarriers(bench: Bench, count: number): Promise<void> {
  const before = bench.proxy.count(bench.isBarrier);
  // One more has to begin before the last of them must have been answered.
  await eventually(() => expect(bench.proxy.count(bench.isBarrier)).toBeGreaterThan(before + count));
}

async function startSynced(bench: Bench, overrides: Parameters<Bench["start"]>[0] = {}): Promise<Running> {
  const running = await bench.start({ barrierEveryMs: 100, relistMinGapMs: 0, ...overrides });
  await eventually(() => expect(running.sink.lists).toBe(1));
  await running.watching();
  return running;
}

test("barriers are quorum lists of one object, about every two seconds", async () => {
  await using bench = await Bench.open();
  await bench.start();
  await eventually(() => expect(bench.proxy.count(bench.isBarrier)).toBe(2));
  for (const { query } of bench.proxy.requests.filter(bench.isBarrier))
    expect(Object.fromEntries(query)).toEqual({ limit: "1" });
});

test("a barrier that is not answered within 5 s is a problem", async () => {
  await using bench = await Bench.open();
  const clock = new ManualClock();
  bench.proxy.rule({ match: bench.isBarrier, action: blackHole() });
  const { reflector, watching } = await bench.start({ clock, random: () => 0.5 });
  await watching();
  await clock.advance(2_000);
  await eventually(() => expect(bench.proxy.running(bench.isBarrier)).toBe(1));
  await clock.advance(4_999);
  expect(reflector.freshness().problem).toBeUndefined();
  await clock.advance(1);
  await eventually(() => expect(reflector.freshness().problem?.reason).toBe("DeadlineExceeded"));
});

test("whatever was committed before caughtUpTo is in the view, also when the watch is slow", async () => {
  await using bench = await Bench.open();
  const committed = new Map<string, number>();
  const sink = new RecordingSink();
  let checked = 0;
  const running = await startSynced(bench, {
    sink,
    onFreshness: ({ caughtUpTo }) => {
      for (const [name, at] of committed) {
        if (at >= caughtUpTo) continue;
        checked += 1;
        expect(sink.names, `committed at ${at}, caught up to ${caughtUpTo}`).toContain(name);
      }
    },
  });
  bench.proxy.rule({ match: bench.isWatch, action: delay(60) });
  for (let i = 0; i < 40; i++) {
    await bench.create(`thing-${i}`);
    committed.set(`thing-${i}`, systemClock.monotonic());
  }
  await eventually(() => expect(sink.names).toHaveLength(40));
  expect(checked).toBeGreaterThan(0);
  expect(running.metrics.handlerFailures).toEqual([]);
});

test("a watch that is held stops caughtUpTo, and events let go move it on", async () => {
  await using bench = await Bench.open();
  const { reflector, sink } = await startSynced(bench);
  const rule = bench.proxy.rule({ match: bench.isWatch, action: hold() });
  const heldAt = systemClock.monotonic();
  await bench.create("held");
  const committedAt = systemClock.monotonic();
  await passBarriers(bench, 5);
  expect(reflector.freshness().caughtUpTo).toBeLessThan(committedAt);
  expect(sink.names).toEqual([]);
  rule.remove();
  await eventually(() => expect(sink.names).toEqual(["held"]));
  // An event of another kind may have moved the barriers beyond this one: then the next bookmark tells.
  await eventually(() => expect(reflector.freshness().caughtUpTo).toBeGreaterThan(heldAt));
});

test("bookmarks that are swallowed stop caughtUpTo while other kinds are written, and a complete list moves it on", async () => {
  await using bench = await Bench.open();
  const { reflector, sink } = await startSynced(bench, { watchSeconds: 3 });
  bench.proxy.rule({ match: bench.isWatch, action: dropEvents((event) => event.type === "BOOKMARK") });
  await bench.serviceAccountToken("other-kind");
  const committedAt = systemClock.monotonic();
  const watches = bench.proxy.count(bench.isWatch);
  await eventually(() => expect(bench.proxy.count(bench.isWatch)).toBeGreaterThan(watches));
  await passBarriers(bench, 2);
  expect(reflector.freshness().caughtUpTo).toBeLessThan(committedAt);
  reflector.requestRelist();
  await eventually(() => expect(sink.lists).toBe(2));
  expect(reflector.freshness().caughtUpTo).toBeGreaterThan(committedAt);
});

test("a bookmark moves caughtUpTo on while only other kinds are written", async () => {
  await using bench = await Bench.open();
  const { reflector, sink } = await startSynced(bench, { watchSeconds: 4 });
  await bench.serviceAccountToken("other-kind");
  const committedAt = systemClock.monotonic();
  await eventually(() => expect(reflector.freshness().caughtUpTo).toBeGreaterThan(committedAt));
  expect(sink.lists).toBe(1);
});

test("createdAfter lies before the creation, and after the newest barrier before it", async () => {
  await using bench = await Bench.open();
  await bench.create("old");
  const { sink } = await startSynced(bench);
  expect(sink.added("old")?.createdAfter).toBe(-Infinity);
  for (const name of ["a", "b", "c"]) {
    const before = systemClock.monotonic();
    // A quorum read began after `before`, and another kind's commit set its revision apart from the creation's.
    await bench.serviceAccountToken(`other-${name}`);
    await passBarriers(bench, 2);
    await bench.create(name);
    const after = systemClock.monotonic();
    await eventually(() => expect(sink.names).toContain(name));
    const createdAfter = sink.added(name)?.createdAfter ?? NaN;
    expect(createdAfter).toBeGreaterThan(before);
    expect(createdAfter).toBeLessThan(after);
  }
});

test("createdAfter of an object that only a list shows lies before the creation, though its event was swallowed", async () => {
  await using bench = await Bench.open();
  const { reflector, sink } = await startSynced(bench);
  let swallowed = 0;
  const rule = bench.proxy.rule({
    match: bench.isWatch,
    action: dropEvents(({ object }) => object.metadata.name === "missed" && (swallowed += 1) > 0),
  });
  await bench.create("missed");
  const committedAt = systemClock.monotonic();
  await eventually(() => expect(swallowed).toBe(1));
  rule.remove();
  await bench.create("seen");
  await eventually(() => expect(sink.names).toEqual(["seen"]));
  await passBarriers(bench, 2);
  reflector.requestRelist();
  await eventually(() => expect(sink.names).toEqual(["missed", "seen"]));
  const createdAfter = sink.added("missed")?.createdAfter ?? NaN;
  expect(createdAfter).toBeGreaterThan(-Infinity);
  expect(createdAfter).toBeLessThan(committedAt);
});

/** Records what matching requests are answered, lets the cluster move on, then replays it. */
async function replay(
  bench: Bench,
  match: (request: ProxyRequest) => boolean,
  meanwhile: () => Promise<void>,
): Promise<{ remove(): void }> {
  const recording = new Recording();
  const recorder = bench.proxy.rule({ match, action: recording.recorder });
  await meanwhile();
  expect(recording.size).toBeGreaterThan(0);
  recorder.remove();
  return bench.proxy.rule({ match, action: recording.player });
}

test("a list of a stale server is not applied, is told of, and holds freshness back until a good one comes", async () => {
  await using bench = await Bench.open();
  const { reflector, sink, metrics } = await startSynced(bench);
  await bench.create("gone");
  await eventually(() => expect(sink.names).toEqual(["gone"]));
  const stale = await replay(bench, bench.isList, async () => {
    reflector.requestRelist();
    await eventually(() => expect(sink.lists).toBe(2));
    await bench.remove("gone");
    await bench.create("new");
    await eventually(() => expect(sink.names).toEqual(["new"]));
  });
  const changes = sink.changes.length;
  reflector.requestRelist();
  await eventually(() => expect(reflector.freshness().problem?.reason).toBe("WentBack"));
  const { caughtUpTo } = reflector.freshness();
  await passBarriers(bench, 3);
  expect(reflector.freshness()).toMatchObject({ caughtUpTo, completeLists: 2, problem: { reason: "WentBack" } });
  expect(sink.changes).toHaveLength(changes);
  stale.remove();
  await eventually(() => expect(reflector.freshness()).toMatchObject({ completeLists: 3, problem: undefined }));
  await eventually(() => expect(reflector.freshness().caughtUpTo).toBeGreaterThan(caughtUpTo));
  expect(sink.changes).toHaveLength(changes);
  expect(metrics.listFailures).toContain("WentBack");
});

test("a watch of a stale server is not applied, is told of, and holds freshness back until a good one comes", async () => {
  await using bench = await Bench.open();
  const { reflector, sink, metrics } = await startSynced(bench);
  const stale = await replay(bench, bench.isWatch, async () => {
    await bench.create("gone");
    await eventually(() => expect(sink.names).toEqual(["gone"]));
    bench.proxy.cut(bench.isWatch);
    await bench.remove("gone");
    await bench.create("new");
    await eventually(() => expect(sink.names).toEqual(["new"]));
  });
  const changes = sink.changes.length;
  bench.proxy.cut(bench.isWatch);
  await eventually(() => expect(reflector.freshness().problem?.reason).toBe("WentBack"));
  const { caughtUpTo } = reflector.freshness();
  await passBarriers(bench, 3);
  expect(reflector.freshness()).toMatchObject({ caughtUpTo, problem: { reason: "WentBack" } });
  expect(sink.changes).toHaveLength(changes);
  stale.remove();
  await bench.create("later");
  await eventually(() => expect(sink.names).toEqual(["later", "new"]));
  await eventually(() => expect(reflector.freshness().problem).toBeUndefined());
  await eventually(() => expect(reflector.freshness().caughtUpTo).toBeGreaterThan(caughtUpTo));
  expect(sink.changes).toHaveLength(changes + 1);
  expect(metrics.watchEnds).toContain("WentBack");
});

test("a barrier of a stale server proves nothing, is told of, and the next good one is taken", async () => {
  await using bench = await Bench.open();
  const { reflector, sink } = await startSynced(bench);
  const stale = await replay(bench, bench.isBarrier, async () => {
    await passBarriers(bench, 1);
    await bench.create("new");
    await eventually(() => expect(sink.names).toEqual(["new"]));
  });
  await eventually(() => expect(reflector.freshness().problem?.reason).toBe("WentBack"));
  const { caughtUpTo } = reflector.freshness();
  await passBarriers(bench, 3);
  expect(reflector.freshness().caughtUpTo).toBe(caughtUpTo);
  stale.remove();
  await eventually(() => expect(reflector.freshness().problem).toBeUndefined());
  await eventually(() => expect(reflector.freshness().caughtUpTo).toBeGreaterThan(caughtUpTo));
});

test("another, younger cluster in the place of ours changes nothing in the view", async () => {
  await using bench = await Bench.open();
  await bench.create("ours");
  const { reflector, sink } = await startSynced(bench);
  const other = await startControlPlane();
  try {
    bench.proxy.setBackend({ url: other.url, caFile: other.caFile, substituteToken: other.token });
    bench.proxy.cut(() => true);
    reflector.requestRelist();
    await eventually(() => expect(reflector.freshness().problem?.reason).toBe("WentBack"));
    const { caughtUpTo } = reflector.freshness();
    await passBarriers(bench, 3);
    expect(reflector.freshness()).toMatchObject({ caughtUpTo, completeLists: 1, problem: { reason: "WentBack" } });
    expect(sink.names).toEqual(["ours"]);
    const env = inject("env");
    bench.proxy.setBackend({ url: env.kubeUrl, caFile: env.kubeCaFile });
    await eventually(() => expect(reflector.freshness().problem).toBeUndefined());
    await eventually(() => expect(reflector.freshness().caughtUpTo).toBeGreaterThan(caughtUpTo));
    expect(sink.changes).toHaveLength(1);
  } finally {
    await other.stop();
  }
});
