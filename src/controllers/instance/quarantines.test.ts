import { beforeEach, describe, expect, test } from "vitest";

import { ManualClock } from "../../../test/support/manual-clock.ts";
import { recordAt } from "../../../test/support/records.ts";
import type { InstanceRecord, RegistryAdapter, RegistryFreshness } from "../../registry/port.ts";
import { RegistryView } from "../../registry/view.ts";
import { buildReport } from "../report/build.ts";
import type { EvictionEntry, ManagedRegistry, RegistrySet } from "../types.ts";
import { EvictionLog } from "./eviction-log.ts";
import { Quarantines } from "./quarantines.ts";

const IP = "10.42.0.7";
const ID = "/shop/1";
const policy = { name: "all", uid: "p1" };
const HOUR_MS = 3_600_000;

let clock: ManualClock;
let view: RegistryView;
let registry: ManagedRegistry;
let evictions: EvictionLog;
let quarantines: Quarantines;
/** Keys of entries that were found in rotation, not by us. */
let lifted: string[];

beforeEach(() => {
  clock = new ManualClock();
  view = new RegistryView("main");
  registry = {
    name: "main",
    uid: "r1",
    adapter: {} as RegistryAdapter,
    view,
    requiredMetadata: {},
    podCIDRs: [],
  };
  evictions = new EvictionLog();
  lifted = [];
  const comebacks = { lifted: (key: string): void => void lifted.push(key) };
  quarantines = new Quarantines({ evictions, comebacks, clock, changed: () => undefined });
});

function entryOf(fields: Partial<EvictionEntry> = {}): EvictionEntry {
  return {
    time: new Date(0),
    registry: "main",
    service: "shop",
    instance: "i-1",
    id: ID,
    address: `${IP}:80`,
    evidence: "Confirmed",
    reason: "DeathConfirmed",
    pod: { namespace: "shop", name: "owner", uid: "u" },
    traceId: "t1",
    result: "Quarantined",
    restore: undefined,
    ...fields,
  };
}

/** What the registry lists, as of now. */
function list(...records: readonly InstanceRecord[]): void {
  view.snapshot(records);
  freshness({});
}

function freshness(fields: Partial<RegistryFreshness>): void {
  const mode = "Normal";
  view.freshness({
    synced: true,
    caughtUpTo: clock.monotonic(),
    problem: undefined,
    mode,
    serverVersion: "1",
    clusterId: "c",
    ...fields,
  });
}

function record(fields: Partial<InstanceRecord> = {}, address = `${IP}:80`): InstanceRecord {
  return recordAt([address], { id: ID, quarantined: true, seenAt: clock.monotonic(), ...fields });
}

/** One that we took out of rotation a while ago, and that is listed so. */
async function held(): Promise<void> {
  quarantines.seed(policy, []);
  quarantines.add(policy, entryOf(), clock.monotonic(), true);
  evictions.add(policy, entryOf());
  await clock.advance(1_000);
  list(record());
}

const result = (): string | undefined => evictions.entries(policy)[0]?.result;
const isOurs = (one: InstanceRecord): boolean => quarantines.find(registry, one) !== undefined;

describe("ours is", () => {
  test("what we took out of rotation", async () => {
    await held();
    expect(isOurs(record())).toBe(true);
  });

  test("not what is in rotation", async () => {
    await held();
    expect(isOurs(record({ quarantined: false }))).toBe(false);
  });

  test("not what another took out of rotation", async () => {
    await held();
    expect(isOurs(record({ id: "/shop/9" }, "10.42.0.9:80"))).toBe(false);
  });

  test("what a newborn at its place inherits when the old one has left", async () => {
    await held();
    list();
    expect(isOurs(record({ id: "/shop/2", seenAt: -Infinity }))).toBe(true);
  });

  test("what a newborn at its place inherits while the old one is listed", async () => {
    await held();
    expect(isOurs(record({ id: "/shop/2" }))).toBe(true);
  });

  test("not what was listed at its place before: a person took that out of rotation", async () => {
    await held();
    expect(isOurs(record({ id: "/shop/2", seenAt: -1 }))).toBe(false);
  });

  test("not what is listed beside one of an earlier leader: nobody knows which came first", async () => {
    await clock.advance(1_000);
    quarantines.seed(policy, [entryOf()]);
    list(record());
    expect(isOurs(record({ id: "/shop/2", seenAt: 500 }))).toBe(false);
    list();
    expect(isOurs(record({ id: "/shop/2", seenAt: 500 }))).toBe(true);
  });

  for (const [what, other] of Object.entries({
    "of another service at the address": record0({ service: "cart" }),
    "of another registry at the address": record0({ registry: "backup" }),
    "at another port": record0({}, `${IP}:81`),
  })) {
    test(`not what is ${what}`, async () => {
      await held();
      list();
      expect(isOurs(other)).toBe(false);
    });
  }

  test("what a report names whose texts are cut off", () => {
    const service = "s".repeat(600);
    quarantines.seed(policy, [entryOf({ service: `${"s".repeat(511)}…` })]);
    list();
    expect(isOurs(record({ id: "/shop/2", service }))).toBe(true);
  });

  test("nothing that is only about to be asked for: a person may have been faster", () => {
    quarantines.seed(policy, []);
    quarantines.begin(policy, entryOf());
    expect(isOurs(record())).toBe(false);
    expect(quarantines.entries(policy)).toEqual([entryOf()]);
  });
});

/** A record outside of any test. */
function record0(fields: Partial<InstanceRecord>, address = `${IP}:80`): InstanceRecord {
  return recordAt([address], { id: "/x/1", quarantined: true, seenAt: Infinity, ...fields });
}

describe("a quarantine", () => {
  test("that we end is shown as released", async () => {
    await held();
    const ours = quarantines.find(registry, record());
    if (ours === undefined) throw new Error("it is not ours");
    expect(quarantines.isHeld(ours)).toBe(true);
    quarantines.released(ours);
    expect(quarantines.isHeld(ours)).toBe(false);
    expect(result()).toBe("Released");
    expect(evictions.entries(policy)).toHaveLength(1);
    expect(evictions.evicted("all").total).toBe(1);
  });

  test("goes on while the entry is listed without the flag by a view that has not caught up", () => {
    quarantines.seed(policy, []);
    list(record({ quarantined: false }));
    quarantines.add(policy, entryOf(), clock.monotonic(), true);
    quarantines.look(registry, ID);
    expect(quarantines.count("all")).toBe(1);
    expect(quarantines.mayLag(registry, record({ quarantined: false }))).toBe(true);
  });

  for (const [what, fields] of Object.entries({
    "has a problem": { problem: { reason: "Unreachable", message: "m" } },
    "was never complete": { synced: false },
  })) {
    test(`goes on while the entry is listed without the flag by a view that ${what}`, async () => {
      await held();
      list(record({ quarantined: false }));
      freshness(fields);
      quarantines.look(registry, ID);
      expect(quarantines.count("all")).toBe(1);
    });
  }

  test("that is found lifted has ended, and that counts as a comeback", async () => {
    await held();
    list(record({ quarantined: false }));
    quarantines.look(registry, ID);
    expect(quarantines.count("all")).toBe(0);
    expect(result()).toBe("Ended");
    expect(lifted).toEqual([`main:${ID}`]);
  });

  test("that is found lifted after a release whose answer got lost was released by us", async () => {
    await held();
    const ours = quarantines.find(registry, record());
    if (ours !== undefined) quarantines.releaseAsked(ours);
    list(record({ quarantined: false }));
    quarantines.look(registry, ID);
    expect(result()).toBe("Released");
    expect(lifted).toEqual([]);
  });

  test("that was never acknowledged and is not to be seen was never there", async () => {
    quarantines.seed(policy, []);
    quarantines.add(policy, entryOf(), clock.monotonic(), false);
    await clock.advance(1_000);
    list(record({ quarantined: false }));
    quarantines.look(registry, ID);
    expect(quarantines.count("all")).toBe(0);
    expect(evictions.entries(policy)).toEqual([]);
    expect(lifted).toEqual([]);
  });

  test("that the registry was not asked for after all is forgotten, and only that one", async () => {
    await held();
    quarantines.abandon(entryOf());
    expect(quarantines.count("all")).toBe(1);
    quarantines.begin(policy, entryOf({ traceId: "t2" }));
    quarantines.abandon(entryOf({ traceId: "t3" }));
    expect(quarantines.count("all")).toBe(1);
    quarantines.abandon(entryOf({ traceId: "t2" }));
    expect(quarantines.count("all")).toBe(0);
  });

  test("outlasts its entry by an hour, for whoever inherits the flag", async () => {
    await held();
    list();
    const registries = { get: () => registry } as unknown as RegistrySet;
    quarantines.lookAtAll(registries);
    await clock.advance(HOUR_MS - 1);
    freshness({});
    quarantines.lookAtAll(registries);
    expect(quarantines.count("all")).toBe(1);
    await clock.advance(1);
    freshness({});
    quarantines.lookAtAll(registries);
    expect(quarantines.count("all")).toBe(0);
    expect(result()).toBe("Ended");
  });

  test("begins that hour anew whenever its entry is listed", async () => {
    await held();
    const registries = { get: () => registry } as unknown as RegistrySet;
    for (let i = 0; i < 3; i++) {
      list();
      quarantines.lookAtAll(registries);
      await clock.advance(HOUR_MS - 1);
      list(record());
      quarantines.lookAtAll(registries);
    }
    expect(quarantines.count("all")).toBe(1);
  });

  test("in a registry that is no more ends like one whose entry has left", async () => {
    await held();
    const none = { get: () => undefined } as unknown as RegistrySet;
    quarantines.lookAtAll(none);
    await clock.advance(HOUR_MS);
    quarantines.lookAtAll(none);
    expect(result()).toBe("Ended");
  });

  test("of a policy that is no more is nobody's", async () => {
    await held();
    quarantines.keepOnly(new Set(["p1"]));
    expect(quarantines.count("all")).toBe(1);
    quarantines.keepOnly(new Set(["another"]));
    expect(quarantines.count("all")).toBe(0);
    expect(quarantines.isSeeded(policy)).toBe(false);
  });
});

describe("what a report says", () => {
  test("is ours from then on, when it is in quarantine still", () => {
    quarantines.seed(policy, [entryOf(), entryOf({ id: "/shop/2", result: "Released" })]);
    expect(quarantines.entries(policy)).toEqual([entryOf()]);
    expect(quarantines.count("all")).toBe(1);
  });

  test("has no end before the view is known to be complete", () => {
    quarantines.seed(policy, [entryOf()]);
    list(record({ quarantined: false }));
    freshness({ caughtUpTo: -Infinity });
    quarantines.look(registry, ID);
    expect(quarantines.count("all")).toBe(1);
    freshness({});
    quarantines.look(registry, ID);
    expect(quarantines.count("all")).toBe(0);
  });

  test("is old news where we have ended it since", async () => {
    await held();
    const ours = quarantines.find(registry, record());
    if (ours !== undefined) quarantines.released(ours);
    quarantines.beginTerm();
    quarantines.seed(policy, [entryOf()]);
    expect(quarantines.count("all")).toBe(0);
  });

  test("is the last word where another leader has ended it since", async () => {
    await held();
    quarantines.beginTerm();
    expect(quarantines.entries(policy)).toBeUndefined();
    quarantines.seed(policy, [entryOf({ result: "Released" })]);
    expect(quarantines.count("all")).toBe(0);
    expect(result()).toBe("Released");
  });

  test("and does not hold yet stays ours", async () => {
    await held();
    quarantines.beginTerm();
    quarantines.seed(policy, []);
    expect(quarantines.count("all")).toBe(1);
  });
});

describe("room", () => {
  const many = (count: number, id = "x"): void => {
    for (let i = 0; i < count; i++) {
      const traceId = `t-${id}${i}`;
      quarantines.add(policy, entryOf({ id: `${id}${i}`, address: `10.42.1.${i}:80`, traceId }), 0, true);
    }
  };
  const hasRoom = (one = record({ id: "/new" })): boolean => quarantines.hasRoom(policy, one);

  test("is not known before the report was read", () => {
    expect(hasRoom()).toBe(false);
    quarantines.seed(policy, []);
    expect(hasRoom()).toBe(true);
  });

  test("is as much as a report has, those about to be asked for and those of earlier leaders included", () => {
    quarantines.seed(policy, [entryOf({ id: "old", address: "10.42.9.9:80" })]);
    many(97);
    expect(hasRoom()).toBe(true);
    quarantines.begin(policy, entryOf({ id: "begun" }));
    expect(hasRoom()).toBe(true);
    many(1, "last");
    expect(hasRoom()).toBe(false);
  });

  test("of one policy is not taken by another", () => {
    quarantines.seed(policy, []);
    many(100);
    const other = { name: "other", uid: "p2" };
    quarantines.seed(other, []);
    expect(quarantines.hasRoom(other, record({ id: "/new" }))).toBe(true);
  });

  test("is taken up by long texts, so that all that is held is in the report", () => {
    quarantines.seed(policy, []);
    const long = "语".repeat(2_000);
    let count = 0;
    for (; count < 200; count++) {
      const id = `${count}${long}`;
      const service = `${count}${long.slice(0, 400)}`;
      if (!quarantines.hasRoom(policy, record({ id, service, instance: id }))) break;
      quarantines.add(policy, entryOf({ id, service, instance: id, traceId: String(count) }), 0, true);
    }
    expect(count).toBeGreaterThan(20);
    expect(count).toBeLessThan(100);
    const none = { Live: 0, Draining: 0, Zombie: 0, Suspect: 0, Contested: 0, Resurrected: 0, Foreign: 0, Unknown: 0 };
    const others = Array.from({ length: 100 }, (_, i) => entryOf({ id: `e${i}`, traceId: `e${i}`, result: "Evicted" }));
    const report = buildReport({
      policy: "all",
      counts: none,
      findings: [],
      evictions: others,
      quarantines: quarantines.entries(policy) ?? [],
      earlier: [],
    });
    expect(report.evictions?.filter((one) => one.result === "Quarantined")).toHaveLength(count);
  });

  test("is made by those whose place has been empty for longer than a flag lasts, the longest first", async () => {
    quarantines.seed(policy, []);
    many(100);
    await clock.advance(1_000);
    const listed = (from: number): InstanceRecord[] =>
      Array.from({ length: 100 - from }, (_, i) => record({ id: `x${i + from}` }, `10.42.1.${i + from}:80`));
    const registries = { get: () => registry } as unknown as RegistrySet;
    list(...listed(1));
    quarantines.lookAtAll(registries);
    await clock.advance(1_000);
    list(...listed(2));
    quarantines.lookAtAll(registries);
    expect(hasRoom()).toBe(false);
    await clock.advance(90_000);
    expect(hasRoom()).toBe(true);
    quarantines.add(policy, entryOf({ id: "new" }), clock.monotonic(), true);
    const ids = quarantines.entries(policy)?.map(({ id }) => id) ?? [];
    expect(ids).toHaveLength(100);
    expect(ids).not.toContain("x0");
    expect(ids).toContain("x1");
  });
});
