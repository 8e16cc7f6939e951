/** Reports written to the real API server, and read back by the next leader. */
import { afterAll, describe, expect, inject, test } from "vitest";

import type { RegistrationReport } from "../../src/api/v1alpha1/index.ts";
import { systemClock } from "../../src/clock/system.ts";
import { projectPolicy } from "../../src/controllers/policy/compile.ts";
import { Policies } from "../../src/controllers/policy/policy-set.ts";
import { ReportController } from "../../src/controllers/report/controller.ts";
import { storedEvictions } from "../../src/controllers/report/stored-evictions.ts";
import type { EvictionEntry, InstanceSummary } from "../../src/controllers/types.ts";
import { KubeTransport, loadKubeConfig } from "../../src/kube/transport.ts";
import { createLogger } from "../../src/telemetry/log.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { clusterOf } from "../support/cluster-fixture.ts";
import { KubeClient } from "../support/kube-client.ts";

const GROUP_PATH = "/apis/hygeia.dev/v1alpha1";
const env = inject("env");
const client = new KubeClient(clusterOf(env), 4);
const transport = new KubeTransport({ config: await loadKubeConfig(env.kubeconfig), clock: systemClock });
const stored = storedEvictions(transport);
const ends: (() => Promise<void>)[] = [];
const never = new AbortController().signal;
const counts = { Live: 0, Draining: 0, Zombie: 0, Suspect: 0, Contested: 0, Resurrected: 0, Foreign: 0, Unknown: 0 };

afterAll(async () => {
  for (const end of ends) await end();
  await transport.close();
  await client.close();
});

function quarantine(id: string): EvictionEntry {
  return {
    time: new Date("2026-01-01T00:00:05Z"),
    registry: "main",
    service: "shop",
    instance: "i",
    id,
    address: "10.42.0.7:80",
    evidence: "Confirmed",
    reason: "DeathConfirmed",
    pod: { namespace: "shop", name: "owner", uid: "u" },
    traceId: `trace-${id}`,
    result: "Quarantined",
    restore: undefined,
  };
}

/** A policy, the controller of its report, and what the instance controller would say. */
async function setUp(name: string) {
  const path = `${GROUP_PATH}/registrationpolicies/${name}`;
  const raw = await client.create(`${GROUP_PATH}/registrationpolicies`, {
    apiVersion: "hygeia.dev/v1alpha1",
    kind: "RegistrationPolicy",
    metadata: { name },
    spec: { registration: { registries: [{ name: "main" }] } },
  });
  const policies = new Policies(() => ({}));
  const object = projectPolicy(raw);
  policies.apply([{ type: "Added", object, createdAfter: -Infinity }]);
  const said: { quarantines: EvictionEntry[] | undefined } = { quarantines: [] };
  const summary: InstanceSummary = {
    counts: () => counts,
    findings: () => [],
    evictions: () => [],
    quarantines: () => said.quarantines,
    quarantined: () => said.quarantines?.length ?? 0,
    evicted: () => ({ total: 0, last: undefined }),
    shortestTtlMs: () => undefined,
    blocked: () => undefined,
    subscribe: () => () => undefined,
  };
  const log = createLogger({ level: "silent" });
  const metrics = createMetrics({ version: "0" });
  const pods = { of: () => undefined, subscribe: () => () => undefined };
  const controller = new ReportController({ policies, summary, pods, transport, clock: systemClock, log, metrics });
  let term = new AbortController();
  let running: Promise<void> | undefined;
  const lead = (): void => {
    term = new AbortController();
    running = controller.run(term.signal);
  };
  const end = async (): Promise<void> => {
    term.abort();
    await running;
  };
  ends.push(async () => {
    await end();
    await client.delete(path);
  });
  const report = async (): Promise<RegistrationReport | undefined> =>
    await client.find<RegistrationReport>(`${GROUP_PATH}/registrationreports/${name}`);
  return { policy: { name, uid: object.uid }, controller, said, lead, end, report };
}

describe("a report that an act waits for", () => {
  test("holds what it is to show when the wait is over, and the next leader reads just that", async () => {
    const { policy, controller, said, lead, report } = await setUp("report-save");
    expect(await stored.read(policy, never)).toEqual([]);
    lead();
    said.quarantines = [quarantine("a")];
    await controller.save(policy.name, never);
    expect((await report())?.status?.evictions).toMatchObject([{ id: "a", result: "Quarantined" }]);
    expect(await stored.read(policy, never)).toEqual([quarantine("a")]);
    expect(await stored.read({ ...policy, uid: "of another policy of the name" }, never)).toEqual([]);
  });

  test("is written for many at once, and holds what each of them waits for", async () => {
    const { policy, controller, said, lead, report } = await setUp("report-many");
    lead();
    const missing: string[] = [];
    await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const id = `id-${String(i).padStart(2, "0")}`;
        said.quarantines = [quarantine(id), ...(said.quarantines ?? [])];
        await controller.save(policy.name, never);
        const ids = (await report())?.status?.evictions?.map((eviction) => eviction.id) ?? [];
        if (!ids.includes(id)) missing.push(id);
      }),
    );
    expect(missing).toEqual([]);
    expect(await stored.read(policy, never)).toHaveLength(50);
  });

  test("is not written by a replica that does not lead yet, or leads no more", async () => {
    const { policy, controller, said, lead, end, report } = await setUp("report-term");
    const notLeading: unknown = expect.objectContaining({ code: "NotLeading" });
    await expect(controller.save(policy.name, never)).rejects.toEqual(notLeading);
    lead();
    await controller.save(policy.name, never);
    await end();
    said.quarantines = [quarantine("late")];
    await expect(controller.save(policy.name, never)).rejects.toEqual(notLeading);
    expect((await report())?.status?.evictions).toEqual([]);
  });

  test("is not written while it is not known what it held", async () => {
    const { policy, controller, said, lead, report } = await setUp("report-unknown");
    said.quarantines = undefined;
    lead();
    await expect(controller.save(policy.name, never)).rejects.toMatchObject({ code: "ReportNotWritten" });
    expect(await report()).toBeUndefined();
  });
});
