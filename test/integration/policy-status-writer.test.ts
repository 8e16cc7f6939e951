/** Statuses written by server-side apply to the real API server. */
import { afterAll, describe, expect, inject, test } from "vitest";

import { POLICY_CONDITIONS } from "../../src/api/v1alpha1/conditions.ts";
import type { RegistrationPolicy } from "../../src/api/v1alpha1/index.ts";
import { StatusWriter } from "../../src/controllers/status/status-writer.ts";
import { KubeTransport, loadKubeConfig } from "../../src/kube/transport.ts";
import { clusterOf } from "../support/cluster-fixture.ts";
import { KubeClient } from "../support/kube-client.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { systemClock } from "../../src/clock/system.ts";

const PATH = "/apis/hygeia.dev/v1alpha1/registrationpolicies";
const env = inject("env");
const client = new KubeClient(clusterOf(env), 4);
const transport = new KubeTransport({ config: await loadKubeConfig(env.kubeconfig), clock: systemClock });
const created = new Set<string>();
const never = new AbortController().signal;

afterAll(async () => {
  await Promise.all([...created].map((name) => client.delete(`${PATH}/${name}`)));
  await transport.close();
  await client.close();
});

const ready = (reason: string, message = "m") => [{ type: "Ready", reason, message }];

/** A new policy, a writer whose clock stands still, and what reads the policy as the writer's caller would see it. */
async function setUp(name: string) {
  const clock = new ManualClock();
  const writer = new StatusWriter("RegistrationPolicy", POLICY_CONDITIONS, { transport, clock });
  created.add(name);
  await client.create(PATH, {
    apiVersion: "hygeia.dev/v1alpha1",
    kind: "RegistrationPolicy",
    metadata: { name },
    spec: { registration: { registries: [{ name: "main" }] } },
  });
  const read = async () => {
    const { metadata, status } = await client.get<RegistrationPolicy>(`${PATH}/${name}`);
    const { resourceVersion, generation } = metadata;
    return { name, resourceVersion, generation, status };
  };
  return { clock, writer, read };
}

describe("a status", () => {
  test("is written once: what the object says already is not written again", async () => {
    const { writer, read } = await setUp("writer-once");
    expect(await writer.write(await read(), { evicted: 1 }, ready("Ready"), never)).toBe("Written");
    const target = await read();
    expect(target.status).toMatchObject({
      observedGeneration: 1,
      evicted: 1,
      conditions: [{ type: "Ready", status: "True", reason: "Ready", message: "m", observedGeneration: 1 }],
    });
    expect(await writer.write(target, { evicted: 1 }, ready("Ready"), never)).toBe("Unchanged");
    expect((await read()).resourceVersion).toBe(target.resourceVersion);
  });

  test("loses a figure that is not known any more, and a condition of a type that is no more", async () => {
    const { writer, read } = await setUp("writer-less");
    await writer.write(
      await read(),
      { evicted: 1 },
      [...ready("Ready"), { type: "Old", reason: "R", message: "" }],
      never,
    );
    expect(await writer.write(await read(), {}, ready("Ready"), never)).toBe("Written");
    const { status } = await read();
    expect(status).not.toHaveProperty("evicted");
    expect(status?.conditions?.map(({ type }) => type)).toEqual(["Ready"]);
  });

  test("keeps the time of a condition until its status flips", async () => {
    const { clock, writer, read } = await setUp("writer-time");
    await writer.write(await read(), {}, ready("Paused"), never);
    const first = (await read()).status?.conditions?.[0]?.lastTransitionTime;
    await clock.advance(5_000);
    await writer.write(await read(), {}, ready("NotAccepted"), never);
    expect((await read()).status?.conditions?.[0]).toMatchObject({ reason: "NotAccepted", lastTransitionTime: first });
    await writer.write(await read(), {}, ready("Ready"), never);
    expect((await read()).status?.conditions?.[0]?.lastTransitionTime).not.toBe(first);
  });

  test("waits with another message alone, unless the last write is long ago", async () => {
    const { clock, writer, read } = await setUp("writer-message");
    await writer.write(await read(), {}, ready("NotAccepted", "one"), never);
    expect(await writer.write(await read(), {}, ready("NotAccepted", "two"), never)).toBe("Later");
    expect((await read()).status?.conditions?.[0]?.message).toBe("one");
    expect(await writer.write(await read(), {}, ready("InvalidSpec", "two"), never)).toBe("Written");
    expect(await writer.write(await read(), {}, ready("InvalidSpec", "three"), never)).toBe("Later");
    await clock.advance(30_000);
    expect(await writer.write(await read(), {}, ready("InvalidSpec", "three"), never)).toBe("Written");
  });

  test("is not written to an object that is not what was seen, nor to one that is gone", async () => {
    const { writer, read } = await setUp("writer-outdated");
    const target = await read();
    await client.patch(`${PATH}/writer-outdated`, { metadata: { labels: { a: "b" } } });
    expect(await writer.write(target, {}, ready("Ready"), never)).toBe("Outdated");
    const seen = await read();
    expect(seen.status).toBeUndefined();
    await client.delete(`${PATH}/writer-outdated`);
    expect(await writer.write(seen, {}, ready("Ready"), never)).toBe("Outdated");
    expect(await client.find(`${PATH}/writer-outdated`)).toBeUndefined();
  });

  test("is written however long a message is", async () => {
    const { writer, read } = await setUp("writer-long");
    expect(await writer.write(await read(), {}, ready("Ready", "x".repeat(10_000)), never)).toBe("Written");
    expect((await read()).status?.conditions?.[0]?.message).toHaveLength(4_096);
  });
});
