import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { makeEndpoint } from "./endpoint.ts";
import type { Endpoint, InstanceRecord, RegistryFreshness } from "./port.ts";
import { RegistryView, type ViewChange } from "./view.ts";

function at(host: string, port = 80): Endpoint {
  const endpoint = makeEndpoint(host, String(port));
  if (endpoint === undefined) throw new Error(`${host} is no host`);
  return endpoint;
}

function record(overrides: Partial<InstanceRecord> = {}): InstanceRecord {
  return Object.freeze<InstanceRecord>({
    registry: "r",
    id: "a",
    service: "web",
    instance: "1",
    endpoints: [at("10.0.0.1")],
    format: "Kratos",
    metadata: {},
    version: "1",
    seenAt: 100,
    writtenAfter: Number.NEGATIVE_INFINITY,
    touchedAfter: Number.NEGATIVE_INFINITY,
    ttlMs: 15_000,
    managedBy: undefined,
    quarantined: false,
    removal: { effective: "Yes" },
    ...overrides,
  });
}

function viewWith(...records: InstanceRecord[]): { view: RegistryView; changes: ViewChange[] } {
  const view = new RegistryView("r");
  const changes: ViewChange[] = [];
  view.snapshot(records);
  view.subscribe((change) => changes.push(change));
  return { view, changes };
}

const ids = (records: Iterable<InstanceRecord>): string[] => [...records].map(({ id }) => id).sort();

describe("RegistryView", () => {
  it("finds records by id, by each of their hosts and by service", () => {
    const both = record({ id: "b", service: "api", endpoints: [at("10.0.0.1"), at("fd00::1")] });
    const { view } = viewWith(record(), both);
    expect(view.get("b")).toBe(both);
    expect(ids(view.byHost("10.0.0.1"))).toEqual(["a", "b"]);
    expect(ids(view.byHost("fd00::1"))).toEqual(["b"]);
    expect(ids(view.byService("api"))).toEqual(["b"]);
    expect([...view.services()].sort()).toEqual(["api", "web"]);
    expect(view.size).toBe(2);
  });

  it("forgets the host and service that a record had before", () => {
    const { view } = viewWith(record());
    view.change([record({ version: "2", service: "api", endpoints: [at("10.0.0.2")] })], []);
    expect(view.byHost("10.0.0.1")).toEqual([]);
    expect(view.byService("web")).toEqual([]);
    expect([...view.services()]).toEqual(["api"]);
    expect(ids(view.byHost("10.0.0.2"))).toEqual(["a"]);
  });

  it("tells what was upserted in place of what, and what left", () => {
    const before = record();
    const { view, changes } = viewWith(before, record({ id: "b" }));
    const after = record({ version: "2" });
    view.change([after], ["b", "unknown"]);
    expect(changes).toEqual([
      { upserted: [{ record: after, previous: before }], removed: [record({ id: "b" })], whole: false },
    ]);
  });

  it("says of the first snapshot that it is whole, even when it is empty", () => {
    const view = new RegistryView("r");
    const changes: ViewChange[] = [];
    view.subscribe((change) => changes.push(change));
    view.snapshot([]);
    view.snapshot([record()]);
    expect(changes.map(({ whole }) => whole)).toEqual([true, false]);
  });

  it("tells only the differences of a later snapshot", () => {
    const { view, changes } = viewWith(record(), record({ id: "b" }), record({ id: "c" }));
    view.snapshot([record({ seenAt: 900 }), record({ id: "b", version: "2" }), record({ id: "d" })]);
    expect(changes).toHaveLength(1);
    expect(ids(changes[0]?.upserted.map((upsert) => upsert.record) ?? [])).toEqual(["b", "d"]);
    expect(ids(changes[0]?.removed ?? [])).toEqual(["c"]);
  });

  it("says nothing of a snapshot that changes nothing", () => {
    const { view, changes } = viewWith(record());
    view.snapshot([record({ seenAt: 900 })]);
    expect(changes).toEqual([]);
  });

  it("keeps the bounds of a record whose version did not change", () => {
    const { view } = viewWith(record({ seenAt: 100, writtenAfter: 50, touchedAfter: 50 }));
    view.snapshot([record({ seenAt: 900 })]);
    expect(view.get("a")).toMatchObject({ seenAt: 100, writtenAfter: 50, touchedAfter: 50 });
  });

  it("tightens the bounds of a record whose version did not change", () => {
    const { view } = viewWith(record({ seenAt: 900 }));
    view.snapshot([record({ seenAt: 100, writtenAfter: 50 })]);
    expect(view.get("a")).toMatchObject({ seenAt: 100, writtenAfter: 50 });
  });

  it("takes the bounds of a new version as they are", () => {
    const { view } = viewWith(record({ seenAt: 100, writtenAfter: 50 }));
    view.snapshot([record({ version: "2", seenAt: 900 })]);
    expect(view.get("a")).toMatchObject({ seenAt: 900, writtenAfter: Number.NEGATIVE_INFINITY });
  });

  it("takes in what changed without a new version, and keeps the bounds", () => {
    const { view, changes } = viewWith(record());
    view.change([record({ ttlMs: 900_000, seenAt: 500 })], []);
    expect(view.get("a")).toMatchObject({ ttlMs: 900_000, seenAt: 100 });
    expect(changes).toHaveLength(1);
  });

  it("holds what the last calls said, whatever their order", () => {
    const host = fc.constantFrom("10.0.0.1", "10.0.0.2", "10.0.0.3");
    const some = fc.record({
      id: fc.constantFrom("a", "b", "c", "d"),
      service: fc.constantFrom("web", "api"),
      version: fc.constantFrom("1", "2", "3"),
      hosts: fc.array(host, { minLength: 1, maxLength: 3 }),
    });
    const made = some.map(({ hosts, ...rest }) => record({ ...rest, endpoints: hosts.map((name) => at(name)) }));
    const step = fc.oneof(
      fc.array(made).map((records) => ({ kind: "snapshot" as const, records })),
      fc
        .tuple(fc.array(made), fc.array(fc.constantFrom("a", "b", "c")))
        .map(([records, gone]) => ({ kind: "change" as const, records, gone })),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const view = new RegistryView("r");
        const mirror = new Map<string, InstanceRecord>();
        view.subscribe(({ upserted, removed }) => {
          for (const { record: upsert, previous } of upserted) {
            expect(mirror.get(upsert.id)).toBe(previous);
            mirror.set(upsert.id, upsert);
          }
          for (const gone of removed) {
            expect(mirror.get(gone.id)).toBe(gone);
            mirror.delete(gone.id);
          }
        });
        for (const now of steps) {
          if (now.kind === "snapshot") view.snapshot(now.records);
          else view.change(now.records, now.gone);
          expect([...view.values()]).toEqual([...mirror.values()]);
          for (const name of ["10.0.0.1", "10.0.0.2", "10.0.0.3"]) {
            const expected = [...mirror.values()].filter(({ endpoints }) => endpoints.some((one) => one.host === name));
            expect(ids(view.byHost(name))).toEqual(ids(expected));
          }
          for (const service of ["web", "api"]) {
            expect(ids(view.byService(service))).toEqual(
              ids([...mirror.values()].filter((one) => one.service === service)),
            );
          }
        }
      }),
    );
  });

  const fresh: RegistryFreshness = {
    synced: true,
    caughtUpTo: 10,
    problem: undefined,
    mode: "Normal",
    serverVersion: "3.6.8",
    clusterId: "1",
  };

  it("tells of a change of freshness, and not of each canary", () => {
    const view = new RegistryView("r");
    let told = 0;
    const stop = view.subscribeState(() => told++);
    view.freshness(fresh);
    view.freshness({ ...fresh, caughtUpTo: 20 });
    expect(told).toBe(1);
    view.freshness({ ...fresh, problem: { reason: "Unreachable", message: "" } });
    expect(told).toBe(2);
    expect(view.freshness().problem?.reason).toBe("Unreachable");
    stop();
    view.freshness(fresh);
    expect(told).toBe(2);
  });

  it("keeps the totals of what was ignored", () => {
    const view = new RegistryView("r");
    view.ignored({ TooLarge: 2 });
    expect(view.ignoredTotals).toEqual({ TooLarge: 2 });
  });
});
