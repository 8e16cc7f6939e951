/** The RegistrationPolicy objects of an operator that runs as a process: what their status, Events and reports say. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type {
  RegistrationPolicyDns,
  RegistrationPolicySpec,
  RegistrationPolicyStatus,
} from "../../src/api/v1alpha1/index.ts";
import { type ControlPlane, type EtcdServer, startControlPlane, startEtcd } from "../env/index.ts";
import { ClusterFixture, type FixtureNode, type FixturePod } from "../support/cluster-fixture.ts";
import { type Operator, startOperator } from "../support/operator.ts";
import { installOperator } from "../support/operator-install.ts";
import { applyRegistry, findReport, getPolicy } from "../support/operator-objects.ts";
import { eventually } from "../support/operator-wait.ts";
import { EtcdSession, goMicro, Registrant } from "../support/registrants/index.ts";

const POLICIES = "/apis/hygeia.dev/v1alpha1/registrationpolicies";
const REPORTS = "/apis/hygeia.dev/v1alpha1/registrationreports";
const WITHIN = 60_000;

let controlPlane: ControlPlane;
let etcd: EtcdServer;
let fixture: ClusterFixture;
let session: EtcdSession;
let operator: Operator;
let node: FixtureNode;

beforeAll(async () => {
  [controlPlane, etcd] = await Promise.all([startControlPlane({ controllerManager: true }), startEtcd()]);
  await installOperator(controlPlane);
  fixture = new ClusterFixture(controlPlane);
  session = new EtcdSession({ endpoints: etcd.endpoints });
  node = await fixture.node();
  await applyRegistry(fixture.client, "main", { endpoints: etcd.endpoints, layouts: [{ layout: "GoMicro" }] });
  operator = await startOperator({ cluster: controlPlane });
});

afterAll(async () => {
  await operator.stop();
  await session.close();
  await fixture.close();
  await Promise.all([controlPlane.stop(), etcd.stop()]);
});

type Spec = Partial<Omit<RegistrationPolicySpec, "registration" | "dns">> & {
  readonly dns?: Partial<RegistrationPolicyDns>;
  readonly registration?: {
    readonly registries: readonly { readonly name: string; readonly role?: string }[];
    readonly zombies?: object;
  };
};

async function policy(name: string, spec: Spec = {}): Promise<void> {
  const body = {
    apiVersion: "hygeia.dev/v1alpha1",
    kind: "RegistrationPolicy",
    metadata: { name },
    spec: { mode: "Enforce", registration: { registries: [{ name: "main" }] }, ...spec },
  };
  const query = { fieldManager: "test", force: true, fieldValidation: "Strict" };
  await fixture.client.patch(`${POLICIES}/${name}`, body, "application/apply-patch+yaml", query);
}

async function remove(name: string): Promise<void> {
  await fixture.client.delete(`${POLICIES}/${name}`);
}

/** The policy's status, once it is as wanted. */
async function untilStatus(
  name: string,
  what: string,
  wanted: (status: RegistrationPolicyStatus) => boolean,
): Promise<RegistrationPolicyStatus> {
  let last: RegistrationPolicyStatus | undefined;
  return await eventually(
    `policy ${name} ${what}`,
    async () => {
      last = (await getPolicy(fixture.client, name)).status;
      return last !== undefined && wanted(last) ? last : undefined;
    },
    WITHIN,
  ).catch((error: unknown) => {
    throw new Error(`last seen: ${JSON.stringify(last)}\n${operator.tail()}`, { cause: error });
  });
}

function conditionOf({ conditions }: RegistrationPolicyStatus, type: string) {
  return conditions?.find((condition) => condition.type === type);
}

async function untilReason(name: string, type: string, reason: string) {
  const status = await untilStatus(
    name,
    `has ${type} with reason ${reason}`,
    (seen) => conditionOf(seen, type)?.reason === reason,
  );
  return { status: "", message: "", ...conditionOf(status, type) };
}

async function untilEvent(name: string, reason: string) {
  interface Event {
    readonly reason: string;
    readonly note: string;
    readonly type: string;
    readonly regarding: { readonly kind: string; readonly name: string };
    readonly related?: { readonly kind: string; readonly name: string; readonly uid: string };
  }
  return await eventually(`an Event ${reason} on policy ${name}`, async () => {
    const events = await fixture.client.list<Event>("/apis/events.k8s.io/v1/namespaces/default/events");
    return events.find(
      ({ regarding, reason: said }) =>
        regarding.kind === "RegistrationPolicy" && regarding.name === name && said === reason,
    );
  });
}

function selecting(namespace: string): Pick<Spec, "match"> {
  return { match: { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } } } };
}

async function podIn(
  namespace: string,
  options: Partial<Parameters<ClusterFixture["runPod"]>[0]> = {},
): Promise<FixturePod> {
  return await fixture.runPod({ namespace, node, ...options });
}

describe("a policy that is well", () => {
  test("counts its pods and instances, and shows itself to kubectl", async () => {
    const namespace = await fixture.namespace();
    const pods = [await podIn(namespace), await podIn(namespace), await podIn(namespace)];
    await policy("well", { ...selecting(namespace), priority: 7 });
    const registrants = await Promise.all(
      pods
        .slice(0, 2)
        .map(({ address }) => Registrant.register(session, goMicro({ service: "well", host: address, port: 80 }))),
    );
    const status = await untilStatus(
      "well",
      "has counted",
      ({ pods: counted, instances }) => counted?.matched === 3 && instances?.live === 2,
    );
    expect(status).toMatchObject({ observedGeneration: 1, evicted: 0, registries: "main" });
    await untilReason("well", "Ready", "Ready");
    expect(status.conditions?.map(({ type }) => type)).toEqual([
      "Ready",
      "Accepted",
      "EvictionBlocked",
      "Superseded",
      "PodsCompliant",
      "AppliedToNewPods",
      "KeepaliveNested",
      "DNSSafe",
      "RolledOut",
    ]);
    const [header, line] = (await fixture.kubectl("get", "rpol", "well")).split("\n");
    expect(header?.split(/\s{2,}/)).toEqual([
      "NAME",
      "MODE",
      "READY",
      "REGISTRIES",
      "LIVE",
      "ZOMBIE",
      "EVICTED",
      "COMPLIANT",
      "AGE",
    ]);
    expect(line).toMatch(/^well +Enforce +True +main +2 +0 +0 +\S+$/);
    const [wideHeader, wideLine] = (await fixture.kubectl("get", "rpol", "well", "-o", "wide")).split("\n");
    expect(wideHeader).toMatch(/PRIORITY +MATCHED +SUSPECT +CONTESTED +UNKNOWN +BLOCKED +LAST-EVICTION/);
    expect(wideLine).toMatch(/ 7 +3 +0 +0 +0 +NotBlocked +/);
    for (const registrant of registrants) registrant.crash();
    await remove("well");
  });

  test("does not count pods that opted out", async () => {
    const namespace = await fixture.namespace();
    await podIn(namespace);
    const { name } = await podIn(namespace);
    const annotations = { "hygeia.dev/ignore": "true" };
    await fixture.client.patch(`/api/v1/namespaces/${namespace}/pods/${name}`, { metadata: { annotations } });
    await policy("opted", selecting(namespace));
    await untilStatus("opted", "counts one pod", ({ pods }) => pods?.matched === 1);
    await remove("opted");
  });

  test("follows the labels of namespaces", async () => {
    const namespace = await fixture.namespace({ team: "blue" });
    await podIn(namespace);
    await policy("team", { match: { namespaceSelector: { matchLabels: { team: "blue" } } } });
    await untilStatus("team", "counts the pod", ({ pods }) => pods?.matched === 1);
    await fixture.client.patch(`/api/v1/namespaces/${namespace}`, { metadata: { labels: { team: "red" } } });
    await untilStatus("team", "counts it no more", ({ pods }) => pods?.matched === 0);
    await remove("team");
  });
});

describe("a policy with a mistake names the field", () => {
  test("of a selector that no label can meet, and recovers when it is corrected", async () => {
    await policy("selector", { match: { podSelector: { matchLabels: { "a..b/app": "x" } } } });
    const accepted = await untilReason("selector", "Accepted", "InvalidSelector");
    expect(accepted).toMatchObject({
      status: "False",
      message: 'spec.match.podSelector.matchLabels[a..b/app]: "a..b/app" is not a label key',
    });
    expect((await untilReason("selector", "Ready", "NotAccepted")).message).toContain("spec.match.podSelector");
    expect((await untilEvent("selector", "PolicyNotAccepted")).note).toContain("spec.match.podSelector");
    await remove("selector");
    await policy("selector", { match: { podSelector: { matchLabels: { "a.b/app": "x" } } } });
    await untilReason("selector", "Ready", "Ready");
    await remove("selector");
  });

  test("of a registry that does not exist, stays accepted, and recovers when it is there", async () => {
    await policy("unknown", { registration: { registries: [{ name: "main" }, { name: "late", role: "Backup" }] } });
    expect(await untilReason("unknown", "Ready", "RegistryNotFound")).toMatchObject({
      status: "False",
      message: 'spec.registration.registries[1].name: there is no Registry "late": create it, or correct the name',
    });
    const { status } = await getPolicy(fixture.client, "unknown");
    expect(status?.registries).toBe("main, late(NotFound)");
    expect(status && conditionOf(status, "Accepted")?.status).toBe("True");
    await untilEvent("unknown", "RegistryNotFound");
    await applyRegistry(fixture.client, "late", { endpoints: etcd.endpoints, layouts: [{ layout: "GoMicro" }] });
    await untilReason("unknown", "Ready", "Ready");
    await untilStatus("unknown", "names both", ({ registries }) => registries === "main, late");
    await remove("unknown");
    await fixture.client.delete("/apis/hygeia.dev/v1alpha1/registries/late");
  });
});

describe("what a policy asks of pods", () => {
  const keepalive = { time: "300s", interval: "30s", probes: 5 };

  test("is told to be wrong with the numbers, and right once it is corrected", async () => {
    await policy("asks", {
      dns: { ndots: 2 },
      keepalive: { ...keepalive, paths: [{ name: "nlb", preset: "AWSNLB" }] },
    });
    const cuts = await untilReason("asks", "KeepaliveNested", "CutsConnections");
    expect(cuts.status).toBe("False");
    expect(cuts.message).toContain("time + 3 x interval = 300s + 3 x 30s = 390s is not below 350s");
    const lost = await untilReason("asks", "DNSSafe", "NamesLost");
    expect(lost.status).toBe("False");
    expect(lost.message).toContain("no longer found with musl: api.other.svc, db-0.db.other. With spec.dns.ndots 3");
    expect(await untilEvent("asks", "KeepaliveNotNested")).toMatchObject({ type: "Warning", note: cuts.message });
    expect((await untilEvent("asks", "DNSNotSafe")).note).toContain("NamesLost: no longer found with musl");
    // It evicts as before.
    await untilReason("asks", "Ready", "Ready");

    const paths = [{ name: "ipvs", preset: "IPVS" as const }];
    await policy("asks", { dns: { ndots: 2, libc: "Glibc" }, keepalive: { ...keepalive, paths } });
    // It fits, and finds a dead peer later than etcd forgets one of go-micro's.
    const late = await untilReason("asks", "KeepaliveNested", "NestedWithWarnings");
    expect(late.message).toContain("300s + 30s x 5 = 450s, later than the 90s of silence");
    const sooner = { ...keepalive, time: "60s", interval: "5s", probes: 3 };
    await policy("asks", { dns: { ndots: 2, libc: "Glibc" }, keepalive: { ...sooner, paths } });
    expect((await untilReason("asks", "KeepaliveNested", "Nested")).status).toBe("True");
    const safe = await untilReason("asks", "DNSSafe", "Safe");
    expect(safe.message).toContain("api.other.svc.cluster.local 8 -> 2");
    await policy("asks");
    await untilReason("asks", "KeepaliveNested", "NotConfigured");
    await untilReason("asks", "DNSSafe", "NotConfigured");
    await remove("asks");
  });
});

describe("the registries of a policy", () => {
  beforeAll(async () => {
    await applyRegistry(fixture.client, "down", {
      endpoints: ["http://127.0.0.1:1"],
      layouts: [{ layout: "GoMicro" }],
    });
  });

  afterAll(async () => {
    await fixture.client.delete("/apis/hygeia.dev/v1alpha1/registries/down");
  });

  test("make it not ready when a primary is down", async () => {
    await policy("primary", { registration: { registries: [{ name: "down" }] } });
    const { message } = await untilReason("primary", "Ready", "RegistryNotReady");
    expect(message).toMatch(/^registry "down": Unreachable: .*ECONNREFUSED/);
    await untilStatus("primary", "shows it", ({ registries }) => registries === "down(Down)");
    await remove("primary");
  });

  test("are only named when a backup is down", async () => {
    await policy("backup", { registration: { registries: [{ name: "main" }, { name: "down", role: "Backup" }] } });
    await untilReason("backup", "Ready", "Ready");
    await untilStatus("backup", "shows it", ({ registries }) => registries === "main, down(Down)");
    await remove("backup");
  });
});

describe("of two policies that match one pod", () => {
  test("the one with the higher priority is in charge, and the other one's status names it", async () => {
    const namespace = await fixture.namespace();
    await podIn(namespace, { labels: { app: "x" } });
    await podIn(namespace, { labels: { app: "x" } });
    await podIn(namespace, { labels: { app: "y" } });
    await policy("low", selecting(namespace));
    await policy("high", {
      priority: 1,
      match: { ...selecting(namespace).match, podSelector: { matchLabels: { app: "x" } } },
    });
    const low = await untilReason("low", "Superseded", "PartlySuperseded");
    const says =
      /^of some pods that spec\.match selects others are in charge, by a higher spec\.priority .*: "high" \(2 pods\)$/;
    expect(low.message).toMatch(says);
    await untilStatus("low", "counts what is left", ({ pods }) => pods?.matched === 1);
    await untilStatus("high", "counts its own", ({ pods }) => pods?.matched === 2);
    expect(conditionOf((await getPolicy(fixture.client, "high")).status ?? {}, "Superseded")?.status).toBe("False");
    expect((await untilEvent("low", "PolicySuperseded")).note).toMatch(says);

    await policy("high", { priority: 1, ...selecting(namespace) });
    await untilReason("low", "Superseded", "WhollySuperseded");
    await untilReason("low", "Ready", "Superseded");

    await remove("high");
    await untilReason("low", "Superseded", "NotSuperseded");
    await untilStatus("low", "has all pods", ({ pods }) => pods?.matched === 3);
    await remove("low");
  });
});

describe("evictions", () => {
  /** A process that registers itself and then dies, which its kubelet confirms. */
  async function zombie(policy: string, namespace: string, service: string): Promise<{ pod: FixturePod; key: string }> {
    const pod = await podIn(namespace);
    const registrant = await Registrant.register(session, goMicro({ service, host: pod.address, port: 80 }));
    const live = (count: number | undefined) => (count ?? 0) > 0;
    await untilStatus(policy, "sees it live", ({ instances }) => live(instances?.live));
    registrant.crash();
    await fixture.confirmDeath(pod);
    return { pod, key: registrant.key };
  }

  test("are counted and kept over a restart, shown by an Event, and end with their policy", async () => {
    const namespace = await fixture.namespace();
    await policy("evicting", selecting(namespace));
    const first = await zombie("evicting", namespace, "first");
    const once = await untilStatus("evicting", "has evicted one", ({ evicted }) => evicted === 1);
    expect(Date.now() - new Date(once.lastEviction ?? "").getTime()).toBeLessThan(60_000);
    const event = await untilEvent("evicting", "InstanceEvicted");
    expect(event).toMatchObject({ type: "Normal", related: { kind: "Pod", name: first.pod.name, uid: first.pod.uid } });
    expect(event.note).toContain(first.key);
    expect(await fixture.kubectl("describe", "rpol", "evicting")).toMatch(/Normal +InstanceEvicted .*Removed first/);
    const report = await eventually("the report has it", async () => {
      const found = await findReport(fixture.client, "evicting");
      return found?.status?.evictions?.length === 1 ? found : undefined;
    });
    const owner = await getPolicy(fixture.client, "evicting");
    expect(report.metadata.ownerReferences).toMatchObject([{ kind: "RegistrationPolicy", uid: owner.metadata.uid }]);
    expect(report.status?.evictions?.[0]).toMatchObject({
      id: first.key,
      evidence: "Confirmed",
      result: "Verified",
      pod: { namespace, name: first.pod.name, uid: first.pod.uid },
      restore: { format: "GoMicro", encoding: "UTF8", value: expect.stringContaining("first") as string },
    });

    await operator.restart();
    const second = await zombie("evicting", namespace, "second");
    await untilStatus("evicting", "has evicted two", ({ evicted }) => evicted === 2);
    const both = await eventually("the report has both", async () => {
      const found = await findReport(fixture.client, "evicting");
      return found?.status?.evictions?.length === 2 ? found : undefined;
    });
    expect(both.status?.evictions?.map(({ id }) => id)).toEqual([second.key, first.key]);
    expect(await fixture.kubectl("get", "rrep", "evicting")).toMatch(/\nevicting +0 +2 +\S+ +\S+/);

    await fixture.client.delete(`${REPORTS}/evicting`);
    await eventually(
      "a report that somebody removed is back",
      async () => (await findReport(fixture.client, "evicting"))?.status?.evictions?.length === 2,
      90_000,
    );
    await remove("evicting");
    await eventually(
      "the report goes with its policy",
      async () => (await findReport(fixture.client, "evicting")) === undefined,
    );
    await policy("evicting", selecting(namespace));
    await untilStatus("evicting", "of the same name begins at zero", ({ evicted }) => evicted === 0);
    await remove("evicting");
  });

  test("are seen in the metrics: the work, the budget that is left, and no label that grows with the instances", async () => {
    const namespace = await fixture.namespace();
    const registries = [{ name: "main" }];
    const zombies = { budget: { evictionsPerSecond: 1, burst: 7 } };
    await policy("metered", { ...selecting(namespace), registration: { registries, zombies } });
    const { pod, key } = await zombie("metered", namespace, "measured");
    await untilStatus("metered", "has evicted it", ({ evicted }) => evicted === 1);
    const labels = { policy: "metered", registry: "main" };
    const metrics = await eventually("the budget is whole again", async () => {
      const reading = await operator.metrics();
      return reading.sum("hygeia_budget_left", labels) === 7 ? reading : undefined;
    });
    expect(metrics.sum("hygeia_evictions_total", { ...labels, class: "Confirmed", result: "Evicted" })).toBe(1);
    for (const controller of ["instance", "policy-status", "registry-status", "report"]) {
      const done = metrics.sum("controller_runtime_reconcile_total", { controller, result: "success" });
      const more = metrics.sum("controller_runtime_reconcile_total", { controller, result: "requeue_after" });
      expect([controller, done + more > 0]).toEqual([controller, true]);
      expect([controller, metrics.has("workqueue_depth", { name: controller })]).toEqual([controller, true]);
      expect([controller, metrics.sum("workqueue_adds_total", { name: controller }) > 0]).toEqual([controller, true]);
    }

    const unbounded = [namespace, "measured", key, pod.address, pod.name, pod.uid, node.name];
    const values = metrics.samples().flatMap(({ name, labels: all }) =>
      Object.entries(all)
        // The API server's own address is one.
        .filter(([label]) => !(name.startsWith("rest_client_") && label === "host"))
        .map(([label, value]) => `${name} ${label}=${value}`),
    );
    expect(values.length).toBeGreaterThan(100);
    const offending = values.filter(
      (value) => /\d+\.\d+\.\d+\.\d+/.test(value) || unbounded.some((text) => value.includes(text)),
    );
    expect(offending).toEqual([]);
    await remove("metered");
  });

  test("are reported and not done under Audit", async () => {
    const namespace = await fixture.namespace();
    await policy("audited", { ...selecting(namespace), mode: "Audit" });
    const { key } = await zombie("audited", namespace, "audited");
    await untilStatus("audited", "shows the zombie", ({ instances }) => instances?.zombie === 1);
    expect(await untilReason("audited", "EvictionBlocked", "Audit")).toMatchObject({ status: "True" });
    const finding = await eventually("the report has the finding", async () => {
      const report = await findReport(fixture.client, "audited");
      return report?.status?.findings?.find(({ id, verdict }) => id === key && verdict === "Zombie");
    });
    expect(finding).toMatchObject({ evidence: "Confirmed", action: "None", blockedBy: "Audit" });
    expect(await fixture.kubectl("get", "rrep", "audited")).toMatch(/\naudited +1 +Zombie +0 /);
    expect((await untilEvent("audited", "ZombieInstanceDetected")).note).toContain(key);
    await remove("audited");
  });
});
