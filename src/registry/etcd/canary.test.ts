import { describe, expect, it } from "vitest";

import { ManualClock } from "../../../test/support/manual-clock.ts";
import { RegistryError } from "../errors.ts";
import { Canary } from "./canary.ts";

const header = (revision: number, cluster = "1"): Parameters<Canary["observe"]>[0] => ({
  cluster_id: cluster,
  member_id: "1",
  revision: String(revision),
  raft_term: "2",
});

function knowing(revision: number): Canary {
  const canary = new Canary({
    key: Buffer.from("canary"),
    holder: "h",
    timeoutMs: 1_000,
    clock: new ManualClock(),
    random: () => 0.5,
  });
  canary.observe(header(revision), 0);
  canary.restart();
  return canary;
}

function codeOf(act: () => void): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return error instanceof RegistryError ? error.code : "other";
  }
}

describe("Canary", () => {
  it("takes a smaller revision than one known before the request for a step back", () => {
    const canary = knowing(100);
    expect(codeOf(() => canary.observe(header(99), canary.highest))).toBe("WentBack");
    expect(canary.isContinuous).toBe(false);
  });

  it("measures by the new data from then on", () => {
    const canary = knowing(100);
    codeOf(() => canary.observe(header(5), canary.highest));
    canary.restart();
    expect(codeOf(() => canary.observe(header(6), canary.highest))).toBeUndefined();
    expect(canary.isContinuous).toBe(true);
  });

  it("is not misled by an answer that events have overtaken", () => {
    const canary = knowing(100);
    const floor = canary.highest;
    canary.sawRevision(105);
    expect(codeOf(() => canary.observe(header(102), floor))).toBeUndefined();
    expect(canary.highest).toBe(105);
  });

  it("allows an answer at the revision that was known", () => {
    const canary = knowing(100);
    expect(codeOf(() => canary.observe(header(100), canary.highest))).toBeUndefined();
  });

  it("notices another cluster, though its revision is larger", () => {
    const canary = knowing(100);
    expect(codeOf(() => canary.observe(header(200, "2"), canary.highest))).toBe("ClusterChanged");
    expect(canary.isContinuous).toBe(false);
    expect(canary.clusterId).toBe("2");
  });
});
