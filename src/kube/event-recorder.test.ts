import { describe, expect, test } from "vitest";

import { ManualClock } from "../../test/support/manual-clock.ts";
import { createLogger } from "../telemetry/log.ts";
import { createMetrics } from "../telemetry/metrics.ts";
import { RecentKeys } from "./event-recorder-recent.ts";
import { EventRecorder } from "./event-recorder.ts";
import type { EventNote } from "./event-recorder.ts";
import { KubeError } from "./http-errors.ts";
import type { CallRequest, CallResponse } from "./transport.ts";

/** A recorder whose every post meets the given fate; the integration test has the real API server. */
function setup(fate: (post: number) => Error | undefined = () => undefined) {
  const clock = new ManualClock();
  const metrics = createMetrics({ version: "test" });
  const posts: { at: number; name: string }[] = [];
  const written: string[] = [];
  const begin = clock.monotonic();
  const request = (call: CallRequest): Promise<CallResponse> => {
    const body = call.body as { note: string; metadata: { name: string } };
    posts.push({ at: clock.monotonic() - begin, name: body.metadata.name });
    const error = fate(posts.length);
    if (error !== undefined) return Promise.reject(error);
    written.push(body.note);
    return Promise.resolve({ status: 201, headers: {}, body });
  };
  const recorder = new EventRecorder({
    transport: { request },
    reportingInstance: "hygeia-0",
    clock,
    random: () => 0,
    log: createLogger({ level: "silent" }),
    metrics,
  });
  const dropped = async (cause: string): Promise<number> => {
    const text = await metrics.render();
    return Number(new RegExp(`hygeia_events_dropped_total{cause="${cause}"} (\\d+)`).exec(text)?.[1] ?? 0);
  };
  return { recorder, clock, posts, written, dropped };
}

function event(note: string, fields: Partial<EventNote> = {}): EventNote {
  const regarding = { apiVersion: "v1", kind: "Pod", namespace: "shop", name: "cart-0" };
  return { regarding, type: "Normal", reason: "ZombieEvicted", note, ...fields };
}

const lost = (): Error => new KubeError("ConnectionLost", "gone");
const refused = (status: number, reason = ""): Error => new KubeError("Refused", "no", { status, reason });

describe("news", () => {
  test("is told once in two minutes, and again after that", async () => {
    const { recorder, clock, written } = setup();
    recorder.publish(event("a"));
    recorder.publish(event("a"));
    recorder.publish(event("b"));
    await clock.advance(119_999);
    recorder.publish(event("a"));
    await clock.advance(1);
    expect(written).toEqual(["a", "b"]);
    recorder.publish(event("a"));
    await clock.advance(0);
    expect(written).toEqual(["a", "b", "a"]);
  });

  test("of one reason comes ten at once and then five a second, others are dropped and stay news", async () => {
    const { recorder, clock, written, dropped } = setup();
    for (let i = 0; i < 15; i++) recorder.publish(event(`n${i}`));
    recorder.publish(event("other", { reason: "RegistryUnreachable" }));
    await clock.advance(1_000);
    expect(written).toHaveLength(11);
    expect(written.at(-1)).toBe("other");
    expect(await dropped("RateLimited")).toBe(5);
    recorder.publish(event("n12"));
    await clock.advance(0);
    expect(written.at(-1)).toBe("n12");
  });

  test("that is malformed does no harm to the caller", async () => {
    const { recorder, clock, dropped } = setup();
    recorder.publish({ reason: "Broken" } as EventNote);
    await clock.advance(0);
    expect(await dropped("Invalid")).toBe(1);
  });
});

describe("a post that fails", () => {
  for (const [what, error] of Object.entries({ "without an answer": lost(), "with 503": refused(503) })) {
    test(`${what} is tried again with growing delays, five times, and then dropped`, async () => {
      const { recorder, clock, posts, dropped, written } = setup((post) => (post <= 5 ? error : undefined));
      recorder.publish(event("a"));
      await clock.advance(60_000);
      // Random gives 0: half of 500, 1,000, 2,000 and 4,000 ms.
      expect(posts.map((post) => post.at)).toEqual([0, 250, 750, 1_750, 3_750]);
      expect(new Set(posts.map((post) => post.name)).size).toBe(1);
      expect(await dropped("Unreachable")).toBe(1);
      // It was never told, so it is still news.
      recorder.publish(event("a"));
      await clock.advance(0);
      expect(written).toEqual(["a"]);
    });
  }

  test("waits as long as the server asks", async () => {
    const busy = new KubeError("TooManyRequests", "later", { status: 429, reason: "", retryAfterMs: 3_000 });
    const { recorder, clock, posts } = setup((post) => (post === 1 ? busy : undefined));
    recorder.publish(event("a"));
    await clock.advance(60_000);
    expect(posts.map((post) => post.at)).toEqual([0, 3_000]);
  });

  test("for good is dropped at once, and the next one is sent", async () => {
    const { recorder, clock, written, posts, dropped } = setup((post) => (post === 1 ? refused(403) : undefined));
    recorder.publish(event("a"));
    recorder.publish(event("b"));
    await clock.advance(60_000);
    expect(written).toEqual(["b"]);
    expect(posts).toHaveLength(2);
    expect(await dropped("Rejected")).toBe(1);
  });

  test("though it arrived is no failure", async () => {
    const { recorder, clock, dropped, posts } = setup((post) => (post === 1 ? lost() : refused(409, "AlreadyExists")));
    recorder.publish(event("a"));
    await clock.advance(60_000);
    expect(posts).toHaveLength(2);
    expect(await dropped("Rejected")).toBe(0);
  });
});

describe("bounds", () => {
  test("a thousand wait at most, the rest is dropped", async () => {
    const { recorder, clock, dropped } = setup(lost);
    for (let i = 0; i < 1_500; i++) recorder.publish(event(`n${i}`, { reason: `Reason${i % 150}` }));
    await clock.advance(0);
    // One is being sent.
    expect(await dropped("QueueFull")).toBe(499);
  });

  test("remembered keys are forgotten when their time is over, or the oldest when there are too many", async () => {
    const clock = new ManualClock();
    const recent = new RecentKeys(clock, 1_000, 3);
    recent.add("a");
    await clock.advance(500);
    for (const key of ["b", "c", "d"]) recent.add(key);
    expect([recent.has("a"), recent.has("b"), recent.size]).toEqual([false, true, 3]);
    await clock.advance(500);
    recent.add("b");
    await clock.advance(500);
    expect([recent.has("b"), recent.has("c")]).toEqual([true, false]);
    recent.add("e");
    expect(recent.size).toBe(2);
    recent.delete("e");
    expect(recent.has("e")).toBe(false);
  });
});

describe("closing", () => {
  test("sends what waits and takes nothing new", async () => {
    const { recorder, clock, written, dropped } = setup((post) => (post === 1 ? lost() : undefined));
    recorder.publish(event("a"));
    recorder.publish(event("b"));
    const closed = recorder.close(10_000);
    recorder.publish(event("c"));
    await clock.advance(5_000);
    await closed;
    expect(written).toEqual(["a", "b"]);
    expect(await dropped("Closed")).toBe(1);
    expect(clock.pending).toBe(0);
  });

  test("drops the rest when the grace is over", async () => {
    const { recorder, clock, dropped } = setup(lost);
    recorder.publish(event("a"));
    recorder.publish(event("b"));
    const closed = recorder.close(100);
    await clock.advance(100);
    await closed;
    expect(await dropped("Closed")).toBe(2);
    expect(clock.pending).toBe(0);
  });
});
