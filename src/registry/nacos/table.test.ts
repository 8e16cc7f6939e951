import { beforeEach, describe, expect, it } from "vitest";

import type { InstanceRecord } from "../port.ts";
import type { NacosInstance } from "./model.ts";
import { InstanceTable } from "./table.ts";

const HTTP = "10.1.0.1:80#true";
const GRPC = "1795698626258_127.0.0.1_49120";
const ID = "public/DEFAULT_GROUP/web/DEFAULT/10.1.0.1/80";

const instance: NacosInstance = {
  group: "DEFAULT_GROUP",
  service: "web",
  cluster: "DEFAULT",
  ip: "10.1.0.1",
  port: 80,
  weight: 1,
  healthy: true,
  enabled: true,
  ephemeral: true,
  metadata: { a: "b" },
  beatTimeout: 15_000,
  deleteTimeout: 30_000,
};

let table: InstanceTable;
let now: number;

beforeEach(() => {
  table = new InstanceTable({ name: "nacos", scope: { namespace: "public", groups: [], servicePrefixes: [] } });
  now = 0;
});

/** Takes in a list of this one instance, ten milliseconds later each time. */
function list(changes: Partial<NacosInstance> = {}, ids: readonly string[] = [HTTP], stamp?: number): InstanceRecord {
  now += 10;
  const listed = { instance: { ...instance, ...changes }, writers: { ids, stamp }, writersKnownAt: now - 10 };
  const listedBefore = now === 10 ? Number.NEGATIVE_INFINITY : now - 10;
  table.replace([listed], { startedAt: now - 1, now, listedBefore });
  const [record] = table.records();
  if (record === undefined) throw new Error("not listed");
  return record;
}

function leave(): void {
  now += 10;
  table.replace([], { startedAt: now - 1, now, listedBefore: now - 10 });
}

describe("a record", () => {
  it("is the same object while nothing changes", () => {
    expect(list()).toBe(list());
  });

  it("has no lower bound when it was there before, and the last list's when it was not", () => {
    expect(list()).toMatchObject({ id: ID, seenAt: 10, writtenAfter: Number.NEGATIVE_INFINITY, ttlMs: 30_000 });
    leave();
    expect(list()).toMatchObject({ seenAt: 30, writtenAfter: 20, touchedAfter: 20 });
  });

  it("is another version when the same comes again after it had left", () => {
    const { version } = list();
    leave();
    expect(list().version).not.toBe(version);
  });

  it("is another version, and begun anew, when somebody else registers the same", () => {
    const { version } = list();
    const another = list({}, [GRPC]);
    expect(another).toMatchObject({ seenAt: 20, writtenAfter: 10, format: "GRPC", ttlMs: 0 });
    expect(another.version).not.toBe(version);
  });

  it("is another version, and begun anew, when the same is registered persistently again", () => {
    const { version } = list({ ephemeral: false }, ["10.1.0.1:80#false"], 1);
    const again = list({ ephemeral: false }, ["10.1.0.1:80#false"], 2);
    expect(again).toMatchObject({ seenAt: 20, writtenAfter: 10, removal: { effective: "Yes" } });
    expect(again.version).not.toBe(version);
  });

  it("is touched, and not begun anew, when its own connection writes other metadata", () => {
    list({}, [GRPC]);
    expect(list({ metadata: {} }, [GRPC])).toMatchObject({ seenAt: 10, touchedAfter: 10 });
  });

  it("is begun anew when other metadata come over HTTP: it may be another process", () => {
    list();
    expect(list({ metadata: {} })).toMatchObject({ seenAt: 20, writtenAfter: 10, touchedAfter: 10 });
  });

  it("is another version, untouched, when it is taken out of rotation", () => {
    const { version } = list();
    const quarantined = list({ enabled: false });
    expect(quarantined).toMatchObject({ quarantined: true, seenAt: 10, touchedAfter: Number.NEGATIVE_INFINITY });
    expect(quarantined.version).not.toBe(version);
  });

  it("is touched when a missed heartbeat comes after all, and not when it is missed", () => {
    const { version } = list();
    expect(list({ healthy: false })).toMatchObject({ version, touchedAfter: Number.NEGATIVE_INFINITY });
    expect(list()).toMatchObject({ version, touchedAfter: 20 });
  });

  it("of another era is no version of this one", () => {
    const record = list();
    expect(table.stands(record)).toBe(true);
    table.beginEra();
    expect(table.stands(record)).toBe(false);
    expect(list().version).not.toBe(record.version);
  });
});

describe("a heartbeat", () => {
  const writers = { ids: [HTTP], stamp: undefined };

  it("is missed since the first list that says so without a break", () => {
    list();
    expect(table.unhealthySince(ID, writers)).toBeUndefined();
    list({ healthy: false });
    list({ healthy: false });
    expect(table.unhealthySince(ID, writers)).toBe(20);
    list();
    list({ healthy: false });
    expect(table.unhealthySince(ID, writers)).toBe(50);
  });

  it("is nothing that a gRPC connection has", () => {
    list({ healthy: false }, [GRPC]);
    expect(table.unhealthySince(ID, { ids: [GRPC], stamp: undefined })).toBeUndefined();
  });
});

describe("what we removed", () => {
  it("does not come back by a list that was begun before", () => {
    const record = list();
    expect(table.removedByUs(record, 100)).toBe(true);
    const listed = { instance, writers: { ids: [HTTP], stamp: undefined }, writersKnownAt: 0 };
    expect(table.replace([listed], { startedAt: 99, now: 110, listedBefore: 0 }).size).toBe(0);
    expect(table.replace([listed], { startedAt: 101, now: 120, listedBefore: 0 }).size).toBe(1);
  });

  it("is only the version we removed", () => {
    const record = list();
    list({ metadata: {} });
    expect(table.removedByUs(record, 100)).toBe(false);
  });
});

describe("the scope", () => {
  it("names groups and beginnings of names", () => {
    const scope = { namespace: "public", groups: ["shop"], servicePrefixes: ["web"] };
    const narrow = new InstanceTable({ name: "nacos", scope });
    expect(narrow.isOfInterest({ group: "shop", service: "website" })).toBe(true);
    expect(narrow.isOfInterest({ group: "shop", service: "api" })).toBe(false);
    expect(narrow.isOfInterest({ group: "DEFAULT_GROUP", service: "web" })).toBe(false);
  });
});
