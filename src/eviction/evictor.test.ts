import { beforeEach, describe, expect, test } from "vitest";

import { ApiPods } from "../../test/support/api-pods.ts";
import { ClusterViewFixture, rawPod } from "../../test/support/cluster-view-fixture.ts";
import { WatchedRegistry } from "../../test/support/memory-registry.ts";
import { MetricsReading } from "../../test/support/operator-metrics.ts";
import { RegistryError, type RegistryErrorCode } from "../registry/errors.ts";
import type { InstanceRecord, LifeReading, RegistryAdapter, WriteResult } from "../registry/port.ts";
import { createLogger } from "../telemetry/log.ts";
import { createMetrics, type Metrics } from "../telemetry/metrics.ts";
import type { Evidence, Judgement, VerdictKind } from "../verdict/types.ts";
import { type EvictionRequest, Evictor } from "./evictor.ts";

const ID = "/shop/1";
const IP = "10.42.0.7";
const never = new AbortController().signal;

let cluster: ClusterViewFixture;
let live: ApiPods;
let registry: WatchedRegistry;
let evictor: Evictor;
let metrics: Metrics;
/** What happened, in order. */
let steps: string[];
/** Replaces methods of the adapter. */
let disturbed: Partial<RegistryAdapter>;
let log: Record<string, unknown>[];

beforeEach(async () => {
  steps = [];
  disturbed = {};
  log = [];
  cluster = new ClusterViewFixture();
  live = new ApiPods();
  live.answer = () => {
    steps.push("pods");
    return Promise.resolve();
  };
  registry = new WatchedRegistry("main", cluster.clock, (plain) => ({
    read: (id, signal) => {
      steps.push("read");
      return (disturbed.read ?? plain.read)(id, signal);
    },
    readLife: (record, signal) => {
      steps.push("life");
      return (disturbed.readLife ?? plain.readLife)(record, signal);
    },
    deregister: (record, fence, signal) => {
      steps.push("deregister");
      return (disturbed.deregister ?? plain.deregister)(record, fence, signal);
    },
  }));
  metrics = createMetrics({ version: "0" });
  evictor = new Evictor({ cluster: cluster.view, live, clock: cluster.clock, metrics });
  cluster.pods.set(rawPod({ name: "owner", ips: [IP] }));
  cluster.pods.delete(rawPod({ name: "owner", ips: [IP], container: "terminated" }));
  registry.register(ID, IP, { ttlMs: 60_000 });
  await cluster.advance(10_000);
});

/** Nothing answers. */
function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
}

function listed(): InstanceRecord {
  const record = registry.view.get(ID);
  if (record === undefined) throw new Error("not listed");
  return record;
}

function evidenceOf(fields: Partial<Evidence> = {}): Evidence {
  return {
    class: "Confirmed",
    podUid: "uid-owner",
    podNamespace: "shop",
    podName: "owner",
    since: 0,
    needsConfirmRead: false,
    ...fields,
  };
}

function judgementOf(evidence: Evidence, fields: Partial<Judgement> = {}, kind: VerdictKind = "Zombie"): Judgement {
  const verdict = {
    kind,
    reason: "DeathConfirmed",
    message: "it ended",
    evidence,
    reviewAfterMs: undefined,
    needsLifeReading: false,
    needsCompleteList: false,
  };
  return { record: listed(), verdict, policy: "all", ...fields };
}

/** What is not said is as it is when nothing speaks against the eviction. */
function requestOf(fields: Partial<EvictionRequest> & { readonly proof?: Partial<Evidence> } = {}): EvictionRequest {
  const { proof, ...rest } = fields;
  const evidence = evidenceOf(proof);
  const judgement = judgementOf(evidence);
  return {
    judgement,
    evidence,
    act: "Evict",
    isAudit: false,
    adapter: registry.adapter,
    fence: {
      isValid: () => {
        steps.push("fence");
        return true;
      },
      clusterUid: "c1",
      reason: "because",
      traceId: "t1",
    },
    listed: () => registry.view.get(ID),
    rejudge: () => {
      steps.push("judge");
      return registry.view.get(ID) && judgementOf(evidence);
    },
    log: createLogger({ destination: { write: (line) => void log.push(JSON.parse(line) as Record<string, unknown>) } }),
    ...rest,
  };
}

describe("the steps of an eviction", () => {
  test("come in their order: pods, judgement, fence, write with the fence asked again, verify", async () => {
    const request = requestOf({ proof: { needsConfirmRead: true } });
    const result = await evictor.evict(request, never);
    expect(steps).toEqual(["pods", "judge", "fence", "deregister", "fence", "read"]);
    expect(result).toMatchObject({ outcome: "Evicted", restore: { id: ID }, writtenAt: cluster.now });
    expect(registry.isListed(ID)).toBe(false);
  });

  test("leave the pods out only where the evidence says so", async () => {
    await evictor.evict(requestOf(), never);
    expect(live.reads).toEqual([]);
    expect(steps).toEqual(["judge", "fence", "deregister", "fence", "read"]);
  });

  const explained = ["Confirmed", "Terminating", "Reused"] as const;
  test.each(explained)("do not ask the lease about a death that was seen: %s", async (kind) => {
    await evictor.evict(requestOf({ proof: { class: kind } }), never);
    expect(steps).not.toContain("life");
  });

  test.each(["Absent", "Unconfirmed"] as const)(
    "hear the lease last of all about one that was not: %s",
    async (kind) => {
      const readings: (LifeReading | undefined)[] = [];
      const evidence = evidenceOf({ class: kind, needsConfirmRead: true });
      const request = requestOf({
        proof: evidence,
        rejudge: (reading) => {
          steps.push("judge");
          readings.push(reading);
          return judgementOf(evidence);
        },
      });
      expect(await evictor.evict(request, never)).toMatchObject({ outcome: "Evicted" });
      expect(steps).toEqual(["pods", "life", "judge", "fence", "deregister", "fence", "read"]);
      expect(readings).toMatchObject([{ kind: "Lease", grantedMs: 60_000, remainingMs: 50_000 }]);
    },
  );

  test("have no lease to hear where there is none", async () => {
    registry.register(ID, IP);
    await cluster.advance(0);
    await evictor.evict(requestOf({ proof: { class: "Absent", needsConfirmRead: true } }), never);
    expect(steps).not.toContain("life");
  });

  test("are written to the log, the version and what restores it included", async () => {
    const { version } = listed();
    await evictor.evict(requestOf(), never);
    expect(log).toMatchObject([
      { step: "confirm", pods: "not needed" },
      { step: "write", version },
    ]);
  });

  test("are timed, each that was begun", async () => {
    live.answer = () => cluster.clock.sleep(300);
    disturbed.deregister = async () => {
      await cluster.clock.sleep(200);
      const restore = { registry: "main", id: ID, format: "Memory", value: "", encoding: "utf8", ttlMs: 0 } as const;
      return { outcome: "Done", restore };
    };
    disturbed.read = async () => {
      await cluster.clock.sleep(100);
      return undefined;
    };
    const evicted = evictor.evict(requestOf({ proof: { needsConfirmRead: true } }), never);
    await cluster.advance(300);
    await cluster.advance(200);
    await cluster.advance(100);
    expect(await evicted).toMatchObject({ outcome: "Evicted" });
    const refused = requestOf({ rejudge: () => undefined });
    expect(await evictor.evict(refused, never)).toMatchObject({ outcome: "NotConfirmed" });
    const reading = new MetricsReading(await metrics.render(), 0);
    const times = (step: string): number[] =>
      ["sum", "count"].map((part) =>
        reading.sum(`hygeia_eviction_step_duration_seconds_${part}`, { registry: "main", step }),
      );
    expect(Object.fromEntries(["Confirm", "Write", "Verify"].map((step) => [step, times(step)]))).toEqual({
      Confirm: [0.3, 2],
      Write: [0.2, 1],
      Verify: [0.1, 1],
    });
  });
});

describe("nothing is written", () => {
  async function expectUntouched(request: EvictionRequest, outcome: string, message: RegExp): Promise<void> {
    expect(await evictor.evict(request, never)).toEqual({ outcome, message: expect.stringMatching(message) as string });
    expect(registry.isListed(ID)).toBe(true);
    expect([...registry.server.undoRecords]).toEqual([]);
  }

  test("when a pod holds the address that was not in the view", async () => {
    live.set(cluster.projector.project(rawPod({ name: "newborn", ips: [IP] })));
    const request = requestOf({ proof: { needsConfirmRead: true } });
    await expectUntouched(request, "NotConfirmed", /newborn holds/);
    expect(steps).toEqual(["pods"]);
  });

  const rejudged: Readonly<
    Record<string, [change: Partial<Judgement> | undefined, message: RegExp, kind?: VerdictKind]>
  > = {
    "when the record left meanwhile": [undefined, /left, or is no policy's/],
    "when another policy is in charge by now": [{ policy: "other" }, /policy other is in charge/],
    "when no policy is in charge by now": [{ policy: undefined }, /in charge of the record by now/],
    "when the verdict is another by now": [{}, /judged again: Live/, "Live"],
  };
  test.each(Object.entries(rejudged))("%s", async (_, [change, message, kind]) => {
    const evidence = evidenceOf();
    const rejudge = () => change && judgementOf(evidence, change, kind);
    await expectUntouched(requestOf({ rejudge }), "NotConfirmed", message);
    expect(steps).toEqual([]);
  });

  test("when the record was written again meanwhile, as it is listed now", async () => {
    const request = requestOf();
    registry.server.rewrite(ID);
    await cluster.advance(0);
    await expectUntouched(request, "NotConfirmed", /was written while it was being confirmed/);
  });

  const weaker: Readonly<Record<string, Partial<Evidence>>> = {
    "when it rests on other evidence by now": { class: "Unconfirmed" },
    "when it needs a look at the pods by now, which was left out": { needsConfirmRead: true },
  };
  test.each(Object.entries(weaker))("%s", async (_, proof) => {
    await expectUntouched(requestOf({ rejudge: () => judgementOf(evidenceOf(proof)) }), "NotConfirmed", /judged again/);
  });

  test("when the fence is closed, and the registry is not even asked", async () => {
    const fence = { ...requestOf().fence, isValid: () => false };
    await expectUntouched(requestOf({ fence }), "Fenced", /no longer be the leader/);
    expect(steps).not.toContain("deregister");
  });

  test("when the fence closes while the adapter prepares", async () => {
    let asked = 0;
    const fence = { ...requestOf().fence, isValid: () => ++asked === 1 };
    await expectUntouched(requestOf({ fence }), "Fenced", /no longer be the leader/);
    expect(asked).toBe(2);
  });

  describe("a registry that takes its time before it writes", () => {
    /** It asks the fence so late. */
    function slowAdapter(ms: number, exactGuard: boolean): RegistryAdapter {
      return {
        ...registry.adapter,
        capabilities: { ...registry.adapter.capabilities, exactGuard },
        deregister: async (record, fence, signal) => {
          await cluster.advance(ms);
          return await registry.adapter.deregister(record, fence, signal);
        },
      };
    }

    test("when its guard is not exact: the last look has got old", async () => {
      await expectUntouched(requestOf({ adapter: slowAdapter(2_000, false) }), "Fenced", /last look got old/);
    });

    test.each([
      [2_000, false, "Fenced"],
      [1_999, false, "Evicted"],
      [2_000, true, "Evicted"],
    ])("and to say whether the registrant lives: %d ms with exactGuard %s is %s", async (ms, exactGuard, outcome) => {
      disturbed.readLife = async () => {
        await cluster.advance(ms);
        return { kind: "None" };
      };
      const proof = { class: "Absent", needsConfirmRead: true } as const;
      const result = await evictor.evict(requestOf({ adapter: slowAdapter(0, exactGuard), proof }), never);
      expect(result).toMatchObject({ outcome });
    });

    test.each([
      [1_999, false],
      [2_000, true],
    ])("but not after %d ms with exactGuard %s", async (ms, exactGuard) => {
      const result = await evictor.evict(requestOf({ adapter: slowAdapter(ms, exactGuard) }), never);
      expect(result).toMatchObject({ outcome: "Evicted" });
    });
  });

  test("when the registry has another version than every view, and when it has none", async () => {
    const rewrite = (): Promise<WriteResult> => Promise.resolve({ outcome: "Changed" });
    disturbed.deregister = rewrite;
    await expectUntouched(requestOf(), "Changed", /was written after it was judged/);
    disturbed.deregister = () => Promise.resolve({ outcome: "Gone" });
    await expectUntouched(requestOf(), "Gone", /left by itself/);
  });

  test("when the look at the pods fails, is cut short, or takes too long", async () => {
    registry.register(ID, IP);
    await cluster.advance(0);
    const request = requestOf({ proof: { needsConfirmRead: true } });
    live.answer = () => Promise.reject(new Error("503"));
    await expect(evictor.evict(request, never)).rejects.toThrow("503");

    live.answer = untilAborted;
    const abort = new AbortController();
    const aborted = evictor.evict(request, abort.signal);
    abort.abort(new Error("enough"));
    await expect(aborted).rejects.toThrow("enough");

    const late = expect(evictor.evict(request, never)).rejects.toMatchObject({ code: "DeadlineExceeded" });
    await cluster.advance(65_000);
    await late;
    expect(registry.isListed(ID)).toBe(true);
    expect(steps).not.toContain("deregister");
  });

  test("when a registry that hears the registrant says no more that it is silent", async () => {
    // As an adapter lists what has no TTL that it knows of.
    const heard = { ...listed(), ttlMs: 0, isHeard: true };
    const proof = evidenceOf({ class: "Absent" });
    const isSilent = (reading: LifeReading | undefined): boolean =>
      reading?.kind === "Heartbeat" && reading.silentSince !== undefined;
    const request = requestOf({
      judgement: { ...judgementOf(proof), record: heard },
      evidence: proof,
      rejudge: (reading) => ({
        ...judgementOf(proof, {}, isSilent(reading) ? "Zombie" : "Suspect"),
        record: heard,
      }),
    });
    const said = (silentSince: number | undefined) => (): Promise<LifeReading> =>
      Promise.resolve({ kind: "Heartbeat", source: "a", grantedMs: 0, silentSince, startedAt: 0, endedAt: 0 });
    disturbed.readLife = said(undefined);
    expect(await evictor.evict(request, never)).toMatchObject({ outcome: "NotConfirmed" });
    expect(steps).toEqual(["life"]);
    disturbed.readLife = said(0);
    expect(await evictor.evict(request, never)).not.toMatchObject({ outcome: "NotConfirmed" });
    expect(steps).toContain("deregister");
  });

  test("when the lease can not be read", async () => {
    disturbed.readLife = () => Promise.reject(new RegistryError("TimedOut", "no answer"));
    await expect(evictor.evict(requestOf({ proof: { class: "Absent" } }), never)).rejects.toThrow("no answer");
    expect(steps).toEqual(["life"]);
  });

  test("by a registry that has no quarantine", async () => {
    await expect(evictor.evict(requestOf({ act: "Quarantine" }), never)).rejects.toThrow(TypeError);
    expect(registry.isListed(ID)).toBe(true);
  });
});

describe("a write that the registry does not acknowledge", () => {
  const fate: Readonly<Record<RegistryErrorCode, "Refused" | "Unsettled">> = {
    Unauthenticated: "Refused",
    PermissionDenied: "Refused",
    NoSpace: "Refused",
    FilteredByACLs: "Unsettled",
    SplitView: "Unsettled",
    LeaseNotFound: "Refused",
    Unreachable: "Unsettled",
    TimedOut: "Unsettled",
    NoLeader: "Unsettled",
    TLSFailed: "Unsettled",
    Compacted: "Unsettled",
    TooLarge: "Unsettled",
    RequestTooLong: "Refused",
    WentBack: "Unsettled",
    ClusterChanged: "Unsettled",
    NotUnderstood: "Unsettled",
  };
  test.each(Object.entries(fate) as [RegistryErrorCode, string][])("%s: %s", async (code, expected) => {
    const error = new RegistryError(code, "no");
    disturbed.deregister = () => Promise.reject(error);
    if (expected === "Refused") await expect(evictor.evict(requestOf(), never)).rejects.toBe(error);
    else expect(await evictor.evict(requestOf(), never)).toMatchObject({ outcome: "Unsettled", error });
  });

  test("is unsettled when the process is told to stop in the middle", async () => {
    const abort = new AbortController();
    disturbed.deregister = (_record, _fence, signal) => {
      abort.abort(new Error("stopping"));
      return Promise.reject(signal.reason as Error);
    };
    expect(await evictor.evict(requestOf(), abort.signal)).toMatchObject({
      outcome: "Unsettled",
      message: "the answer to the write is lost: stopping",
    });
  });

  /** Evicts, does `meanwhile` in the place of the lost request, and lets the view see it. */
  async function loseAnswer(meanwhile: (request: EvictionRequest) => unknown): Promise<EvictionRequest> {
    const request = requestOf();
    disturbed.deregister = async () => {
      delete disturbed.deregister;
      await meanwhile(request);
      throw new RegistryError("TimedOut", "no answer in time");
    };
    expect(await evictor.evict(request, never)).toMatchObject({ outcome: "Unsettled" });
    await cluster.advance(0);
    steps = [];
    return request;
  }

  const doIt = ({ adapter, judgement, fence }: EvictionRequest): unknown =>
    adapter.deregister(judgement.record, fence, never);

  test("is found done later, with what restores it", async () => {
    const request = await loseAnswer(doIt);
    expect(await evictor.settle(request, never)).toMatchObject({ outcome: "Evicted", restore: { id: ID } });
    expect(steps).toEqual(["fence", "deregister", "fence", "read"]);
  });

  test("is found done although somebody has registered again since, who is left alone", async () => {
    const request = await loseAnswer(async (it) => {
      await doIt(it);
      registry.register(ID, IP);
    });
    expect(await evictor.settle(request, never)).toMatchObject({ outcome: "Resurrected" });
    expect(registry.isListed(ID)).toBe(true);
  });

  test("is not claimed when the record left by itself, or was written by somebody else", async () => {
    const left = await loseAnswer(() => registry.server.remove(ID));
    expect(await evictor.settle(left, never)).toMatchObject({ outcome: "Gone" });
    registry.register(ID, IP);
    await cluster.advance(0);
    const changed = await loseAnswer(() => registry.server.rewrite(ID));
    expect(await evictor.settle(changed, never)).toMatchObject({ outcome: "Changed" });
    expect(registry.isListed(ID)).toBe(true);
  });

  test("is never asked for again while the record is listed as it was: that needs a new look first", async () => {
    const request = await loseAnswer(() => undefined);
    await expect(evictor.settle(request, never)).rejects.toThrow(TypeError);
    expect(registry.isListed(ID)).toBe(true);
    expect(steps).toEqual([]);
  });

  test("is found done by the next eviction of the same decision while the view is behind", async () => {
    const behind = listed();
    const request = await loseAnswer(doIt);
    const again = { ...request, listed: () => behind, rejudge: () => request.judgement };
    expect(await evictor.evict(again, never)).toMatchObject({ outcome: "Evicted" });
  });
});

describe("the read after the write", () => {
  test("that fails or takes too long leaves the registry's word", async () => {
    disturbed.read = () => Promise.reject(new RegistryError("Unreachable", "gone"));
    expect(await evictor.evict(requestOf(), never)).toMatchObject({
      outcome: "NotVerified",
      message: "the read after the write failed: gone",
      writtenAt: cluster.now,
    });
    registry.register(ID, IP);
    await cluster.advance(0);
    disturbed.read = (_id, signal) => untilAborted(signal);
    const evicting = evictor.evict(requestOf(), never);
    await cluster.advance(5_000);
    expect(await evicting).toMatchObject({ outcome: "NotVerified" });
  });

  test("that finds another version means that somebody wants it", async () => {
    disturbed.deregister = async (record, fence, signal) => {
      delete disturbed.deregister;
      const result = await registry.adapter.deregister(record, fence, signal);
      registry.register(ID, IP);
      return result;
    };
    expect(await evictor.evict(requestOf(), never)).toMatchObject({ outcome: "Resurrected" });
  });

  test("that finds the same version means that the write had no effect", async () => {
    const record = listed();
    disturbed.read = () => Promise.resolve(record);
    expect(await evictor.evict(requestOf(), never)).toMatchObject({ outcome: "NotVerified" });
  });
});

describe("quarantine", () => {
  async function quarantine(later: Partial<InstanceRecord> | undefined): Promise<unknown> {
    const record = listed();
    const restore = { registry: "main", id: ID, format: "Memory", value: "", encoding: "utf8", ttlMs: 0 } as const;
    const adapter: RegistryAdapter = {
      ...registry.adapter,
      quarantine: () => {
        steps.push("quarantine");
        return Promise.resolve({ outcome: "Done", restore });
      },
      read: () => Promise.resolve(later && { ...record, version: "later", ...later }),
    };
    const { outcome } = await evictor.evict(requestOf({ act: "Quarantine", adapter }), never);
    expect(steps).toEqual(["judge", "fence", "quarantine"]);
    expect(registry.isListed(ID)).toBe(true);
    return outcome;
  }

  test("is verified by the mark", async () => {
    expect(await quarantine({ quarantined: true })).toBe("Quarantined");
  });

  test("is undone by somebody when the mark is missing", async () => {
    expect(await quarantine({ quarantined: false })).toBe("Resurrected");
  });

  test("stays done when the entry has left since", async () => {
    expect(await quarantine(undefined)).toBe("Quarantined");
  });

  const settled: Readonly<Record<string, [later: Partial<InstanceRecord>, outcome: string]>> = {
    "whose answer got lost was done when the record is out of rotation since": [{ quarantined: true }, "Quarantined"],
    "whose answer got lost was not done when somebody else changed the record": [{ quarantined: false }, "Changed"],
  };
  for (const [sentence, [later, outcome]] of Object.entries(settled)) {
    test(sentence, async () => {
      disturbed.read = () => Promise.resolve({ ...listed(), ...later });
      const adapter: RegistryAdapter = {
        ...registry.adapter,
        quarantine: () => Promise.resolve({ outcome: "Changed" } as const),
      };
      const now = { ...listed(), version: "another" };
      const result = await evictor.settle(requestOf({ act: "Quarantine", adapter, listed: () => now }), never);
      expect(result.outcome).toBe(outcome);
    });
  }

  test("leaves nothing to restore: it is registered still", async () => {
    const restore = { registry: "main", id: ID, format: "f", value: "v", encoding: "utf8", ttlMs: 0 } as const;
    disturbed.read = () => Promise.resolve({ ...listed(), quarantined: true });
    const adapter: RegistryAdapter = {
      ...registry.adapter,
      quarantine: () => Promise.resolve({ outcome: "Done", restore } as const),
    };
    expect(await evictor.evict(requestOf({ act: "Quarantine", adapter }), never)).toMatchObject({
      outcome: "Quarantined",
      restore: undefined,
    });
  });
});
