import { type NacosServer, Scope, startControlPlane, startNacos } from "../env/index.ts";
import { ClusterFixture, type FixturePod } from "../support/cluster-fixture.ts";
import { NacosApi } from "../support/nacos-api.ts";
import { type GrpcRegistrant, runGrpcRegistrant, runHttpRegistrant } from "../support/nacos-processes.ts";
import { startOperator } from "../support/operator.ts";
import { installOperator } from "../support/operator-install.ts";
import { findReport, getPolicy } from "../support/operator-objects.ts";
import { eventually } from "../support/operator-wait.ts";
import { promised, type Screen } from "./screen.ts";

const POLICY = "demo";
/** Nacos shows callers a change half a second late, and nobody can be faster than that. */
const LIMIT_MS = 3_000;
const PORT = 8080;

/** What a person applies. */
function manifests(url: string): string {
  return `apiVersion: hygeia.dev/v1alpha1
kind: Registry
metadata:
  name: nacos
spec:
  type: Nacos
  endpoints: ["${url}"]
  nacos: {}
---
apiVersion: hygeia.dev/v1alpha1
kind: RegistrationPolicy
metadata:
  name: ${POLICY}
spec:
  mode: Enforce
  registration:
    registries:
      - name: nacos
`;
}

/** A pod with the registration that its process made. */
interface Instance {
  readonly pod: FixturePod;
  readonly service: string;
  /** The process ends, or stands still. */
  crash(): Promise<void>;
}

/**
 * Zombies leave a real Nacos or its rotation, each as it was registered, seen with kubectl. Ends by itself.
 * @param wait called at the end, while everything still runs
 */
export async function nacosDemo(screen: Screen, wait: (kubeconfig: string) => Promise<void>): Promise<void> {
  const scope = new Scope();
  const log = (line: string): void => screen.say(line);
  try {
    screen.step("A real control plane and a real Nacos as the service registry (the first build takes minutes)");
    const [controlPlane, server] = await Promise.all([
      startControlPlane({ controllerManager: true, log, scope }),
      startNacos({ log, scope }),
    ]);
    screen.say(`kube-apiserver at ${controlPlane.url}, Nacos at ${server.url}`);

    screen.step("Install: kubectl apply -k config/default; the operator runs with exactly the rights it gives");
    await installOperator(controlPlane);
    const operator = await startOperator({ cluster: controlPlane });
    const cluster = new ClusterFixture(controlPlane);
    const kubectl = async (...args: readonly string[]): Promise<void> => {
      screen.command(`kubectl ${args.join(" ")}`, await cluster.kubectl(...args));
    };
    const services = new Services(cluster, server);
    try {
      await operator.untilReady();

      screen.step("Say what is wanted");
      screen.command("kubectl apply -f -", await cluster.kubectlWith(manifests(server.url), "apply", "-f", "-"));

      screen.step("Services register: with heartbeats over HTTP, for good, and over gRPC");
      await services.start();
      screen.say("orders  2 processes with the npm package nacos: a heartbeat every 5 s");
      screen.say("stock   2 persistent instances: as zombies they stay for ever");
      screen.say("users   1 process with Nacos' own Java client: its connection keeps it listed");
      await untilLive(cluster, 5);
      await operator.untilCaughtUp();
      await kubectl("get", "rpol,reg");

      screen.step("Instances crash: their processes are gone, or stand still, and their entries stay");
      for (const instance of [services.orders, services.stock, services.users]) {
        await crash(screen, cluster, services.api, instance);
      }
      screen.say(
        "left to Nacos: 30 s without heartbeats, for ever when persistent, half a minute or more when a connection hangs",
      );

      screen.step("What was done, and on what evidence");
      const evictions = await eventually("the report holds every eviction", async () => {
        const report = await findReport(cluster.client, POLICY);
        const found = report?.status?.evictions ?? [];
        return found.length >= 3 && found;
      });
      for (const { evidence, service, address = "", result } of evictions) {
        screen.say(`${evidence.padEnd(10)} ${service.padEnd(26)} ${address.padEnd(19)} ${result}`);
      }
      promised(
        "what hangs on a connection is quarantined, for Nacos removes it for nobody",
        evictions.some(({ service, result }) => service.endsWith("users") && result === "Quarantined"),
      );
      await untilLive(cluster, 2);

      screen.step("A new pod of users gets the address: it would start out of rotation, and is put back");
      await services.replaceUsers();
      const since = performance.now();
      await eventually("callers are told of the new instance", async () => {
        return (await services.api.consumerList("users")).length === 1;
      });
      screen.say(`in rotation ${((performance.now() - since) / 1000).toFixed(1)} s after it had registered`);
      await untilLive(cluster, 3);

      screen.step("The end");
      await kubectl("get", "rpol,reg,rrep");
      await wait(controlPlane.kubeconfig);
    } catch (error) {
      process.stderr.write(`\nThe last lines of the operator's log:\n${operator.tail(10)}\n`);
      throw error;
    } finally {
      await services.end();
      await cluster.close();
      await operator.stop();
    }
  } finally {
    await scope.stop();
  }
}

/** The processes behind the pods. */
class Services {
  readonly api: NacosApi;
  readonly #cluster: ClusterFixture;
  readonly #server: NacosServer;
  readonly #closers = new Set<() => Promise<void>>();
  readonly #instances = new Map<string, Instance>();
  #users: GrpcRegistrant | undefined;

  constructor(cluster: ClusterFixture, server: NacosServer) {
    this.#cluster = cluster;
    this.#server = server;
    this.api = new NacosApi(server.url);
  }

  /** One of each service dies later. */
  get orders(): Instance {
    return this.#get("orders");
  }

  get stock(): Instance {
    return this.#get("stock");
  }

  get users(): Instance {
    return this.#get("users");
  }

  async start(): Promise<void> {
    const [node, namespace] = await Promise.all([this.#cluster.node(), this.#cluster.namespace()]);
    const run = async (app: string, count: number): Promise<FixturePod[]> =>
      await this.#cluster.runPods(Array.from({ length: count }, () => ({ namespace, node, labels: { app } })));
    const [orders, stock, users] = await Promise.all([run("orders", 2), run("stock", 2), run("users", 1)]);
    for (const pod of orders) {
      const close = await runHttpRegistrant(this.#server, { service: "orders", ip: pod.address, port: PORT });
      this.#closers.add(close);
      const crash = async (): Promise<void> => {
        this.#closers.delete(close);
        await close();
      };
      this.#instances.set("orders", { pod, service: "orders", crash });
    }
    for (const pod of stock) {
      await this.api.register({ service: "stock", ip: pod.address, port: PORT, ephemeral: false });
      this.#instances.set("stock", { pod, service: "stock", crash: () => Promise.resolve() });
    }
    for (const pod of users) {
      const { process } = await this.#runUsers(pod);
      const crash = (): Promise<void> => {
        process.pause();
        return Promise.resolve();
      };
      this.#instances.set("users", { pod, service: "users", crash });
    }
  }

  /** A pod with a process of its own takes the address over; the frozen one's connection ends. */
  async replaceUsers(): Promise<void> {
    const { pod } = this.users;
    const { namespace, node, addresses } = pod;
    const old = this.#users;
    const heir = await this.#cluster.runPod({ namespace, node, addresses, labels: { app: "users" } });
    await this.#runUsers(heir);
    await old?.end();
  }

  async end(): Promise<void> {
    await Promise.all(Array.from(this.#closers, (close) => close()));
  }

  async #runUsers({ address }: FixturePod): Promise<GrpcRegistrant> {
    const registrant = await runGrpcRegistrant(this.#server, "users", [`${address}:${PORT}`], this.api);
    this.#closers.add(() => registrant.end());
    this.#users = registrant;
    return registrant;
  }

  #get(service: string): Instance {
    const instance = this.#instances.get(service);
    if (instance === undefined) throw new Error(`${service} has not been started`);
    return instance;
  }
}

/** The process is gone, or stands still, and its kubelet says that it ended. */
async function crash(screen: Screen, cluster: ClusterFixture, api: NacosApi, instance: Instance): Promise<void> {
  const { pod, service } = instance;
  await instance.crash();
  await cluster.beginTermination(pod);
  const since = performance.now();
  await cluster.confirmDeath(pod);
  await eventually(`callers are not told of ${service} at ${pod.address} any more`, async () => {
    return !(await api.consumerList(service)).some(({ ip }) => ip === pod.address);
  });
  const life = performance.now() - since;
  promised(`${service} left within ${LIMIT_MS} ms (${life.toFixed(0)} ms)`, life < LIMIT_MS);
  const how = (await api.list(service)).some(({ ip }) => ip === pod.address) ? "out of rotation" : "gone";
  screen.say(
    `${life.toFixed(0).padStart(4)} ms after its kubelet reported the end: ${service} ${pod.address} is ${how}`,
  );
  await cluster.removePod(pod);
}

async function untilLive(cluster: ClusterFixture, count: number): Promise<void> {
  await eventually(`${count} live instances in the policy's status`, async () => {
    const policy = await getPolicy(cluster.client, POLICY);
    return policy.status?.instances?.live === count;
  });
}
