import Consul from "consul";

import { Scope, startConsul, startControlPlane } from "../env/index.ts";
import { ClusterFixture, type FixturePod } from "../support/cluster-fixture.ts";
import { catalogRegistration, ConsulApi, EXTERNAL_NODE } from "../support/consul-api.ts";
import { startOperator } from "../support/operator.ts";
import { installOperator } from "../support/operator-install.ts";
import { findReport, getPolicy } from "../support/operator-objects.ts";
import { eventually } from "../support/operator-wait.ts";
import { promised, type Screen } from "./screen.ts";

const POLICY = "demo";
/** "Well under a second" is the promise; the median is a few hundredths of that on an idle machine. */
const LIMIT_MS = 1_000;
const PORT = 8080;

/** What a person applies. */
function manifests(url: string): string {
  return `apiVersion: hygeia.dev/v1alpha1
kind: Registry
metadata:
  name: consul
spec:
  type: Consul
  endpoints: ["${url}"]
  consul: {}
---
apiVersion: hygeia.dev/v1alpha1
kind: RegistrationPolicy
metadata:
  name: ${POLICY}
spec:
  mode: Enforce
  registration:
    registries:
      - name: consul
`;
}

/** A pod with the entry that its process made. */
interface Instance {
  readonly pod: FixturePod;
  readonly node: string;
  readonly id: string;
}

/**
 * Zombies leave a real Consul, each by the rules of whoever keeps its entry, seen with kubectl. Ends by itself.
 * @param wait called at the end, while everything still runs
 */
export async function consulDemo(screen: Screen, wait: (kubeconfig: string) => Promise<void>): Promise<void> {
  const scope = new Scope();
  const log = (line: string): void => screen.say(line);
  try {
    screen.step("A real control plane and a real Consul as the service registry (the first build takes minutes)");
    const [controlPlane, server] = await Promise.all([
      startControlPlane({ controllerManager: true, log, scope }),
      startConsul({ log, scope }),
    ]);
    screen.say(`kube-apiserver at ${controlPlane.url}, Consul at ${server.url}`);

    screen.step("Install: kubectl apply -k config/default; the operator runs with exactly the rights it gives");
    await installOperator(controlPlane);
    const operator = await startOperator({ cluster: controlPlane });
    const cluster = new ClusterFixture(controlPlane);
    const kubectl = async (...args: readonly string[]): Promise<void> => {
      screen.command(`kubectl ${args.join(" ")}`, await cluster.kubectl(...args));
    };
    try {
      await operator.untilReady();

      screen.step("Say what is wanted");
      const applied = await cluster.kubectlWith(manifests(server.url), "apply", "-f", "-");
      screen.command("kubectl apply -f -", applied);

      screen.step("Services register: in the catalog, at an agent, and through another controller");
      const { catalog, agent, foreign } = await registerServices(cluster, server.url);
      screen.say("orders  3 entries of the catalog alone: as zombies they stay for ever");
      screen.say("users   3 entries that the agent of node consul-0 keeps, TTL 60 s");
      screen.say("synced  1 entry of consul-k8s' catalog sync");
      await untilLive(cluster, 6);
      await operator.untilCaughtUp();
      await kubectl("get", "rpol,reg");

      screen.step("Instances crash: their processes are gone, their entries stay");
      const api = new ConsulApi(server.url);
      const crashed = [...catalog.slice(0, 2), ...agent.slice(0, 2)];
      const lives: number[] = [];
      for (const instance of crashed) lives.push(await crash(screen, cluster, api, instance));
      screen.say(`worst ${Math.max(...lives).toFixed(0)} ms; left to Consul: two minutes at an agent, else for ever`);

      screen.step("What another controller writes is its own business");
      await cluster.confirmDeath(foreign.pod);
      await operator.untilCaughtUp();

      screen.step("What was done, and on what evidence");
      const evictions = await eventually("the report holds every eviction", async () => {
        const report = await findReport(cluster.client, POLICY);
        const found = report?.status?.evictions ?? [];
        return found.length >= crashed.length && found;
      });
      for (const { evidence, id, reason } of evictions) screen.say(`${evidence.padEnd(10)} ${id.padEnd(22)} ${reason}`);
      for (const { node, id } of [...catalog.slice(2), ...agent.slice(2), foreign]) {
        promised(`${node}/${id} is still registered`, (await api.services(node))?.includes(id) === true);
      }
      const undo = await api.values("hygeia/");
      screen.say(`2 living instances and the foreign entry are untouched; ${undo.length} keys of ours are in Consul`);
      await untilLive(cluster, 2);

      screen.step("The end");
      await kubectl("get", "rpol,reg,rrep");
      await wait(controlPlane.kubeconfig);
    } catch (error) {
      process.stderr.write(`\nThe last lines of the operator's log:\n${operator.tail(10)}\n`);
      throw error;
    } finally {
      await cluster.close();
      await operator.stop();
    }
  } finally {
    await scope.stop();
  }
}

async function registerServices(
  cluster: ClusterFixture,
  url: string,
): Promise<{ catalog: Instance[]; agent: Instance[]; foreign: Instance }> {
  const api = new ConsulApi(url);
  const { hostname: host, port } = new URL(url);
  const client = new Consul({ host, port: Number(port) });
  const [node, namespace] = await Promise.all([cluster.node(), cluster.namespace()]);
  const run = async (app: string, count: number): Promise<FixturePod[]> =>
    await cluster.runPods(Array.from({ length: count }, () => ({ namespace, node, labels: { app } })));
  const inCatalog = async (pod: FixturePod, id: string, service: string, meta = {}): Promise<Instance> => {
    const registration = { id, service, host: pod.address, port: PORT, status: "passing" as const, meta };
    await api.put("/v1/catalog/register", catalogRegistration(registration));
    return { pod, node: EXTERNAL_NODE, id };
  };
  const atAgent = async (pod: FixturePod, id: string): Promise<Instance> => {
    const check = { ttl: "60s", deregistercriticalserviceafter: "1m" };
    const registration = { id, name: "users", address: pod.address, port: PORT, check };
    await client.agent.service.register(registration as Parameters<typeof client.agent.service.register>[0] & object);
    return { pod, node: "consul-0", id };
  };
  const [orders, users, [synced]] = await Promise.all([run("orders", 3), run("users", 3), run("synced", 1)]);
  if (synced === undefined) throw new Error("a pod was asked for");
  return {
    catalog: await Promise.all(orders.map((pod, i) => inCatalog(pod, `orders-${i}`, "orders"))),
    agent: await Promise.all(users.map((pod, i) => atAgent(pod, `users-${i}`))),
    foreign: await inCatalog(synced, "synced-0", "synced", { "external-source": "kubernetes" }),
  };
}

/** The process is gone, and its kubelet says so. @returns how long the entry outlived that, milliseconds */
async function crash(screen: Screen, cluster: ClusterFixture, api: ConsulApi, instance: Instance): Promise<number> {
  const { pod, node, id } = instance;
  await cluster.beginTermination(pod);
  const since = performance.now();
  await cluster.confirmDeath(pod);
  const name = `${node}/${id}`;
  await eventually(`${name} is gone`, async () => !((await api.services(node)) ?? []).includes(id));
  const life = performance.now() - since;
  promised(`${name} left within ${LIMIT_MS} ms (${life.toFixed(0)} ms)`, life < LIMIT_MS);
  screen.say(`${life.toFixed(0).padStart(4)} ms after its kubelet reported the end: ${name} is gone`);
  await cluster.removePod(pod);
  return life;
}

async function untilLive(cluster: ClusterFixture, count: number): Promise<void> {
  await eventually(`${count} live instances in the policy's status`, async () => {
    const policy = await getPolicy(cluster.client, POLICY);
    return policy.status?.instances?.live === count;
  });
}
