/** What pods that obey a policy see of it, and which pods must not be touched. */
import { afterAll, beforeAll, expect, test } from "vitest";

import { KubeApiError, type KubeObject } from "../support/kube-client.ts";
import { type Pod, type PodManifest, probeContainer, probePod, until } from "./pods.ts";
import { parseResolvConf } from "./resolv-conf.ts";
import { describeOnRealNode, type Stage, startStage } from "./stage.ts";
import { KEEPALIVE, NDOTS, SEARCHES, type Way, writtenByAuthor } from "./way.ts";
import { KEEPALIVE_ONLY, setByWebhook } from "./webhook-way.ts";

const WAYS: readonly Way[] = [writtenByAuthor, setByWebhook];

const BASELINE_OF_1_28 = {
  "pod-security.kubernetes.io/enforce": "baseline",
  "pod-security.kubernetes.io/enforce-version": "v1.28",
};

const OF_THE_KERNEL = {
  "net.ipv4.tcp_keepalive_time": "7200",
  "net.ipv4.tcp_keepalive_intvl": "75",
  "net.ipv4.tcp_keepalive_probes": "9",
};

/** Changes of what a policy can set, each otherwise valid. */
const IMMUTABLE = {
  "dnsConfig.options": { dnsConfig: { options: [{ name: "ndots", value: "3" }] } },
  "dnsConfig.searches": { dnsConfig: { searches: ["other.example"] } },
  dnsPolicy: { dnsPolicy: "Default" },
  "securityContext.sysctls": { securityContext: { sysctls: [{ name: "net.ipv4.tcp_keepalive_time", value: "60" }] } },
  terminationGracePeriodSeconds: { terminationGracePeriodSeconds: 60 },
};

const SKIPPED = "hygeia.dev/skipped";

/** A connection that `probe hold` keeps, and what the kernel shows of it. */
interface HeldConnection {
  readonly port: number;
  readonly keepalive: boolean;
  readonly idle: number;
  readonly interval: number;
  readonly count: number;
}
type Kind = "systemTimings" | "goTimings" | "noKeepalive";

interface Socket {
  readonly localPort: number;
  readonly state: number;
  readonly timer: number;
  readonly remaining: number;
}

const ESTABLISHED = 1;
const KEEPALIVE_TIMER = 2;
const NO_TIMER = 0;

let stage: Stage;

async function start(): Promise<void> {
  stage = await startStage({ searches: ["corp.example"] });
}

async function stop(): Promise<void> {
  await stage.stop();
}

async function connectionsOf(pod: Pod): Promise<Record<Kind, { held: HeldConnection; socket: Socket | undefined }>> {
  const read = (): Promise<{ code: number; stdout: string }> => stage.pods.tryExec(pod, "/probe", "held", "/held.json");
  await until("the connections are held", async () => (await read()).code === 0);
  const held = JSON.parse((await read()).stdout) as Record<Kind, HeldConnection>;
  const sockets = JSON.parse(await stage.pods.exec(pod, "/probe", "sockets")) as Socket[];
  const withSocket = (connection: HeldConnection) => ({
    held: connection,
    socket: sockets.find(({ localPort, state }) => localPort === connection.port && state === ESTABLISHED),
  });
  return {
    systemTimings: withSocket(held.systemTimings),
    goTimings: withSocket(held.goTimings),
    noKeepalive: withSocket(held.noKeepalive),
  };
}

/** By the word of the container runtime. */
async function knowsUserNamespaces(): Promise<boolean> {
  interface Node extends KubeObject {
    readonly status: {
      readonly runtimeHandlers?: readonly { readonly features?: { readonly userNamespaces?: boolean } }[];
    };
  }
  const { status } = await stage.pods.client.get<Node>(`/api/v1/nodes/${stage.node.name}`);
  return status.runtimeHandlers?.some(({ features }) => features?.userNamespaces === true) ?? false;
}

for (const way of WAYS) {
  describeOnRealNode(`what a policy asks for, ${way.name}`, () => {
    beforeAll(async () => {
      stage = await way.start({ searches: ["corp.example"] });
    });
    afterAll(stop);

    test("is what every container of the pod sees", async () => {
      const namespace = await way.namespace(stage);
      const sidecar = { ...probeContainer("sidecar", "wait"), restartPolicy: "Always" };
      const pod = await stage.pods.run(namespace, way.prepare(probePod({ initContainers: [sidecar] })));
      const { resolvConf, sysctls } = await stage.pods.environment(pod);
      expect(parseResolvConf(resolvConf)).toEqual({
        nameservers: ["10.255.0.10"],
        searches: [`${namespace}.svc.cluster.local`, "svc.cluster.local", "cluster.local", "corp.example", ...SEARCHES],
        options: [`ndots:${NDOTS}`],
      });
      expect(sysctls).toMatchObject(KEEPALIVE);
      const statuses = (await stage.pods.read(pod))?.status.initContainerStatuses ?? [];
      expect(statuses).toHaveLength(1);
      const inSidecar = await stage.node.exec(statuses[0]?.containerID ?? "", "/probe", "environment");
      expect(JSON.parse(inSidecar.stdout)).toMatchObject({ resolvConf, sysctls });
    });

    test("is the timing of sockets that ask for keepalive and for no time of their own", async () => {
      const pod = await stage.pods.run(await way.namespace(stage), way.prepare(probePod({}, "hold", "/held.json")));
      const { systemTimings, goTimings, noKeepalive } = await connectionsOf(pod);
      expect(systemTimings.held).toMatchObject({ keepalive: true, idle: 600, interval: 30, count: 3 });
      expect(systemTimings.socket?.timer).toBe(KEEPALIVE_TIMER);
      expect(systemTimings.socket?.remaining).toBeLessThanOrEqual(600);
      expect(systemTimings.socket?.remaining).toBeGreaterThan(500);

      // Go sets 15 s itself, and the sysctls do not reach it.
      expect(goTimings.held).toMatchObject({ keepalive: true, idle: 15, interval: 15, count: 9 });
      expect(goTimings.socket?.timer).toBe(KEEPALIVE_TIMER);
      expect(goTimings.socket?.remaining).toBeLessThanOrEqual(15);
      // A socket that does not ask for keepalive has none, whatever the sysctls say.
      expect(noKeepalive.held.keepalive).toBe(false);
      expect(noKeepalive.socket?.timer).toBe(NO_TIMER);
    });

    if (way === setByWebhook) testSparedPods();
  });
}

/** Pods that a policy is in charge of, and that would be refused with what it wants. */
function testSparedPods(): void {
  test("spares a pod on the host network, which starts as its author wrote it", async () => {
    const namespace = await setByWebhook.namespace(stage);
    const pod = await runUnchanged(namespace, probePod({ hostNetwork: true }));
    expect(pod.metadata.annotations).toEqual({ [SKIPPED]: "dns=HostNetwork,keepalive=HostNetwork" });
    const { resolvConf, sysctls } = await stage.pods.environment(pod);
    expect(parseResolvConf(resolvConf)).toMatchObject({ searches: ["corp.example"], options: [] });
    expect(sysctls).toMatchObject(OF_THE_KERNEL);
  });

  test("spares a pod in a namespace held to the baseline of 1.28, which starts as its author wrote it", async () => {
    const namespace = await stage.pods.namespace({ ...KEEPALIVE_ONLY, ...BASELINE_OF_1_28 });
    await until("the operator knows the namespace", async () => {
      const { metadata } = await stage.pods.create(namespace, probePod(), { dryRun: "All" });
      return metadata.annotations?.[SKIPPED] === "keepalive=PodSecurity";
    });
    const pod = await runUnchanged(namespace, probePod());
    expect(pod.metadata.annotations).toEqual({ [SKIPPED]: "keepalive=PodSecurity" });
    expect((await stage.pods.environment(pod)).sysctls).toMatchObject(OF_THE_KERNEL);
  });
}

/** Runs a pod whose spec comes out as it does where no policy is in charge. */
async function runUnchanged(namespace: string, manifest: PodManifest): Promise<Pod> {
  const nowhere = await stage.pods.namespace();
  const { spec: untouched } = await stage.pods.create(nowhere, manifest, { dryRun: "All" });
  const pod = await stage.pods.run(namespace, manifest);
  expect(pod.spec).toEqual({ ...untouched, nodeName: stage.node.name });
  return pod;
}

describeOnRealNode("pods that a policy must leave as they are", () => {
  beforeAll(start);
  afterAll(stop);

  test("a hostNetwork pod runs; with ClusterFirst it has the node's resolv.conf, without ndots", async () => {
    const pod = await stage.pods.run(await stage.pods.namespace(), probePod({ hostNetwork: true }));
    expect(pod.status.podIP).toBe(pod.status.hostIP);
    expect(parseResolvConf((await stage.pods.environment(pod)).resolvConf)).toEqual({
      nameservers: ["10.255.0.10"],
      searches: ["corp.example"],
      options: [],
    });
  });

  test("a hostNetwork pod with the sysctls would be refused", async () => {
    const namespace = await stage.pods.namespace();
    const refused = stage.pods.create(namespace, writtenByAuthor.prepare(probePod({ hostNetwork: true })));
    await expect(refused).rejects.toThrow(/sysctls.*may not be specified when 'hostNetwork' is true/);
  });

  test("a pod in a namespace held to the baseline of 1.28 runs; with the sysctls it would be refused", async () => {
    const namespace = await stage.pods.namespace(BASELINE_OF_1_28);
    const pod = await stage.pods.run(namespace, probePod());
    expect(pod.status.phase).toBe("Running");
    const refused = stage.pods.create(namespace, writtenByAuthor.prepare(probePod()));
    await expect(refused).rejects.toThrow(KubeApiError);
    await expect(refused).rejects.toThrow(/violates PodSecurity "baseline:v1.28": forbidden sysctls/);
  });

  test("the baseline of 1.29 lets the sysctls pass", async () => {
    const labels = { ...BASELINE_OF_1_28, "pod-security.kubernetes.io/enforce-version": "v1.29" };
    const pod = await stage.pods.run(await stage.pods.namespace(labels), writtenByAuthor.prepare(probePod()));
    expect((await stage.pods.environment(pod)).sysctls).toMatchObject(KEEPALIVE);
  });

  test("a pod that exists keeps what a policy sets; its labels and annotations can be changed", async () => {
    const pod = await stage.pods.run(await stage.pods.namespace(), writtenByAuthor.prepare(probePod()));
    for (const [field, spec] of Object.entries(IMMUTABLE)) {
      const refused = stage.pods.change(pod, { spec });
      await expect(refused, field).rejects.toThrow(/422 Invalid: .*pod updates may not change fields other than/);
    }
    const labels = { team: "shop" };
    const annotations = { "hygeia.dev/applied": "shop@1" };
    const changed = await stage.pods.change(pod, { metadata: { labels, annotations } });
    expect(changed.metadata).toMatchObject({ labels, annotations });
    expect(changed.spec).toEqual(pod.spec);
  });

  test("a pod in a user namespace never starts where the runtime does not know them", async ({ skip }) => {
    if (await knowsUserNamespaces()) skip("this runtime knows user namespaces");
    const manifest = writtenByAuthor.prepare(probePod({ hostUsers: false }));
    const namespace = await stage.pods.namespace();
    const pod = await stage.pods.create(namespace, manifest);
    await until("its kubelet says why", async () =>
      (await stage.pods.events(pod)).some(({ message }) => message.includes("does not support user namespaces")),
    );
    const status = (await stage.pods.read(pod))?.status;
    expect(status?.phase).toBe("Pending");
    expect((status?.containerStatuses ?? []).filter(({ state }) => state.waiting === undefined)).toEqual([]);
  });

  test("a sysctl that the node does not hold for safe makes the pod Failed, and nothing starts it", async () => {
    const securityContext = { sysctls: [{ name: "net.core.somaxconn", value: "1024" }] };
    const pod = await stage.pods.create(await stage.pods.namespace(), probePod({ securityContext }));
    const { status } = await stage.pods.become(pod, "fails", ({ status: { phase } }) => phase === "Failed");
    expect(status.reason).toBe("SysctlForbidden");
    expect(status.containerStatuses ?? []).toEqual([]);
  });
});
