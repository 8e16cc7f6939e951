import { describe, expect, it } from "vitest";

import { catalogEntry, type EntrySpec } from "../../../test/support/consul-entries.ts";
import type { InstanceRecord } from "../port.ts";
import { Timeline } from "../timeline.ts";
import { heartbeatOf } from "./life.ts";
import type { AgentRoute } from "./ownership.ts";
import { CatalogTable } from "./table.ts";
import { formatVersion, parseVersion } from "./version.ts";

const ID = "n1/web-1";
const noBound = Number.NEGATIVE_INFINITY;

function tableWith(...barriers: (readonly [time: number, index: number])[]) {
  const timeline = new Timeline();
  for (const barrier of barriers) timeline.add(...barrier);
  const routes = { route: { kind: "Unknown" } as AgentRoute };
  const table = new CatalogTable({ name: "r", servicePrefixes: [], timeline, era: 1, routeTo: () => routes.route });
  const list = (now: number, ...specs: EntrySpec[]): ReadonlyMap<string, InstanceRecord | undefined> =>
    table.replace(specs.map(catalogEntry), 1_000, now);
  const get = (): InstanceRecord => {
    const [record] = [...table.records()];
    if (record === undefined) throw new Error("not listed");
    return record;
  };
  return { table, timeline, routes, list, get };
}

describe("a list", () => {
  it("tells what came, changed and left, and nothing of what stayed", () => {
    const { list } = tableWith();
    const other = { service: { ID: "web-2" } };
    expect([...list(1, {}, other).keys()]).toEqual([ID, "n1/web-2"]);
    expect(list(2, {}, other).size).toBe(0);
    expect([...list(3, { service: { ModifyIndex: 20 } }, other).keys()]).toEqual([ID]);
    expect([...list(4, { service: { ModifyIndex: 20 } })]).toEqual([["n1/web-2", undefined]]);
  });

  it("counts what is no instance by reason, and passes over what is of no interest", () => {
    const table = new CatalogTable({
      name: "r",
      servicePrefixes: ["shop-"],
      timeline: new Timeline(),
      era: 1,
      routeTo: () => ({ kind: "Unknown" }),
    });
    const entries: EntrySpec[] = [
      { service: { Service: "shop-web" } },
      { service: { ID: "x", Service: "other" } },
      { service: { ID: "y", Service: "shop-broken", Address: "10.0.0.300" } },
    ];
    table.replace(entries.map(catalogEntry), 1, 1);
    expect([...table.records()].map(({ service }) => service)).toEqual(["shop-web"]);
    expect(table.totals).toEqual({ InvalidAddress: 1 });
  });

  it("that is older than our own deletion does not bring the entry back, and a newer one does", () => {
    const { table, list, get } = tableWith();
    list(1, {});
    expect(table.deletedByUs(ID, get().version, 50)).toBe(true);
    const old = table.replace([catalogEntry()], 49, 2);
    expect([...old]).toEqual([]);
    const again = catalogEntry({ service: { CreateIndex: 60, ModifyIndex: 60 } });
    expect([...table.replace([again], 49, 3).keys()]).toEqual([ID]);
    expect([...table.replace([catalogEntry()], 50, 4).keys()]).toEqual([ID]);
  });
});

describe("bounds", () => {
  it("date a registration from above by its arrival and from below by the last barrier without it", () => {
    const { list, get } = tableWith([400, 9]);
    list(500, {});
    expect(get()).toMatchObject({ seenAt: 500, writtenAfter: 400, touchedAfter: 400 });
  });

  it("have no lower one for what was there before the first barrier", () => {
    const { list, get } = tableWith([400, 10]);
    list(500, {});
    expect(get()).toMatchObject({ seenAt: 500, writtenAfter: noBound, touchedAfter: noBound });
  });

  const passing = { checks: [{ ModifyIndex: 10 }] };
  const changes: Record<string, readonly [before: EntrySpec, after: EntrySpec, expected: object]> = {
    "stay when a check turns critical: that is no sign of life": [
      passing,
      { checks: [{ Status: "critical", ModifyIndex: 30 }] },
      { seenAt: 500, writtenAfter: 400, touchedAfter: 400 },
    ],
    "stay when a check leaves": [passing, {}, { seenAt: 500, writtenAfter: 400, touchedAfter: 400 }],
    "tell a sign of life when a check passes again, perhaps somebody else's": [
      { checks: [{ Status: "critical", ModifyIndex: 10 }] },
      { checks: [{ ModifyIndex: 30 }] },
      { seenAt: 900, writtenAfter: 400, touchedAfter: 800 },
    ],
    "tell a sign of life when a passing check says something else": [
      passing,
      { checks: [{ ModifyIndex: 30 }] },
      { seenAt: 900, writtenAfter: 400, touchedAfter: 800 },
    ],
    "begin anew when the service was written": [
      passing,
      { service: { ModifyIndex: 30 }, ...passing },
      { seenAt: 900, writtenAfter: 800, touchedAfter: 800 },
    ],
    "begin anew when the service had left and came back": [
      passing,
      { service: { CreateIndex: 30, ModifyIndex: 30 }, checks: [{ ModifyIndex: 30, Status: "critical" }] },
      { seenAt: 900, writtenAfter: 800, touchedAfter: 800 },
    ],
  };
  it.each(Object.entries(changes))("%s", (_, [before, after, expected]) => {
    const { list, timeline, get } = tableWith([400, 9]);
    list(500, before);
    const { version } = get();
    timeline.add(800, 20);
    list(900, after);
    expect(get()).toMatchObject(expected);
    expect(get().version).not.toBe(version);
  });

  it("of before a new era are not taken over, and no version recurs", () => {
    const { table, list, get } = tableWith([400, 9]);
    list(500, {});
    const old = get();
    table.beginEra(2);
    expect(table.stands(old)).toBe(false);
    list(900, {});
    expect(get().seenAt).toBe(900);
    expect(get().version).not.toBe(old.version);
  });
});

describe("the removal of an agent's entry", () => {
  it("changes with the way to the agent, and with the agent's death, under the same version", () => {
    const { table, routes, list, get } = tableWith();
    list(1, { agent: "passing" });
    const { version } = get();
    expect(get().removal).toMatchObject({ effective: "No", reason: "AgentOwned" });
    routes.route = { kind: "Open", address: { url: "http://a", isDerived: false } };
    expect([...table.reroute("n1").keys()]).toEqual([ID]);
    expect(get().removal).toEqual({ effective: "Yes" });
    routes.route = { kind: "Broken", why: "x" };
    list(2, { agent: "passing" });
    expect(get().removal).toMatchObject({ effective: "No", reason: "AgentUnreachable" });
    list(3, { agent: "critical" });
    expect(get()).toMatchObject({ removal: { effective: "Yes" }, version, seenAt: 1 });
  });
});

describe("silence", () => {
  const silent = (ModifyIndex: number): EntrySpec => ({
    agent: "passing",
    checks: [{ Type: "ttl", Status: "critical", Output: "TTL expired", ModifyIndex }],
  });
  const sourceOf = (spec: EntrySpec): string => heartbeatOf(catalogEntry(spec))?.source ?? "";

  it("lasts since the first list that told it, and begins anew with every write of the check", () => {
    const { table, list } = tableWith();
    list(500, silent(10));
    list(700, silent(10));
    expect(table.expiredSince(ID, sourceOf(silent(10)))).toBe(500);
    list(900, silent(30));
    expect(table.expiredSince(ID, sourceOf(silent(30)))).toBe(900);
    expect(table.expiredSince(ID, sourceOf(silent(10)))).toBeUndefined();
  });

  it("is broken while the agent is dead, which hears nobody", () => {
    const { table, list } = tableWith();
    list(500, silent(10));
    list(600, { ...silent(10), agent: "critical" });
    expect(table.expiredSince(ID, sourceOf(silent(10)))).toBeUndefined();
    list(700, silent(10));
    expect(table.expiredSince(ID, sourceOf(silent(10)))).toBe(700);
  });
});

describe("a version", () => {
  it("is read as it was written", () => {
    const version = {
      era: 1,
      created: 2,
      modified: 3,
      checks: [
        ["a,b", 4],
        ['"', 5],
      ] as const,
    };
    expect(parseVersion(formatVersion(version))).toEqual(version);
  });

  it.each(["", "1.2.3", "[]", "{}", "[1,2]"])("is never %j", (text) => {
    expect(() => parseVersion(text)).toThrow(TypeError);
  });
});
