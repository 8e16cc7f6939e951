/** What an eviction leaves is enough to undo it: the commands of docs/runbook.md, on entries that the operator evicted. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { programOnPath } from "../env/components.ts";
import { ConsulStage } from "../support/consul-stage.ts";
import { catalogRegistration, EXTERNAL_NODE } from "../support/consul-api.ts";
import { NacosStage } from "../support/nacos-stage.ts";
import type { Operator } from "../support/operator.ts";
import { POLICY, Stage } from "../support/operator-stage.ts";
import { eventually } from "../support/operator-wait.ts";
import { etcdNaming, type Layout, Registrant } from "../support/registrants/index.ts";
import { nacosId } from "../support/registry-nacos.ts";
import { commandsOf, runCommands } from "../support/runbook.ts";

/** Whatever a shell, JSON or a text of several lines could spoil. */
const AWKWARD = `ключ 🗝 "a\\b" 'c' $HOME \`date\` %s \t&=`;

/** What the commands need, and is not there. */
const missing = ["bash", "jq", "curl"].filter((program) => programOnPath(program) === undefined);
const suite = describe.skipIf(missing.length > 0);
const but = missing.length === 0 ? "" : ` (skipped: needs ${missing.join(", ")})`;

suite(`an entry of etcd${but}`, () => {
  const TTL = 30;
  const [fromReport = "", fromUndo = "", putBack = ""] = commandsOf("In etcd");
  let stage: Stage;
  let operator: Operator;

  beforeAll(async () => {
    stage = await Stage.start();
    operator = await stage.operator();
    await operator.untilReady();
  });
  afterAll(async () => {
    await stage.stop();
  });

  /** As etcd's own naming, with a value that is written with all that JSON allows around it. */
  function awkward(layout: Layout, padding: number): Layout {
    const entries: Layout["entries"] = (lease) =>
      layout.entries(lease).map(({ key, value }) => {
        const metadata = { [AWKWARD]: "x".repeat(padding) };
        return {
          key,
          value: `${JSON.stringify({ ...(JSON.parse(value) as object), Metadata: metadata }, null, 2)}\n\n`,
        };
      });
    return { ...layout, entries };
  }

  /** A process that registered itself, lives on, and whose entry was evicted because its kubelet called its pod dead. */
  async function evicted({ name, padding = 0, lease = "Leased" }: EvictedEntry) {
    const pod = await stage.fixture.runPod({ namespace: stage.namespace, node: stage.node });
    const layout = etcdNaming({ service: "naming/restore", host: pod.address, port: 8080, name, lease });
    const options = { pod, truth: stage.fixture.truth, ttl: TTL };
    const registrant = await Registrant.register(stage.session, awkward(layout, padding), options);
    const { key } = registrant;
    const before = await stage.session.get(key);
    await eventually("it is known to live", async () => {
      await stage.untilCaughtUp(operator);
      return (await operator.metrics()).sum("hygeia_instances", { verdict: "Live" }) > 0;
    });
    await stage.fixture.confirmDeath(pod);
    await eventually("it was evicted", async () => (await stage.session.get(key)) === undefined);
    return { key, before, registrant };
  }

  interface EvictedEntry {
    readonly name: string;
    readonly padding?: number;
    readonly lease?: "Leased" | "Unleased";
  }

  async function type(key: string, ...blocks: readonly string[]): Promise<string> {
    const { kubectl, kubeconfig } = stage.controlPlane;
    const variables = {
      KUBECONFIG: kubeconfig,
      ETCDCTL_ENDPOINTS: stage.etcd.endpoints.join(","),
      REPORT: POLICY,
      KEY: key,
    };
    return await runCommands(blocks, { programs: [kubectl, stage.etcd.etcdctl], variables });
  }

  test("is put back from the report alone, on the lease that its living process renews, and is then left alone", async () => {
    const { key, before, registrant } = await evicted({ name: "it's-alive" });
    await stage.reportedEviction(key);
    await type(key, fromReport, putBack);
    const after = await stage.session.get(key);
    expect(after).toEqual({ ...before, modRevision: expect.any(Number) as number });
    expect(after?.lease).toBe(registrant.lease);
    await eventually("the report tells that it came back", async () => {
      await stage.untilCaughtUp(operator);
      return (await stage.reportedEviction(key)).result === "Resurrected";
    });
    expect(await stage.session.get(key)).toEqual(after);
    await registrant.deregister();
  });

  test("is put back from the report alone with a lease of the same length where its own has ended", async () => {
    const { key, before, registrant } = await evicted({ name: "ended" });
    registrant.crash();
    await stage.session.revoke(registrant.lease);
    await stage.reportedEviction(key);
    await type(key, fromReport, putBack);
    const after = await stage.session.get(key);
    expect(after?.value).toBe(before?.value);
    expect(after?.lease).not.toBe(registrant.lease);
    const granted = await stage.etcd.ctl("lease", "timetolive", BigInt(after?.lease ?? 0).toString(16));
    expect(granted).toContain(`granted with TTL(${TTL}s)`);
  });

  test("is put back from its undo record alone, for ever where it had no lease, however long it is", async () => {
    const { key, before } = await evicted({ name: "long", padding: 10_000, lease: "Unleased" });
    await stage.reportedEviction(key);
    await expect(type(key, fromReport, putBack)).rejects.toThrow();
    expect(await stage.session.get(key), "nothing is written without a value").toBeUndefined();
    await type(key, fromUndo, putBack);
    expect(await stage.session.get(key)).toEqual({ ...before, lease: "0", modRevision: expect.any(Number) as number });
  });

  test("is not put over somebody who registered there since", async () => {
    const { key } = await evicted({ name: "taken" });
    await stage.reportedEviction(key);
    await stage.session.put(key, "somebody else's");
    await expect(type(key, fromReport, putBack)).rejects.toThrow();
    expect(await stage.session.get(key)).toMatchObject({ value: "somebody else's" });
    await stage.session.delete(key);
  });
});

suite(`an entry of Consul${but}`, () => {
  const [fromReport = "", fromUndo = "", inCatalog = "", atAgent = ""] = commandsOf("In Consul");
  let stage: ConsulStage;

  beforeAll(async () => {
    stage = await ConsulStage.start();
  });
  afterAll(async () => {
    await stage.stop();
  });

  async function type(key: string, ...blocks: readonly string[]): Promise<string> {
    const { kubectl, kubeconfig } = stage.controlPlane;
    const { url } = stage.api;
    const variables = { KUBECONFIG: kubeconfig, CONSUL: url, AGENT: url, TOKEN: "", REPORT: stage.policy, KEY: key };
    return await runCommands(blocks, { programs: [kubectl], variables });
  }

  /** Everything that the catalog has of a service but when it was written. */
  async function shown(service: string): Promise<object | undefined> {
    const answer = (await stage.api.get(`/v1/health/service/${service}?consistent`)) as readonly object[];
    const withoutIndexes = (name: string, value: unknown): unknown => (/^(Create|Modify)Index$/.test(name) ? 0 : value);
    return answer.length === 0 ? undefined : (JSON.parse(JSON.stringify(answer[0], withoutIndexes)) as object);
  }

  /** Waits until it left, and the report tells of it. @returns its id */
  async function untilEvicted(service: string): Promise<string> {
    return await stage.until(`the report tells of the eviction of ${service}`, async () => {
      const eviction = (await stage.report())?.evictions?.find((found) => found.service === service);
      return (await shown(service)) === undefined && eviction?.id;
    });
  }

  const sources = { "the report": fromReport, "its undo record": fromUndo };
  for (const [source, block] of Object.entries(sources)) {
    test(`is put back into the catalog from ${source} alone`, async () => {
      const service = `catalog-${source.replaceAll(" ", "-")}`;
      const pod = await stage.living(async (host) =>
        stage.api.put(
          "/v1/catalog/register",
          catalogRegistration({
            id: `${service}/1`,
            service,
            host,
            status: "passing",
            output: AWKWARD,
            meta: { about: AWKWARD },
            taggedAddresses: { virtual: { Address: "240.0.0.1", Port: 80 } },
          }),
        ),
      );
      const before = await shown(service);
      await stage.fixture.confirmDeath(pod);
      const key = await untilEvicted(service);
      expect(key).toBe(`${EXTERNAL_NODE}/${service}/1`);
      await type(key, block, inCatalog);
      expect(await shown(service)).toEqual(before);
    });

    test(`is given back to its agent from ${source} alone, without its checks`, async () => {
      const service = `agent-${source.replaceAll(" ", "-")}`;
      const pod = await stage.living(async (Address) =>
        stage.api.put("/v1/agent/service/register", {
          ID: `${service}-1`,
          Name: service,
          Address,
          Port: 8080,
          Tags: ["a", "b"],
          Meta: { about: AWKWARD },
          Weights: { Passing: 3, Warning: 2 },
        }),
      );
      const before = await shown(service);
      await stage.fixture.confirmDeath(pod);
      await type(await untilEvicted(service), block, atAgent);
      await stage.until("the agent has told the servers", async () => (await shown(service)) !== undefined);
      expect(await shown(service)).toEqual(before);
    });
  }
});

suite(`an instance of Nacos${but}`, () => {
  const [putBack = ""] = commandsOf("In Nacos");
  let stage: NacosStage;

  beforeAll(async () => {
    stage = await NacosStage.start({ sweepInterval: "1s" });
  });
  afterAll(async () => {
    await stage.stop();
  });

  for (const ephemeral of [true, false]) {
    test(`that is ${ephemeral ? "kept by heartbeats" : "persistent"} is put back from the report alone`, async () => {
      const service = ephemeral ? "beating" : "persistent";
      const pod = await stage.pod();
      const registration = {
        ...stage.of(pod, service, { "preserved.ip.delete.timeout": "3600000", about: AWKWARD }),
        group: "blue",
        weight: 2.5,
        ephemeral,
      };
      await stage.api.register(registration);
      const id = nacosId(registration);
      const shown = async (): Promise<object | undefined> => (await stage.api.all()).get(id);
      await stage.untilLive(1);
      await stage.untilCaughtUp();
      const before = await shown();
      await stage.fixture.confirmDeath(pod);
      await stage.untilEvicted(id);
      await eventually("it left", async () => (await shown()) === undefined);
      const { kubectl, kubeconfig } = stage.controlPlane;
      const variables = { KUBECONFIG: kubeconfig, NACOS: stage.nacos.url, TOKEN: "", REPORT: stage.policy, KEY: id };
      await runCommands([putBack], { programs: [kubectl], variables });
      await eventually("it is listed again", async () => (await shown()) !== undefined);
      // Nacos makes it up from the rest, for what comes by its first API only.
      expect(await shown()).toEqual({ ...before, instanceId: undefined });
      await stage.api.remove(registration);
    });
  }
});
