/** What is remembered of roll-outs, in the status of reports on the real API server, beside what others write there. */
import { afterAll, describe, expect, inject, test } from "vitest";

import { systemClock } from "../../src/clock/system.ts";
import { RolloutMemory } from "../../src/controllers/rollout/memory.ts";
import { applyStatus } from "../../src/kube/apply.ts";
import { KubeTransport, loadKubeConfig } from "../../src/kube/transport.ts";
import type { RolloutEntry } from "../../src/rollout/types.ts";
import { clusterOf } from "../support/cluster-fixture.ts";
import { KubeClient, type KubeObject } from "../support/kube-client.ts";

const API = "/apis/hygeia.dev/v1alpha1";
const env = inject("env");
const client = new KubeClient(clusterOf(env), 4);
const transport = new KubeTransport({ config: await loadKubeConfig(env.kubeconfig), clock: systemClock });
const policies = new Set<string>();
const never = new AbortController().signal;

afterAll(async () => {
  for (const name of policies) {
    await client.delete(`${API}/registrationreports/${name}`);
    await client.delete(`${API}/registrationpolicies/${name}`);
  }
  await transport.close();
  await client.close();
});

function entry(name: string, over: Partial<RolloutEntry> = {}): RolloutEntry {
  return {
    namespace: "shop",
    kind: "Deployment",
    name,
    uid: `uid-${name}`,
    fingerprint: "p@2-0a1b2c3d",
    strategy: "Template",
    workloadGeneration: 7,
    startedAt: new Date("2026-03-02T12:00:00Z"),
    result: "Started",
    message: undefined,
    ...over,
  };
}

/** A policy with a report, as the report's controller makes it. */
async function setUp(name: string) {
  policies.add(name);
  const { metadata } = await client.create(`${API}/registrationpolicies`, {
    apiVersion: "hygeia.dev/v1alpha1",
    kind: "RegistrationPolicy",
    metadata: { name },
    spec: { dns: { ndots: 2 } },
  });
  const policy = { name, uid: metadata.uid };
  const createReport = async (uid = metadata.uid): Promise<void> => {
    const owner = { apiVersion: "hygeia.dev/v1alpha1", kind: "RegistrationPolicy", name, uid };
    await client.create(`${API}/registrationreports`, {
      apiVersion: "hygeia.dev/v1alpha1",
      kind: "RegistrationReport",
      metadata: { name, ownerReferences: [owner] },
    });
  };
  /** As the owner of the rest of the status writes it. */
  const writeRest = async (podsDrifted: number): Promise<void> => {
    await applyStatus(transport, {
      path: `${API}/registrationreports/${name}`,
      apiVersion: "hygeia.dev/v1alpha1",
      kind: "RegistrationReport",
      name,
      fieldManager: "hygeia",
      force: true,
      status: { summary: { podsDrifted } },
    });
  };
  const status = async () => {
    interface Report extends KubeObject {
      readonly status?: { readonly summary?: object; readonly rollouts?: readonly object[] };
    }
    return (await client.get<Report>(`${API}/registrationreports/${name}`)).status;
  };
  const load = () => RolloutMemory.load(transport, policy, never);
  const loaded = async (): Promise<RolloutMemory> => {
    const memory = await load();
    if (memory === undefined) throw new Error("there is no report");
    return memory;
  };
  const deleteReport = () => client.delete(`${API}/registrationreports/${name}`);
  return { createReport, writeRest, status, load, loaded, deleteReport };
}

describe("what is remembered of roll-outs", () => {
  test("is read back as it was written", async () => {
    const { createReport, loaded } = await setUp("memory-same");
    await createReport();
    const entries = [
      entry("a"),
      entry("b", { kind: "StatefulSet", strategy: "Evict", result: "Blocked", message: "a budget" }),
    ];
    const memory = await loaded();
    await memory.save(entries, never);
    expect(memory.entries).toEqual(entries);
    expect((await loaded()).entries).toEqual(entries);
    await memory.save([], never);
    expect((await loaded()).entries).toEqual([]);
  });

  test("is not known where there is no report, or one of an earlier policy of the name", async () => {
    const { createReport, load } = await setUp("memory-none");
    expect(await load()).toBeUndefined();
    await createReport("another-uid");
    expect(await load()).toBeUndefined();
  });

  test("stays when the rest of the report is written, and leaves that alone", async () => {
    const { createReport, writeRest, status, loaded } = await setUp("memory-beside");
    await createReport();
    await writeRest(1);
    const memory = await loaded();
    // The report is written between reading and writing, too.
    for (let round = 2; round < 12; round++) {
      await Promise.all([memory.save([entry(`w${round}`)], never), writeRest(round)]);
      const { summary, rollouts = [] } = (await status()) ?? {};
      expect(summary).toEqual({ podsDrifted: round });
      expect(rollouts).toMatchObject([{ name: `w${round}` }]);
    }
  });

  test("is never written over by a replica that leads no more", async () => {
    const { createReport, loaded } = await setUp("memory-two");
    await createReport();
    const [first, second] = [await loaded(), await loaded()];
    await second.save([entry("a")], never);
    await expect(first.save([entry("b")], never)).rejects.toMatchObject({ code: "RolloutsChanged" });
    expect(first.entries).toEqual([]);
    expect((await loaded()).entries).toEqual([entry("a")]);
  });

  test("is written whole again where somebody deleted the report, and not into another policy's", async () => {
    const { createReport, loaded, deleteReport } = await setUp("memory-deleted");
    await createReport();
    const memory = await loaded();
    await memory.save([entry("a")], never);
    await deleteReport();
    await expect(memory.save([entry("a"), entry("b")], never)).rejects.toMatchObject({ code: "RolloutsChanged" });
    await createReport("another-uid");
    await expect(memory.save([entry("a"), entry("b")], never)).rejects.toMatchObject({ code: "RolloutsChanged" });
    await deleteReport();
    await createReport();
    await memory.save([entry("a"), entry("b")], never);
    expect((await loaded()).entries).toEqual([entry("a"), entry("b")]);
  });

  test("has room for what a plan may fill it with", async () => {
    const { createReport, loaded } = await setUp("memory-full");
    await createReport();
    const name = "w".repeat(63);
    const entries = Array.from({ length: 1_000 }, (_, i) => entry(`${name.slice(4)}${String(i).padStart(4, "0")}`));
    await (await loaded()).save(entries, never);
    expect((await loaded()).entries).toHaveLength(1_000);
  });
});
