import { beforeEach, describe, expect, test } from "vitest";

import { ManualClock } from "../../../test/support/manual-clock.ts";
import { register } from "../../../test/support/memory-registry.ts";
import { MemoryRegistry } from "./registry.ts";

const IP = "10.42.0.7";
let clock: ManualClock;
let server: MemoryRegistry;

beforeEach(() => {
  clock = new ManualClock();
  server = new MemoryRegistry(clock, { quarantine: true });
  register(server, "a", IP);
  server.setQuarantined("a", true);
});

const isOut = (id: string): boolean | undefined => server.get(id)?.quarantined;

describe("what is out of rotation", () => {
  test("moves its revision, and not that of its registrant's write", () => {
    const before = server.get("a");
    server.setQuarantined("a", false);
    expect(server.get("a")).toMatchObject({ quarantined: false, writtenAt: before?.writtenAt });
    expect(server.get("a")?.revision).toBeGreaterThan(before?.revision ?? Infinity);
  });

  test("stays so when it is written again, by the same process or another", () => {
    server.rewrite("a");
    expect(isOut("a")).toBe(true);
    register(server, "a", IP);
    expect(isOut("a")).toBe(true);
  });

  test("is all of a service at an address", () => {
    register(server, "b", IP);
    register(server, "other service", IP, { service: "cart" });
    register(server, "other port", IP, { port: 81 });
    expect(["b", "other service", "other port"].map(isOut)).toEqual([true, false, false]);
    server.setQuarantined("b", false);
    expect(["a", "b"].map(isOut)).toEqual([false, false]);
  });

  test("is what registers at the address within a minute after it left, for good", async () => {
    server.remove("a");
    await clock.advance(59_999);
    register(server, "b", IP);
    expect(isOut("b")).toBe(true);
    await clock.advance(120_000);
    server.rewrite("b");
    expect(isOut("b")).toBe(true);
  });

  test("is not what registers at the address later", async () => {
    server.remove("a");
    await clock.advance(60_000);
    register(server, "b", IP);
    expect(isOut("b")).toBe(false);
  });

  test("is forgotten by a restart, which keeps the entries, and by a loss of all data", () => {
    server.restart();
    expect(isOut("a")).toBe(false);
    server.setQuarantined("a", true);
    server.wipe();
    register(server, "a", IP);
    expect(isOut("a")).toBe(false);
  });
});

test("what hangs on a connection is not removed by a delete that is answered", () => {
  register(server, "held", "10.42.0.8", { removable: "No" });
  expect(server.removeIf("held", server.get("held")?.revision ?? 0, "undo", "{}")).toBe(true);
  expect(server.get("held")).toBeDefined();
  server.remove("held");
  expect(server.get("held")).toBeUndefined();
});
