import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { ManualClock } from "../../../test/support/manual-clock.ts";
import { createLogger } from "../../telemetry/log.ts";
import { createMetrics } from "../../telemetry/metrics.ts";
import { EngineObjections, type WantedSysctls } from "./engine-objections.ts";
import type { DryRunAnswer, DryRunPod } from "./pod-dry-run.ts";

const sysctls = [{ name: "net.ipv4.tcp_keepalive_time", value: "600" }];
const accepted: DryRunAnswer = { result: "Accepted", annotations: {} };
const refused: DryRunAnswer = { result: "Refused", message: "sysctls are not allowed" };
const unknown: DryRunAnswer = { result: "Unknown" };

/** What the API server would say: with the sysctls, and without. */
type Rule = Readonly<Record<"with" | "without", DryRunAnswer>>;

let clock: ManualClock;
let stop: AbortController;
let wanted: WantedSysctls[];
let rules: Record<string, Rule>;
let isAllowed: boolean;
let asked: string[];
/** Namespaces at whose pods something of others looks. */
let judged: ReadonlySet<string>;
let judgesChanged: () => void;
let objections: EngineObjections;
let ended: Promise<void>;

beforeEach(() => {
  clock = new ManualClock();
  stop = new AbortController();
  wanted = [{ namespace: "shop", sysctls }];
  rules = {};
  isAllowed = true;
  asked = [];
  judged = new Set();
  objections = new EngineObjections({
    dryRun: {
      isAllowed: () => Promise.resolve(isAllowed),
      create: (namespace: string, pod: DryRunPod) => {
        const which = pod.sysctls === undefined ? "without" : "with";
        asked.push(`${namespace} ${which}`);
        return Promise.resolve(rules[namespace]?.[which] ?? accepted);
      },
    },
    judges: {
      get areNone() {
        return judged.size === 0;
      },
      in: (namespace) => (judged.has(namespace) ? "ValidatingWebhookConfiguration engine" : undefined),
      subscribe: (listener) => {
        judgesChanged = listener;
        return () => undefined;
      },
    },
    wanted: () => wanted,
    clock,
    random: () => 0.5,
    log: createLogger({ level: "silent" }),
    metrics: createMetrics({ version: "test" }),
  });
});

/** Runs it, under the rules as they are by now. */
async function start(): Promise<void> {
  ended = objections.run(stop.signal);
  await clock.advance(1_000);
}

afterEach(async () => {
  stop.abort();
  await clock.advance(0);
  await ended;
});

describe("EngineObjections", () => {
  test("a namespace that takes the pod has no objection", async () => {
    await start();
    expect(objections.get("shop")).toBeUndefined();
    expect(asked).toEqual(["shop with"]);
    expect(objections.accepting()).toEqual(["shop"]);
  });

  test("a refusal counts where the same pod without sysctls is taken", async () => {
    rules = { shop: { with: refused, without: accepted } };
    await start();
    expect(objections.get("shop")).toBe("sysctls are not allowed");
    expect(objections.accepting()).toEqual([]);
  });

  test("a pod that is refused either way says nothing of sysctls", async () => {
    rules = { shop: { with: refused, without: refused } };
    await start();
    expect(objections.get("shop")).toBeUndefined();
  });

  test("until it is known, the sysctls are left out: from the start, and in each new namespace", async () => {
    expect(objections.get("shop")).toBeUndefined();
    const told: (string | undefined)[] = [];
    objections.subscribe(() => told.push(objections.get("shop")));
    const starting = start();
    expect(objections.get("shop")).toContain("not known yet");
    await starting;
    expect(objections.get("shop")).toBeUndefined();
    expect(objections.get("more")).toContain("not known yet");
    expect(told.at(-1)).toBeUndefined();
    expect(told[0]).toContain("not known yet");
  });

  test("what the API server never could say is not known", async () => {
    rules = { shop: { with: unknown, without: unknown } };
    await start();
    expect(objections.get("shop")).toContain("not known yet");
  });

  test("without the right nothing is objected where nothing of others judges pods", async () => {
    isAllowed = false;
    await start();
    expect(objections.get("shop")).toBeUndefined();
    expect(objections.allowed()).toBeUndefined();
    expect(objections.general()).toBeUndefined();
    expect(asked).toEqual([]);
  });

  test("without the right whatever judges pods of a namespace is an objection there, named with the way to find out", async () => {
    isAllowed = false;
    wanted = [...wanted, { namespace: "more", sysctls }];
    judged = new Set(["shop"]);
    await start();
    expect(objections.get("shop")).toMatch(/^ValidatingWebhookConfiguration engine, .*config\/dry-run/);
    expect(objections.get("more")).toBeUndefined();
    expect(objections.allowed()).toEqual(["more"]);
    expect(objections.general()).toBeUndefined();
    expect(objections.accepting()).toEqual([]);
    expect(asked).toEqual([]);
    wanted = [{ namespace: "shop", sysctls }];
    expect(objections.allowed()).toEqual([]);
    expect(objections.general()).toBe(objections.get("shop"));
  });

  test("without the right it tells of judges that come, and of namespaces while there are some", async () => {
    isAllowed = false;
    await start();
    const told: (readonly string[] | undefined)[] = [];
    objections.subscribe(() => told.push(objections.allowed()));
    objections.changed();
    expect(told).toEqual([]);
    judged = new Set(["shop"]);
    judgesChanged();
    wanted = [...wanted, { namespace: "more", sysctls }];
    objections.changed();
    expect(told).toEqual([[], ["more"]]);
  });

  test("with the right judges are no objection, and all is tried again when they change", async () => {
    judged = new Set(["shop"]);
    await start();
    expect(objections.get("shop")).toBeUndefined();
    rules = { shop: { with: refused, without: accepted } };
    judgesChanged();
    await clock.advance(3_000);
    expect(objections.get("shop")).toBe("sysctls are not allowed");
  });

  test("what is tried just after judges changed is tried once more, when every API server has read the change", async () => {
    await start();
    judgesChanged();
    await clock.advance(3_000);
    expect(asked).toHaveLength(2);
    rules = { shop: { with: refused, without: accepted } };
    await clock.advance(20_000);
    expect(objections.get("shop")).toBeUndefined();
    await clock.advance(10_000);
    expect(objections.get("shop")).toBe("sysctls are not allowed");
    await clock.advance(600_000);
    expect(asked).toHaveLength(4);
  });

  test("without the right nothing is tried, and what was known is forgotten when it is taken", async () => {
    rules = { shop: { with: refused, without: accepted } };
    await start();
    isAllowed = false;
    await clock.advance(601_000);
    expect(objections.get("shop")).toBeUndefined();
    const before = asked.length;
    wanted = [...wanted, { namespace: "more", sysctls }];
    objections.changed();
    await clock.advance(10_000);
    expect(asked).toHaveLength(before);
    isAllowed = true;
    await clock.advance(601_000);
    expect(objections.get("shop")).toBe("sysctls are not allowed");
  });

  test("a new namespace is tried when it is told of, and one that left is forgotten", async () => {
    await start();
    rules = { more: { with: refused, without: accepted } };
    wanted = [{ namespace: "more", sysctls }];
    objections.changed();
    await clock.advance(3_000);
    expect(objections.get("more")).toBe("sysctls are not allowed");
    expect(asked).toEqual(["shop with", "more with", "more without"]);
    wanted = [];
    objections.changed();
    await clock.advance(3_000);
    expect(objections.get("more")).toContain("not known yet");
  });

  test("other sysctls are tried anew, the same ones only after about an hour", async () => {
    await start();
    await clock.advance(3_500_000);
    expect(asked).toEqual(["shop with"]);
    await clock.advance(200_000);
    expect(asked).toEqual(["shop with", "shop with"]);
    wanted = [{ namespace: "shop", sysctls: [{ name: "net.ipv4.tcp_keepalive_time", value: "300" }] }];
    objections.changed();
    await clock.advance(3_000);
    expect(asked).toHaveLength(3);
  });

  test("what the API server can not say leaves what was known, and is asked again in a minute", async () => {
    rules = { shop: { with: refused, without: accepted } };
    await start();
    rules = { shop: { with: unknown, without: unknown } };
    await clock.advance(3_600_000);
    expect(objections.get("shop")).toBe("sysctls are not allowed");
    rules = {};
    await clock.advance(62_000);
    expect(objections.get("shop")).toBeUndefined();
  });

  test("tries are apart from one another", async () => {
    await start();
    wanted = Array.from({ length: 20 }, (_, index) => ({ namespace: `n${index}`, sysctls }));
    objections.changed();
    await clock.advance(2_000);
    expect(asked.length).toBeLessThan(8);
    await clock.advance(20_000);
    expect(asked).toHaveLength(21);
  });
});
