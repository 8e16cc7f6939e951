/** Client libraries that others wrote register in real registries; their instances are judged, and leave when they are dead. */
import Consul from "consul";
import { Etcd3, type Lease } from "etcd3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import {
  type ConsulServer,
  type ControlPlane,
  type EtcdServer,
  type NacosServer,
  Scope,
  startConsul,
  startControlPlane,
  startEtcd,
  startNacos,
} from "../env/index.ts";
import { ClusterFixture, type FixtureNode, type FixturePod } from "../support/cluster-fixture.ts";
import { NacosApi } from "../support/nacos-api.ts";
import { runGrpcRegistrant, runHttpRegistrant } from "../support/nacos-processes.ts";
import { type Operator, startOperator } from "../support/operator.ts";
import { installOperator } from "../support/operator-install.ts";
import {
  applyConsulRegistry,
  applyNacosRegistry,
  applyPolicy,
  applyRegistry,
  findReport,
} from "../support/operator-objects.ts";
import { eventually } from "../support/operator-wait.ts";

const PORT = 8080;
const POLICY = "all";
/** Renewed by the library every third of it. */
const LEASE_SECONDS = 120;
/** The libraries' processes: each lives and one of two dies. */
const REPLICAS = 2;

/** What a library does for one pod's process. */
interface Process {
  /** The process is killed, or stands still: it sends nothing more, and takes nothing back. */
  crash(): Promise<void> | void;
}

interface Library {
  readonly registry: string;
  start(pod: FixturePod): Promise<Process>;
  /** Addresses that callers are told. */
  listed(): Promise<readonly string[]>;
  readonly result: "Verified" | "Quarantined";
}

const scope = new Scope();
const running: (() => Promise<void> | void)[] = [];
let controlPlane: ControlPlane;
let etcd: EtcdServer;
let consul: ConsulServer;
let nacos: NacosServer;
let fixture: ClusterFixture;
let operator: Operator;
let node: FixtureNode;
let namespace: string;
let pacemaker: FixturePod;
let etcdClient: Etcd3;
let beats = 0;

beforeAll(async () => {
  [controlPlane, etcd, consul, nacos] = await Promise.all([
    startControlPlane({ scope }),
    startEtcd({ scope }),
    startConsul({ scope }),
    startNacos({ scope }),
  ]);
  await installOperator(controlPlane);
  etcdClient = new Etcd3({ hosts: etcd.endpoints });
  fixture = new ClusterFixture(controlPlane);
  const { client } = fixture;
  const layouts = [{ layout: "EtcdNaming" as const, prefix: "naming" }];
  await applyRegistry(client, "etcd", { endpoints: etcd.endpoints, layouts });
  await applyConsulRegistry(client, "consul", { endpoints: [consul.url] });
  await applyNacosRegistry(client, "nacos", { endpoints: [nacos.url] });
  await applyPolicy(client, POLICY, { registries: ["etcd", "consul", "nacos"] });
  [node, namespace] = [await fixture.node(), await fixture.namespace()];
  pacemaker = await fixture.runPod({ namespace, node, name: "pacemaker" });
  operator = await startOperator({ cluster: controlPlane, flags: { "sweep-interval": "1s" } });
  await operator.untilReady();
});

afterAll(async () => {
  await operator.stop();
  for (const stop of running) await stop();
  etcdClient.close();
  await fixture.close();
  await scope.stop();
});

async function beat(): Promise<void> {
  const body = { metadata: { annotations: { beat: String(++beats) } } };
  await fixture.client.patch(`/api/v1/namespaces/${namespace}/pods/${pacemaker.name}`, body);
}

async function live(registry: string): Promise<number> {
  return (await operator.metrics()).sum("hygeia_instances", { verdict: "Live", registry });
}

const libraries: Readonly<Record<string, Library>> = {
  "npm etcd3, a lease": {
    registry: "etcd",
    result: "Verified",
    start: async ({ address }) => {
      const lease: Lease = etcdClient.lease(LEASE_SECONDS);
      const value = JSON.stringify({ Op: 0, Addr: `${address}:${String(PORT)}`, Metadata: null });
      await lease.put(`naming/etcd3/${address}`).value(value);
      running.push(() => {
        lease.release();
      });
      return {
        crash: () => {
          lease.release();
        },
      };
    },
    listed: async () => (await etcdClient.getAll().prefix("naming/etcd3/").keys()).map((key) => key.slice(13)),
  },
  "npm consul, an agent's TTL check": {
    registry: "consul",
    result: "Verified",
    start: async ({ name, address }) => {
      const { agent } = consulClient();
      const check = { ttl: "15s", deregistercriticalserviceafter: "30m" };
      const registration = { id: name, name: "consul-client", address, port: PORT, check };
      await agent.service.register(registration as Parameters<typeof agent.service.register>[0] & object);
      const pass = (): void => void agent.check.pass({ id: `service:${name}` }).catch(() => undefined);
      pass();
      const timer = setInterval(pass, 5_000);
      const crash = (): void => {
        clearInterval(timer);
      };
      running.push(crash);
      return { crash };
    },
    listed: async () => {
      const services = (await consulClient().catalog.service.nodes("consul-client")) as readonly {
        readonly ServiceAddress: string;
      }[];
      return services.map(({ ServiceAddress }) => ServiceAddress);
    },
  },
  "npm nacos, heartbeats": {
    registry: "nacos",
    result: "Verified",
    start: async ({ address: ip }) => {
      const close = await runHttpRegistrant(nacos, { service: "http-client", ip, port: PORT });
      let isOpen = true;
      const crash = async (): Promise<void> => {
        if (isOpen) await close();
        isOpen = false;
      };
      running.push(crash);
      return { crash };
    },
    listed: () => callersOf("http-client"),
  },
  "Nacos' Java client, a gRPC connection": {
    registry: "nacos",
    result: "Quarantined",
    start: async ({ address }) => {
      const registrant = await runGrpcRegistrant(nacos, "java-client", [`${address}:${String(PORT)}`]);
      running.push(() => registrant.end());
      return {
        crash: () => {
          registrant.process.pause();
        },
      };
    },
    listed: () => callersOf("java-client"),
  },
};

function consulClient(): Consul {
  const { hostname: host, port } = new URL(consul.url);
  return new Consul({ host, port: Number(port) });
}

async function callersOf(service: string): Promise<readonly string[]> {
  return (await new NacosApi(nacos.url).consumerList(service)).map(({ ip }) => ip);
}

describe.each(Object.entries(libraries))("%s", (_, library) => {
  const { registry, result } = library;

  test("what registered with it is Live, and leaves the callers' list when it has died; the other stays", async () => {
    const before = await live(registry);
    const pods = await fixture.runPods(Array.from({ length: REPLICAS }, () => ({ namespace, node })));
    const processes: Process[] = [];
    for (const pod of pods) processes.push(await library.start(pod));
    await eventually("both are Live", async () => {
      await beat();
      return (await live(registry)) === before + REPLICAS;
    });
    await operator.untilCaughtUp(beat);
    const [dead, ...others] = pods;
    if (dead === undefined) throw new Error("two pods were asked for");
    await processes[0]?.crash();
    await fixture.confirmDeath(dead);
    await eventually("callers are not told of it any more", async () => {
      await beat();
      return !(await library.listed()).includes(dead.address);
    });
    const eviction = await eventually("the report names it", async () => {
      const report = await findReport(fixture.client, POLICY);
      return report?.status?.evictions?.find(({ address = "" }) => address.startsWith(`${dead.address}:`));
    });
    expect(eviction).toMatchObject({ registry, evidence: "Confirmed", result });
    expect(await library.listed()).toEqual(expect.arrayContaining(others.map(({ address }) => address)));
  });
});
