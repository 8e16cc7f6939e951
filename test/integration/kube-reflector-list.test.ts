import { expect, test } from "vitest";

import { answer, blackHole, cut, delay, dropEvents, hold, truncate } from "../env/proxy/index.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Bench, eventually, FastClock, RecordingSink } from "./kube-reflector-harness.ts";

async function createMany(bench: Bench, count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, i) => `thing-${String(i).padStart(3, "0")}`);
  await Promise.all(names.map((name) => bench.create(name)));
  return names;
}

test("a list comes in pages, all of one revision, without a resourceVersion, and is applied whole", async () => {
  await using bench = await Bench.open();
  const names = await createMany(bench, 23);
  const { sink, metrics } = await bench.start({ pageSize: 5 });
  await eventually(() => expect(sink.names).toEqual(names));
  const pages = bench.proxy.requests.filter(bench.isList).map((request) => request.query);
  expect(pages.map((query) => query.get("limit"))).toEqual(["5", "5", "5", "5", "5"]);
  expect(pages.map((query) => query.has("continue"))).toEqual([false, true, true, true, true]);
  expect(pages.some((query) => query.has("resourceVersion"))).toBe(false);
  expect(sink.lists).toBe(1);
  expect(metrics.lists).toEqual([expect.objectContaining({ objects: 23, before: 0, added: 23, deleted: 0 })]);
});

test("a page holds 500 objects unless told otherwise", async () => {
  await using bench = await Bench.open();
  const { sink } = await bench.start();
  await eventually(() => expect(sink.lists).toBe(1));
  expect(bench.proxy.requests.find(bench.isList)?.query.get("limit")).toBe("500");
});

test.each([
  ["500", answer({ status: 500 })],
  ["429", answer({ status: 429 })],
  ["a reset connection", cut()],
  ["a clean end in the middle of the answer", truncate(40)],
  ["a broken end in the middle of the answer", cut({ how: "Close", afterBytes: 40 })],
])("a first list that fails once with %s is tried again", async (_name, action) => {
  await using bench = await Bench.open();
  const names = await createMany(bench, 3);
  const rule = bench.proxy.rule({ match: bench.isList, action, times: 1 });
  const { sink, metrics } = await bench.start();
  await eventually(() => expect(sink.names).toEqual(names));
  expect(rule.applied).toBe(1);
  expect(metrics.listFailures).toHaveLength(1);
});

test.each([
  ["500", answer({ status: 500 })],
  ["429", answer({ status: 429 })],
  ["a reset connection", cut()],
])("a page that fails with %s is asked for again, and the pages before it are not", async (_name, action) => {
  await using bench = await Bench.open();
  const names = await createMany(bench, 12);
  bench.proxy.rule({ match: bench.isList, action, skip: 1, times: 1 });
  const { sink, metrics } = await bench.start({ pageSize: 5 });
  await eventually(() => expect(sink.names).toEqual(names));
  expect(bench.proxy.count(bench.isList)).toBe(4);
  expect(metrics.listFailures).toEqual([]);
});

test("a page that never answers has a deadline", async () => {
  await using bench = await Bench.open();
  const names = await createMany(bench, 12);
  bench.proxy.rule({ match: bench.isList, action: blackHole(), skip: 1, times: 1 });
  const { sink } = await bench.start({ pageSize: 5, listDeadlineMs: 500 });
  await eventually(() => expect(sink.names).toEqual(names));
});

test("a page has 60 s, where nothing else was said", async () => {
  await using bench = await Bench.open();
  const clock = new ManualClock();
  bench.proxy.rule({ match: bench.isList, action: blackHole() });
  const { metrics } = await bench.start({ clock });
  await eventually(() => expect(bench.proxy.running(bench.isList)).toBe(1));
  await clock.advance(59_999);
  expect(metrics.listFailures).toEqual([]);
  await clock.advance(1);
  await eventually(() => expect(metrics.listFailures).toEqual(["DeadlineExceeded"]));
});

test("a continue token that has expired starts the list anew", async () => {
  await using bench = await Bench.open();
  const names = await createMany(bench, 12);
  bench.proxy.rule({ match: bench.isList, action: answer({ status: 410, reason: "Expired" }), skip: 2, times: 1 });
  const { sink, metrics } = await bench.start({ pageSize: 5 });
  await eventually(() => expect(sink.names).toEqual(names));
  expect(metrics.listFailures).toEqual(["Expired"]);
  expect(bench.proxy.requests.filter(bench.isList).map((request) => request.query.has("continue"))).toEqual([
    false,
    true,
    true,
    false,
    true,
    true,
  ]);
});

test("as long as one page is missing nothing is applied, and the view of before serves and moves on", async () => {
  await using bench = await Bench.open();
  const names = await createMany(bench, 12);
  const { sink, reflector } = await bench.start({ pageSize: 5, relistMinGapMs: 0 });
  await eventually(() => expect(sink.names).toEqual(names));
  const broken = bench.proxy.rule({
    match: (request) => bench.isList(request) && request.query.has("continue"),
    action: answer({ status: 500 }),
  });
  reflector.requestRelist();
  await eventually(() => expect(broken.applied).toBeGreaterThan(1));
  await bench.remove("thing-003");
  await eventually(() => expect(sink.names).toEqual(names.filter((name) => name !== "thing-003")));
  expect(reflector.freshness()).toMatchObject({ completeLists: 1, problem: undefined });
  broken.remove();
  await eventually(() => expect(sink.lists).toBe(2));
  expect(sink.of("thing-003")).toEqual(["Added", "Deleted finally"]);
  expect(sink.changes).toHaveLength(13);
});

test.each([
  ["list", "isList"],
  ["watch", "isWatch"],
  ["barrier", "isBarrier"],
] as const)("a Retry-After is honoured by the next %s", async (_name, match) => {
  await using bench = await Bench.open();
  const clock = new FastClock(20);
  bench.proxy.rule({ match: bench[match], action: answer({ status: 429, retryAfterSeconds: 20 }), times: 1 });
  const startedAt = clock.monotonic();
  await bench.start({ clock });
  await eventually(() => expect(bench.proxy.count(bench[match])).toBe(2));
  expect(clock.monotonic() - startedAt).toBeGreaterThanOrEqual(20_000);
});

test("a server that refuses every list is asked a few times in half a minute", async () => {
  await using bench = await Bench.open();
  const clock = new FastClock(20);
  bench.proxy.rule({ match: bench.isList, action: answer({ status: 503 }) });
  const { reflector } = await bench.start({ clock });
  await clock.sleep(30_000);
  expect(bench.proxy.count(bench.isList)).toBeGreaterThan(1);
  expect(bench.proxy.count(bench.isList)).toBeLessThanOrEqual(7);
  expect(reflector.freshness()).toMatchObject({ synced: false, problem: { reason: "ServerError" } });
});

test("a missing right is a problem that names the resource, and is over when the right comes", async () => {
  await using bench = await Bench.open();
  const token = await bench.serviceAccountToken("nobody");
  const { reflector, sink } = await bench.start({ token });
  await eventually(() => expect(reflector.freshness().problem?.reason).toBe("Forbidden"));
  expect(reflector.freshness()).toMatchObject({ synced: false, caughtUpTo: -Infinity });
  expect(reflector.freshness().problem?.message).toMatch(/leases.*is forbidden/);
  await bench.allow("nobody");
  await eventually(() => expect(sink.lists).toBe(1));
  await eventually(() => expect(reflector.freshness().problem).toBeUndefined());
});

test("an event that was swallowed is found by the next list", async () => {
  await using bench = await Bench.open();
  const gone = await bench.create("gone");
  await bench.create("kept");
  const { sink, metrics, watching } = await bench.start({ relistEveryMs: 2_000 });
  await watching();
  const swallowed: string[] = [];
  bench.proxy.rule({
    match: bench.isWatch,
    action: dropEvents(
      ({ type, object }) => type !== "BOOKMARK" && swallowed.push(`${type} ${object.metadata.name}`) > 0,
    ),
  });
  await bench.remove("gone");
  await bench.create("missed");
  await bench.touch("kept");
  await eventually(() => expect(swallowed).toEqual(["DELETED gone", "ADDED missed", "MODIFIED kept"]));
  await eventually(() => expect(sink.names).toEqual(["kept", "missed"]));
  expect(sink.objects.has(gone.uid)).toBe(false);
  expect([sink.of("gone"), sink.of("missed"), sink.of("kept")]).toEqual([
    ["Added", "Deleted"],
    ["Added"],
    ["Added", "Modified"],
  ]);
  expect(metrics.lists.at(-1)).toMatchObject({ objects: 2, before: 2, added: 1, deleted: 1 });
});

test("lists and the watch overlap without inventing or losing anything", async () => {
  await using bench = await Bench.open();
  await createMany(bench, 12);
  const { sink } = await bench.start({ pageSize: 2, relistEveryMs: 50, relistMinGapMs: 0 });
  await eventually(() => expect(sink.lists).toBe(1));
  let rounds = 0;
  // A busy machine lists less often: go on until enough lists fell between the changes.
  for (; rounds < 20 || sink.lists <= 3; rounds++) {
    const round = rounds;
    const created = await bench.create(`round-${round}`);
    await bench.touch(`round-${round}`);
    if (round % 2 === 0) await bench.remove(`round-${round}`);
    expect(created.name).toBe(`round-${round}`);
  }
  await bench.create("last");
  await eventually(() => expect(sink.names).toContain("last"));
  const truth = await bench.names();
  expect(sink.names).toEqual(truth);
  for (let round = 0; round < rounds; round++) {
    const told = sink.of(`round-${round}`);
    expect(told.filter((type) => type === "Added")).toHaveLength(1);
    expect(told.filter((type) => type.startsWith("Deleted"))).toHaveLength(round % 2 === 0 ? 1 : 0);
  }
});

test("a list that was slow does not undo what the watch told meanwhile", async () => {
  await using bench = await Bench.open();
  await createMany(bench, 12);
  const { sink, reflector, watching } = await bench.start({ pageSize: 5, relistMinGapMs: 0 });
  await eventually(() => expect(sink.lists).toBe(1));
  await watching();
  const secondPage = bench.proxy.rule({
    match: (request) => bench.isList(request) && request.query.has("continue"),
    action: hold(),
  });
  reflector.requestRelist();
  await eventually(() => expect(secondPage.applied).toBe(1));
  await bench.remove("thing-000");
  await bench.remove("thing-011");
  await bench.create("thing-011");
  await bench.create("new");
  await bench.touch("thing-006");
  await eventually(() => expect(sink.of("thing-006")).toEqual(["Added", "Modified"]));
  const before = sink.changes.length;
  secondPage.remove();
  await eventually(() => expect(sink.lists).toBe(2));
  expect(sink.changes).toHaveLength(before);
  expect(sink.names).toEqual(await bench.names());
});

test("a list that outruns the watch lets it tell how an object ended", async () => {
  await using bench = await Bench.open();
  await bench.create("a");
  const { sink, reflector, watching } = await bench.start({ relistMinGapMs: 0 });
  await watching();
  bench.proxy.rule({ match: bench.isWatch, action: delay(100) });
  await bench.remove("a");
  reflector.requestRelist();
  await eventually(() => expect(sink.lists).toBe(2));
  expect(sink.of("a")).toEqual(["Added", "Deleted finally"]);
});

test("an empty list is a list: it empties the view, and its counts tell of it", async () => {
  await using bench = await Bench.open();
  await createMany(bench, 4);
  const { sink, metrics, reflector, watching } = await bench.start({ relistMinGapMs: 0 });
  await eventually(() => expect(sink.objects.size).toBe(4));
  await watching();
  const { caughtUpTo } = reflector.freshness();
  expect(caughtUpTo).toBeGreaterThan(0);
  const revision = String(10n ** 15n);
  const body = {
    kind: "LeaseList",
    apiVersion: "coordination.k8s.io/v1",
    metadata: { resourceVersion: revision },
    items: [],
  };
  bench.proxy.rule({ match: bench.isList, action: answer({ status: 200, body }), times: 1 });
  reflector.requestRelist();
  await eventually(() => expect(sink.objects.size).toBe(0));
  expect(metrics.lists.at(-1)).toMatchObject({ objects: 0, before: 4, added: 0, deleted: 4 });
  expect(sink.of("thing-000")).toEqual(["Added", "Deleted"]);
});

test("lists asked for in a burst are one, and come no closer than the least gap", async () => {
  await using bench = await Bench.open();
  const clock = new FastClock(20);
  const { sink, reflector } = await bench.start({ clock, relistMinGapMs: 10_000 });
  await eventually(() => expect(sink.lists).toBe(1));
  const startedAt = clock.monotonic();
  for (let i = 0; i < 100; i++) reflector.requestRelist();
  await eventually(() => expect(sink.lists).toBe(2));
  expect(clock.monotonic() - startedAt).toBeGreaterThan(8_000);
  await clock.sleep(15_000);
  expect(sink.lists).toBe(2);
});

test("a sink that refuses a list gets the same differences again", async () => {
  await using bench = await Bench.open();
  const names = await createMany(bench, 3);
  const sink = new RecordingSink();
  let refused = 0;
  sink.refuse = () => (refused += 1) === 1;
  const { reflector, freshness } = await bench.start({ sink });
  await eventually(() => expect(sink.names).toEqual(names));
  expect(freshness[0]).toMatchObject({ synced: false, problem: { reason: "SinkFailed" } });
  expect(reflector.freshness()).toMatchObject({ synced: true, completeLists: 1, problem: undefined });
});

test("a selector is passed to lists and watches", async () => {
  await using bench = await Bench.open();
  await createMany(bench, 3);
  const { sink } = await bench.start({ fieldSelector: "metadata.name=thing-001", barrierEveryMs: 100 });
  await eventually(() => expect(sink.names).toEqual(["thing-001"]));
  await eventually(() => expect(bench.proxy.count(bench.isBarrier)).toBeGreaterThan(0));
  await bench.touch("thing-000");
  await bench.remove("thing-001");
  await eventually(() => expect(sink.of("thing-001")).toEqual(["Added", "Deleted finally"]));
  for (const request of bench.proxy.requests)
    expect(request.query.get("fieldSelector")).toBe("metadata.name=thing-001");
});
