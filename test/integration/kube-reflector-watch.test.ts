import { expect, test } from "vitest";

import { answer, answerWatch, blackHole, dropEvents, hold, silenceAfter, TcpProxy } from "../env/proxy/index.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Bench, eventually, FastClock, RecordingSink } from "./kube-reflector-harness.ts";

const expiredEvent = {
  type: "ERROR",
  object: { kind: "Status", code: 410, reason: "Expired", message: "too old resource version" },
};

/** Lets a reflector's own clock run for so long and returns how many requests came meanwhile. */
async function countFor(milliseconds: number, clock: FastClock, count: () => number): Promise<number> {
  const before = count();
  await clock.sleep(milliseconds);
  return count() - before;
}

test("events arrive as they happen, in order", async () => {
  await using bench = await Bench.open();
  await bench.create("before");
  const { sink } = await bench.start();
  await eventually(() => expect(sink.names).toEqual(["before"]));
  await bench.create("a");
  await bench.touch("a");
  await bench.remove("a");
  await eventually(() => expect(sink.of("a")).toEqual(["Added", "Modified", "Deleted finally"]));
  expect(sink.lists).toBe(1);
});

test.each([
  ["each watch ended by the server at once", answerWatch([]), "End"],
  ["each watch refused with 410", answer({ status: 410, reason: "Expired" }), "Expired"],
  ["each watch ended by an ERROR event with 410", answerWatch([expiredEvent]), "Expired"],
  ["each watch refused with 500", answer({ status: 500 }), "ServerError"],
])("%s brings a few calls in half a minute, not hundreds, and it works again after", async (_name, action, reason) => {
  await using bench = await Bench.open();
  const rule = bench.proxy.rule({ match: bench.isWatch, action });
  const clock = new FastClock(20);
  const { sink, metrics } = await bench.start({ clock, barrierEveryMs: Infinity });
  await eventually(() => expect(bench.proxy.count(bench.isWatch)).toBeGreaterThan(0));
  const calls = await countFor(30_000, clock, () => bench.proxy.count(bench.isWatch) + bench.proxy.count(bench.isList));
  expect(calls).toBeGreaterThan(0);
  expect(calls).toBeLessThanOrEqual(12);
  expect(new Set(metrics.watchEnds)).toEqual(new Set([reason]));
  rule.remove();
  await bench.create("late");
  await eventually(() => expect(sink.names).toEqual(["late"]));
});

test("a 410 is filled by a list, and nothing that happened meanwhile is missed", async () => {
  await using bench = await Bench.open();
  const kept = await bench.create("kept");
  const gone = await bench.create("gone");
  const { sink, reflector, watching } = await bench.start();
  await eventually(() => expect(sink.names).toEqual(["gone", "kept"]));
  await watching();
  // Both happen while no watch runs, so that only the list can tell.
  const pause = bench.proxy.rule({ match: bench.isWatch, action: hold() });
  const held = bench.proxy.rule({ match: bench.isWatch, action: answer({ status: 410, reason: "Expired" }), times: 1 });
  bench.proxy.cut(bench.isWatch);
  await bench.remove("gone");
  await bench.create("new");
  pause.remove();
  await eventually(() => expect(sink.lists).toBe(2));
  await eventually(() => expect(sink.names).toEqual(["kept", "new"]));
  expect(held.applied).toBe(1);
  expect(sink.objects.has(kept.uid)).toBe(true);
  expect(sink.objects.has(gone.uid)).toBe(false);
  expect(sink.of("gone")).toEqual(["Added", "Deleted"]);
  await eventually(() => expect(reflector.freshness().problem).toBeUndefined());
});

test.each(["Reset", "Close"] as const)(
  "a connection that breaks in mid-stream (%s) is resumed without a list",
  async (how) => {
    await using bench = await Bench.open();
    const { sink, metrics, watching } = await bench.start();
    await bench.create("a");
    await eventually(() => expect(sink.names).toEqual(["a"]));
    await watching();
    expect(bench.proxy.cut(bench.isWatch, how)).toBe(1);
    await bench.remove("a");
    await bench.create("b");
    await eventually(() => expect(sink.names).toEqual(["b"]));
    expect(sink.of("a")).toEqual(["Added", "Deleted finally"]);
    expect(metrics.watchEnds[0]).toBe("ConnectionLost");
    expect(sink.lists).toBe(1);
  },
);

test("a line that is cut in the middle is read again whole", async () => {
  await using bench = await Bench.open();
  const { sink, watching } = await bench.start();
  await watching();
  const half = bench.proxy.rule({
    match: bench.isWatch,
    action: {
      onBody: async (part, exchange) => {
        await new Promise((resolve) => exchange.outgoing.write(part.subarray(0, part.length >> 1), resolve));
        exchange.outgoing.end();
        half.remove();
        return "Done";
      },
    },
  });
  await bench.create("a");
  await eventually(() => expect(sink.of("a")).toEqual(["Added"]));
  expect(half.isRemoved).toBe(true);
  expect(sink.lists).toBe(1);
});

test("a watch that is silent though it should have ended is given up and resumed", async () => {
  await using bench = await Bench.open();
  const { sink, metrics, watching } = await bench.start({ watchSeconds: 2 });
  await watching();
  const rule = bench.proxy.rule({ match: bench.isWatch, action: silenceAfter(0) });
  await bench.create("unseen");
  await eventually(() => expect(metrics.watchEnds).toContain("Silent"));
  rule.remove();
  await eventually(() => expect(sink.names).toEqual(["unseen"]));
  expect(sink.lists).toBe(1);
});

test("a watch that the server does not open is given up after 10 s", async () => {
  await using bench = await Bench.open();
  const clock = new ManualClock();
  bench.proxy.rule({ match: bench.isWatch, action: blackHole() });
  const { metrics } = await bench.start({ clock, barrierEveryMs: Infinity });
  await eventually(() => expect(bench.proxy.running(bench.isWatch)).toBe(1));
  await clock.advance(9_999);
  expect(metrics.watchEnds).toEqual([]);
  await clock.advance(1);
  await eventually(() => expect(metrics.watchEnds).toEqual(["DeadlineExceeded"]));
});

test("a watch that goes on for 15 s after its end is given up, whatever it brings", async () => {
  await using bench = await Bench.open();
  await bench.create("a");
  const clock = new ManualClock();
  const { metrics, watching } = await bench.start({
    clock,
    barrierEveryMs: Infinity,
    random: () => 0.5,
    watchSeconds: 100,
  });
  await watching();
  for (let events = 1; events <= 2; events++) {
    await clock.advance(50_000);
    await bench.touch("a");
    await eventually(() => expect(metrics.eventCount).toBe(events));
  }
  await clock.advance(14_999);
  expect(metrics.watchEnds).toEqual([]);
  await clock.advance(1);
  await eventually(() => expect(metrics.watchEnds).toEqual(["Silent"]));
});

test("a sink that throws is counted, told of, and loses nothing", async () => {
  await using bench = await Bench.open();
  const sink = new RecordingSink();
  let refused = 0;
  sink.refuse = (_changes, cause) => cause === "Watch" && (refused += 1) === 1;
  const { metrics, reflector, freshness } = await bench.start({ sink, relistMinGapMs: 100 });
  await eventually(() => expect(sink.lists).toBe(1));
  await bench.create("poison");
  await eventually(() => expect(sink.names).toEqual(["poison"]));
  await bench.create("next");
  await eventually(() => expect(sink.names).toEqual(["next", "poison"]));
  expect(metrics.handlerFailures).toEqual(["Sink"]);
  expect(freshness.some((now) => now.problem?.reason === "SinkFailed")).toBe(true);
  expect(reflector.freshness().problem).toBeUndefined();
});

test("a projection that throws is counted, the object stays as it was, and the view does not count as current", async () => {
  await using bench = await Bench.open();
  const first = await bench.create("poison");
  let broken = false;
  const { sink, metrics, reflector } = await bench.start({
    barrierEveryMs: 200,
    project: (raw) => {
      const { metadata, spec } = raw as {
        metadata: { name: string; uid: string; resourceVersion: string };
        spec: object;
      };
      if (broken && metadata.name === "poison") throw new Error("projection");
      return { ...metadata, namespace: bench.namespace, holder: "holderIdentity" in spec ? "someone" : "" };
    },
  });
  await eventually(() => expect(sink.names).toEqual(["poison"]));
  broken = true;
  await bench.touch("poison");
  await eventually(() => expect(reflector.freshness().problem?.reason).toBe("ProjectionFailed"));
  await bench.create("other");
  await eventually(() => expect(sink.names).toEqual(["other", "poison"]));
  const { caughtUpTo } = reflector.freshness();
  const barriers = bench.proxy.count(bench.isBarrier);
  await eventually(() => expect(bench.proxy.count(bench.isBarrier)).toBeGreaterThan(barriers + 2));
  expect(reflector.freshness().caughtUpTo).toBe(caughtUpTo);
  expect(sink.objects.get(first.uid)?.resourceVersion).toBe(first.resourceVersion);
  broken = false;
  await bench.touch("poison");
  await eventually(() => expect(reflector.freshness().problem).toBeUndefined());
  expect(metrics.handlerFailures).toEqual(["Projection"]);
});

test("an object has one shape, whether a list or a watch brought it", async () => {
  await using bench = await Bench.open();
  const shapes = new Map<string, string>();
  const shapeOf = (value: unknown): unknown =>
    value === null || typeof value !== "object"
      ? typeof value
      : Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shapeOf(inner)]));
  await bench.create("listed");
  const { sink } = await bench.start({
    project: (raw) => {
      const { metadata } = raw as {
        metadata: { name: string; uid: string; resourceVersion: string; managedFields: unknown };
      };
      expect(Object.getPrototypeOf(raw)).toBe(Object.prototype);
      shapes.set(metadata.name, JSON.stringify(shapeOf(metadata)));
      return { ...metadata, namespace: bench.namespace, holder: "" };
    },
  });
  await eventually(() => expect(sink.names).toEqual(["listed"]));
  await bench.create("watched");
  await eventually(() => expect(sink.names).toEqual(["listed", "watched"]));
  expect(shapes.get("watched")).toBe(shapes.get("listed"));
});

test("an object deleted and made anew under its name is two objects", async () => {
  await using bench = await Bench.open();
  const first = await bench.create("a");
  const { sink } = await bench.start();
  await eventually(() => expect(sink.names).toEqual(["a"]));
  await bench.remove("a");
  const second = await bench.create("a");
  await eventually(() => expect(sink.of("a")).toEqual(["Added", "Deleted finally", "Added"]));
  expect([...sink.objects.keys()]).toEqual([second.uid]);
  expect(second.uid).not.toBe(first.uid);
});

test("an object deleted and made anew is two objects even when the deletion is never heard of", async () => {
  await using bench = await Bench.open();
  await bench.create("a");
  const { sink, watching } = await bench.start();
  await watching();
  bench.proxy.rule({ match: bench.isWatch, action: dropEvents((event) => event.type === "DELETED") });
  await bench.remove("a");
  const second = await bench.create("a");
  await eventually(() => expect(sink.of("a")).toEqual(["Added", "Deleted", "Added"]));
  expect([...sink.objects.keys()]).toEqual([second.uid]);
});

test("an object deleted and made anew while no watch runs is two objects", async () => {
  await using bench = await Bench.open();
  await bench.create("db-0");
  const { sink, watching } = await bench.start();
  await watching();
  const rule = bench.proxy.rule({ match: bench.isWatch, action: hold() });
  bench.proxy.rule({ match: bench.isWatch, action: answer({ status: 410 }), times: 1 });
  bench.proxy.cut(bench.isWatch);
  await bench.remove("db-0");
  const second = await bench.create("db-0");
  rule.remove();
  await eventually(() => expect(sink.of("db-0")).toEqual(["Added", "Deleted", "Added"]));
  expect([...sink.objects.keys()]).toEqual([second.uid]);
});

test("bookmarks are asked for, and a watch resumes from them, so that a quiet kind does not grow too old", async () => {
  await using bench = await Bench.open();
  const { reflector } = await bench.start({ watchSeconds: 4, barrierEveryMs: 300 });
  await eventually(() => expect(bench.proxy.count(bench.isWatch)).toBe(1));
  // Another kind moves the revision on.
  const other = await bench.direct.request({
    method: "POST",
    path: `/api/v1/namespaces/${bench.namespace}/configmaps`,
    body: { metadata: { name: "other" } },
  });
  const moved = Number((other.body as { metadata: { resourceVersion: string } }).metadata.resourceVersion);
  await eventually(() => expect(bench.proxy.count(bench.isWatch)).toBeGreaterThan(1));
  const [first, second] = bench.proxy.requests.filter(bench.isWatch).map((request) => request.query);
  expect(first?.get("allowWatchBookmarks")).toBe("true");
  expect(Number(first?.get("timeoutSeconds"))).toBeGreaterThanOrEqual(3);
  expect(Number(second?.get("resourceVersion"))).toBeGreaterThanOrEqual(moved);
  expect(reflector.freshness().completeLists).toBe(1);
});

test("two reflectors do not end their watches together", async () => {
  await using bench = await Bench.open();
  await bench.start({ random: () => 0 });
  await bench.start({ random: () => 0.999 });
  await eventually(() => expect(bench.proxy.count(bench.isWatch)).toBe(2));
  const seconds = bench.proxy.requests
    .filter(bench.isWatch)
    .map((request) => Number(request.query.get("timeoutSeconds")));
  expect(seconds.sort()).toEqual([7, 9]);
});

test.each(["List", "Watch"] as const)(
  "stopping while the %s is being answered ends at once and in peace",
  async (which) => {
    await using bench = await Bench.open();
    const match = which === "List" ? bench.isList : bench.isWatch;
    bench.proxy.rule({ match, action: hold() });
    const { stop, metrics } = await bench.start();
    await eventually(() => expect(bench.proxy.running(match)).toBe(1));
    await stop();
    expect(metrics.listFailures).toEqual([]);
    expect(metrics.watchEnds).toEqual([]);
    await eventually(() => expect(bench.proxy.running(() => true)).toBe(0));
  },
);

test("stopping while it connects ends at once and in peace", async () => {
  await using bench = await Bench.open();
  const network = await TcpProxy.start({ host: "127.0.0.1", port: Number(new URL(bench.proxy.url).port) });
  network.setMode({ kind: "BlackHole" });
  const { stop, metrics } = await bench.start({ transport: await bench.transportVia(network.port) });
  await eventually(() => expect(network.open).toBe(1));
  await stop();
  expect(network.open).toBe(1);
  expect(metrics.listFailures).toEqual([]);
  await network.stop();
});

test("stopping while it waits to try again ends at once and in peace", async () => {
  await using bench = await Bench.open();
  await bench.proxy.refuse();
  const { stop, metrics, reflector } = await bench.start();
  await eventually(() => expect(reflector.freshness().problem?.reason).toBe("ConnectionLost"));
  await stop();
  expect(metrics.listFailures).toEqual(["ConnectionLost"]);
});

test("a server that is away for a while is found again", async () => {
  await using bench = await Bench.open();
  const { sink, reflector } = await bench.start();
  await eventually(() => expect(sink.lists).toBe(1));
  await bench.proxy.refuse();
  await bench.create("meanwhile");
  await eventually(() => expect(reflector.freshness().problem?.reason).toBe("ConnectionLost"));
  await bench.proxy.listen();
  await eventually(() => expect(sink.names).toEqual(["meanwhile"]));
  await eventually(() => expect(reflector.freshness().problem).toBeUndefined());
  expect(sink.lists).toBe(1);
});
