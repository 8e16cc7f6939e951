import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";

import { systemClock } from "../../src/clock/system.ts";
import { KubeError } from "../../src/kube/http-errors.ts";
import { KubeTransport, loadKubeConfig } from "../../src/kube/transport.ts";
import { KubeClient } from "../support/kube-client.ts";
import type { KubeObject } from "../support/kube-client.ts";
import { Candidate, pass, quiet } from "./kube-election-harness.ts";

type Lease = KubeObject & {
  spec: {
    holderIdentity: string;
    leaseDurationSeconds: number;
    acquireTime: string;
    renewTime: string;
    leaseTransitions: number;
  };
};

const leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
let kube: KubeClient;
let transport: KubeTransport;
let name: string;
const candidates: Candidate[] = [];

beforeAll(async () => {
  const env = inject("env");
  kube = new KubeClient({ url: env.kubeUrl, caFile: env.kubeCaFile, token: env.kubeToken });
  transport = new KubeTransport({ config: await loadKubeConfig(env.kubeconfig), clock: systemClock });
});

afterAll(async () => {
  await transport.close();
  await kube.close();
});

beforeEach(() => {
  name = `election-${randomUUID()}`;
});

afterEach(async () => {
  for (const candidate of candidates) {
    candidate.weather = (_call, send) => send();
    candidate.abort();
  }
  await quiet(candidates);
  await Promise.all(candidates.splice(0).map((candidate) => candidate.ended()));
  await kube.delete(`${leases}/${name}`);
});

/** A candidate that has made its first attempt. */
async function join(identity: string): Promise<Candidate> {
  const candidate = new Candidate(transport, { namespace: "default", name }, identity);
  candidates.push(candidate);
  await quiet([candidate]);
  return candidate;
}

const stored = (): Promise<Lease> => kube.get<Lease>(`${leases}/${name}`);

async function overwrite(change: (lease: Lease) => object): Promise<void> {
  const lease = await stored();
  await kube.replace(`${leases}/${name}`, { ...lease, ...change(lease) });
}

const cut = (): Promise<never> => Promise.reject(new KubeError("ConnectionLost", "the line is cut"));

describe("the first candidate", () => {
  test("leads at once, and its lease says so in the API server's terms", async () => {
    const a = await join("a");
    expect(a.story).toEqual(["leader:a", "started"]);
    const { spec } = await stored();
    expect(spec).toMatchObject({ holderIdentity: "a", leaseDurationSeconds: 15, leaseTransitions: 0 });
    for (const time of [spec.acquireTime, spec.renewTime]) expect(time).toMatch(/^[\d-]+T\d\d:\d\d:\d\d\.\d{6}Z$/);
    expect(await a.metrics.render()).toContain(`leader_election_master_status{name="${name}"} 1`);
  });

  test("renews every two seconds, and counts on ten seconds from the start of the last renewal", async () => {
    const a = await join("a");
    const acquired = await stored();
    expect(a.election.validUntil()).toBe(a.clock.monotonic() + 10_000);
    await pass([a], 2_000);
    const renewed = await stored();
    expect(Date.parse(renewed.spec.renewTime) - Date.parse(acquired.spec.renewTime)).toBe(2_000);
    expect(renewed.spec.acquireTime).toBe(acquired.spec.acquireTime);
    expect(a.election.validUntil()).toBe(a.clock.monotonic() + 10_000);
    await pass([a], 60_000);
    expect(a.story).toEqual(["leader:a", "started"]);
    expect(a.election.isValid()).toBe(true);
  });

  test("of two that begin at the same moment is one", async () => {
    for (let round = 0; round < 20; round++) {
      name = `election-${randomUUID()}`;
      const lease = { namespace: "default", name };
      const pair = [new Candidate(transport, lease, "a"), new Candidate(transport, lease, "b")];
      candidates.push(...pair);
      await quiet(pair);
      expect(pair.filter((candidate) => candidate.election.isLeader())).toHaveLength(1);
      for (const candidate of pair) candidate.abort();
      await quiet(pair);
      await kube.delete(`${leases}/${name}`);
    }
  });
});

describe("a candidate that waits", () => {
  test("takes over when the record has not changed for the lease's duration, after the leader's fence has closed", async () => {
    const a = await join("a");
    const b = await join("b");
    expect(b.story).toEqual(["leader:a"]);
    await pass([a, b], 30_000);
    expect(b.election.isLeader()).toBe(false);
    a.weather = cut;
    const cutAt = b.clock.monotonic();
    let closedAt = Infinity;
    while (!b.election.isValid()) {
      await pass([a, b], 250);
      if (!a.election.isValid()) closedAt = Math.min(closedAt, b.clock.monotonic());
      expect(a.election.isValid() && b.election.isValid()).toBe(false);
    }
    const waited = b.clock.monotonic() - cutAt;
    expect(closedAt - cutAt).toBeGreaterThanOrEqual(8_000);
    expect(closedAt - cutAt).toBeLessThanOrEqual(10_000);
    // The last renewal may be a retry period (2 s) old. b, which looks once in a retry period, sees it up to one later,
    // and the first look that comes 15 s after that one is the eighth; the clock moves by 250 ms.
    expect(waited).toBeGreaterThanOrEqual(13_000);
    expect(waited).toBeLessThanOrEqual(2_000 + 8 * 2_000 + 250);
    expect(a.story).toEqual(["leader:a", "started", "stopped"]);
    expect(b.story).toEqual(["leader:a", "leader:b", "started"]);
    expect((await stored()).spec).toMatchObject({ holderIdentity: "b", leaseTransitions: 1 });
    a.weather = (_call, send) => send();
    await pass([a, b], 4_000);
    expect(a.story.at(-1)).toBe("leader:b");
    expect(a.election.isLeader()).toBe(false);
  });

  for (const [what, stepMs] of Object.entries({ ahead: 600_000, behind: -600_000 })) {
    test(`does not care that its wall clock is ten minutes ${what}`, async () => {
      const a = await join("a");
      const b = new Candidate(transport, { namespace: "default", name }, "b");
      candidates.push(b);
      b.clock.stepWall(stepMs);
      await pass([a, b], 40_000);
      expect(b.story).toEqual(["leader:a"]);
    });
  }

  test("gives a record of long ago its full time from when it first saw it", async () => {
    await kube.create(leases, {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name },
      spec: {
        holderIdentity: "gone",
        leaseDurationSeconds: 20,
        acquireTime: "2001-01-01T00:00:00.000000Z",
        renewTime: "2001-01-01T00:00:00.000000Z",
        leaseTransitions: 6,
      },
    });
    const a = await join("a");
    await pass([a], 19_750);
    expect(a.election.isLeader()).toBe(false);
    await pass([a], 2_250);
    expect(a.election.isLeader()).toBe(true);
    expect((await stored()).spec).toMatchObject({ holderIdentity: "a", leaseTransitions: 7, leaseDurationSeconds: 15 });
  });

  test("is not let in by somebody who deletes the lease under its holder", async () => {
    const a = await join("a");
    const b = await join("b");
    a.weather = cut;
    await kube.delete(`${leases}/${name}`);
    await pass([a, b], 9_750);
    expect(b.election.isLeader()).toBe(false);
    await pass([a, b], 8_000);
    expect(a.election.isValid()).toBe(false);
    expect(b.election.isLeader()).toBe(true);
  });
});

describe("the leader", () => {
  test("gives up at its next renewal when somebody else has taken the lease", async () => {
    const a = await join("a");
    await overwrite((lease) => ({ spec: { ...lease.spec, holderIdentity: "thief", leaseTransitions: 1 } }));
    await pass([a], 2_000);
    expect(a.story).toEqual(["leader:a", "started", "leader:thief", "stopped"]);
    expect([a.election.isLeader(), a.election.isValid(), a.election.validUntil()]).toEqual([false, false, -Infinity]);
    expect(a.termSignal?.aborted).toBe(true);
    expect((await stored()).spec.holderIdentity).toBe("thief");
    expect(await a.metrics.render()).toContain(`leader_election_master_status{name="${name}"} 0`);
  });

  test("goes on when only a label was put on the lease, and keeps the label", async () => {
    const a = await join("a");
    await overwrite(({ metadata }) => ({ metadata: { ...metadata, labels: { team: "platform" } } }));
    await pass([a], 2_000);
    expect(a.story).toEqual(["leader:a", "started"]);
    expect(a.election.isValid()).toBe(true);
    expect((await stored()).metadata.labels).toEqual({ team: "platform" });
    expect(await a.metrics.render()).toContain(`leader_election_slowpath_total{name="${name}"} 1`);
  });

  test("closes its fence at a conflict, before it knows what it means", async () => {
    const a = await join("a");
    await overwrite(({ metadata }) => ({ metadata: { ...metadata, labels: { team: "platform" } } }));
    const seen: boolean[] = [];
    a.weather = (call, send) => {
      if (call.method === "GET") seen.push(a.election.isValid());
      return send();
    };
    await pass([a], 2_000);
    expect(seen).toEqual([false]);
    expect(a.election.isValid()).toBe(true);
  });

  test("gives up when the lease is deleted, and may win it again", async () => {
    const a = await join("a");
    await kube.delete(`${leases}/${name}`);
    await pass([a], 2_000);
    expect(a.story.slice(0, 3)).toEqual(["leader:a", "started", "stopped"]);
    await pass([a], 2_000);
    expect(a.story.slice(3)).toEqual(["started"]);
    expect((await stored()).spec.holderIdentity).toBe("a");
  });

  test("outlives failures of the API server that are shorter than its deadline", async () => {
    const a = await join("a");
    await pass([a], 2_000);
    // By turns the call or its answer is lost: a write may have happened all the same.
    let calls = 0;
    a.weather = (_call, send) => (++calls % 2 === 0 ? cut() : send().then(() => cut()));
    await pass([a], 7_500);
    a.weather = (_call, send) => send();
    await pass([a], 2_500);
    expect(a.story).toEqual(["leader:a", "started"]);
    expect(a.election.isValid()).toBe(true);
  });

  test("stops its work at its deadline when a renewal is never answered", async () => {
    const a = await join("a");
    const deadlines: number[] = [];
    a.weather = async (call) => {
      deadlines.push(call.deadlineMs ?? Infinity);
      await a.clock.sleep(call.deadlineMs ?? Infinity);
      return cut();
    };
    const acquiredAt = a.clock.monotonic();
    // These calls wait for the clock itself, so nothing is to be waited for here.
    for (let step = 0; step < 40; step++) await a.clock.advance(250);
    expect(a.clock.monotonic() - acquiredAt).toBe(10_000);
    expect(a.story).toEqual(["leader:a", "started", "stopped"]);
    expect(Math.max(...deadlines)).toBe(5_000);
    a.weather = (_call, send) => send();
    await a.clock.advance(5_000);
  });

  test("that was stopped for longer than its deadline has a closed fence before any timer has run", async () => {
    const a = await join("a");
    a.clock.leap(9_999);
    expect(a.election.isValid()).toBe(true);
    a.clock.leap(1);
    expect(a.election.isValid()).toBe(false);
    // It gives up although nobody took the lease, and may win it again.
    await quiet([a]);
    expect(a.story.slice(0, 3)).toEqual(["leader:a", "started", "stopped"]);
    expect(a.election.isValid()).toBe(true);
    expect(a.story.slice(3)).toEqual(["started"]);
  });

  test("closes its fence when the wall clock tells of a sleep that the monotonic one did not see", async () => {
    const a = await join("a");
    a.clock.stepWall(10_000);
    expect(a.election.isValid()).toBe(false);
    expect(a.election.isLeader()).toBe(true);
    await pass([a], 2_000);
    expect(a.election.isValid()).toBe(true);
    a.clock.stepWall(-3_600_000);
    expect(a.election.isValid()).toBe(true);
    expect(a.story).toEqual(["leader:a", "started"]);
  });
});

describe("a stop", () => {
  test("gives the lease back after the work has ended, and renews it until then", async () => {
    const a = await join("a");
    const b = await join("b");
    let finish = (): void => undefined;
    a.windDown = () => new Promise((resolve) => (finish = resolve));
    a.abort();
    await pass([a, b], 25_000);
    expect(a.story.at(-1)).toBe("stopped");
    expect([a.termSignal?.aborted, a.election.isValid(), b.election.isLeader()]).toEqual([true, true, false]);
    finish();
    await quiet([a]);
    await a.ended();
    expect(a.election.isValid()).toBe(false);
    expect((await stored()).spec).toMatchObject({ holderIdentity: "", leaseDurationSeconds: 1, leaseTransitions: 0 });
    await pass([b], 2_000);
    expect(b.election.isLeader()).toBe(true);
    expect((await stored()).spec).toMatchObject({ holderIdentity: "b", leaseDurationSeconds: 15, leaseTransitions: 1 });
  });

  test("gives the lease back though it was touched meanwhile, and not when it is another's", async () => {
    const a = await join("a");
    await overwrite(({ metadata }) => ({ metadata: { ...metadata, labels: { team: "platform" } } }));
    a.abort();
    await a.ended();
    expect((await stored()).spec.holderIdentity).toBe("");
    const b = await join("b");
    await overwrite((lease) => ({ spec: { ...lease.spec, holderIdentity: "thief" } }));
    b.abort();
    await b.ended();
    expect((await stored()).spec.holderIdentity).toBe("thief");
  });

  test("while the winning write is under way gives the lease back without having led", async () => {
    const a = new Candidate(transport, { namespace: "default", name }, "a");
    candidates.push(a);
    a.weather = (call, send) => {
      if (call.method === "POST") a.abort();
      return send();
    };
    await a.ended();
    expect(a.story).toEqual(["leader:a"]);
    expect((await stored()).spec.holderIdentity).toBe("");
  });

  test("ends though the API server does not answer", async () => {
    const a = await join("a");
    a.weather = cut;
    a.abort();
    await a.ended();
    expect(a.story).toEqual(["leader:a", "started", "stopped"]);
  });
});
