import type { ControlPlane, EtcdServer } from "../env/index.ts";
import { ClusterFixture, type FixtureNode, type FixturePod } from "../support/cluster-fixture.ts";
import { findReport, getPolicy } from "../support/operator-objects.ts";
import { eventually } from "../support/operator-wait.ts";
import { Oracle } from "../support/oracle.ts";
import { EtcdSession, etcdNaming, goZero, kratos, Registrant } from "../support/registrants/index.ts";
import { promised, type Screen } from "./screen.ts";

/** A pod with the registration that its process made. */
interface Instance {
  readonly pod: FixturePod;
  readonly registrant: Registrant;
}

export const POLICY = "demo";
/** What the policy gives to new pods. */
export const POLICY_NDOTS = 2;
/** "Well under a second" is the promise; the median is a few hundredths of that on an idle machine. */
const LIMIT_MS = 1_000;
/** Longer than the lease would live on: what leaves earlier was evicted. */
const LEASE_SECONDS = 60;

/** What a person applies. */
export function manifests(etcdUrl: string): string {
  return `apiVersion: hygeia.dev/v1alpha1
kind: Registry
metadata:
  name: main
spec:
  type: Etcd
  endpoints: ["${etcdUrl}"]
  etcd:
    layouts:
      - layout: Kratos
      - layout: GoZero
        prefix: orders.rpc
      - layout: EtcdNaming
        prefix: stock
      - layout: EtcdNaming
        prefix: mail
---
apiVersion: hygeia.dev/v1alpha1
kind: RegistrationPolicy
metadata:
  name: ${POLICY}
spec:
  mode: Enforce
  registration:
    registries:
      - name: main
  dns:
    ndots: ${POLICY_NDOTS}
    libc: Glibc
  keepalive:
    time: 600s
    interval: 30s
    probes: 3
`;
}

/** Plays the cluster's part of the demo: pods that register, crash, lose their address. */
export class Story {
  readonly #screen: Screen;
  readonly #cluster: ClusterFixture;
  readonly #session: EtcdSession;
  readonly #oracle: Oracle;
  readonly #node: FixtureNode;
  readonly #namespace: string;
  readonly #living = new Set<string>();

  private constructor(
    screen: Screen,
    cluster: ClusterFixture,
    session: EtcdSession,
    oracle: Oracle,
    node: FixtureNode,
    namespace: string,
  ) {
    this.#screen = screen;
    this.#cluster = cluster;
    this.#session = session;
    this.#oracle = oracle;
    this.#node = node;
    this.#namespace = namespace;
  }

  static async begin(screen: Screen, controlPlane: ControlPlane, etcd: EtcdServer): Promise<Story> {
    const cluster = new ClusterFixture(controlPlane);
    const session = new EtcdSession({ endpoints: etcd.endpoints });
    const oracle = await Oracle.start(session, cluster.truth);
    const [node, namespace] = await Promise.all([cluster.node(), cluster.namespace()]);
    return new Story(screen, cluster, session, oracle, node, namespace);
  }

  async kubectl(...args: readonly string[]): Promise<void> {
    this.#screen.command(`kubectl ${args.join(" ")}`, await this.#cluster.kubectl(...args));
  }

  async apply(manifest: string): Promise<void> {
    this.#screen.command("kubectl apply -f -", await this.#cluster.kubectlWith(manifest, "apply", "-f", "-"));
  }

  /** Nine pods of three services register themselves as their frameworks do. */
  async registerServices(): Promise<{ orders: Instance[]; users: Instance[]; stock: Instance[] }> {
    const of = async (app: string, register: (pod: FixturePod) => Promise<Registrant>): Promise<Instance[]> => {
      const template = { namespace: this.#namespace, node: this.#node, labels: { app } };
      const pods = await this.#cluster.runPods([template, template, template]);
      return Promise.all(pods.map(async (pod) => ({ pod, registrant: await register(pod) })));
    };
    const truth = this.#cluster.truth;
    const [orders, users, stock] = await Promise.all([
      of("orders", (pod) =>
        Registrant.register(this.#session, goZero({ service: "orders.rpc", host: pod.address, port: 8080 }), {
          pod,
          truth,
          ttl: LEASE_SECONDS,
        }),
      ),
      of("users", (pod) =>
        Registrant.register(this.#session, kratos({ service: "users", host: pod.address, port: 9000 }), {
          pod,
          truth,
          ttl: LEASE_SECONDS,
        }),
      ),
      of("stock", (pod) =>
        Registrant.register(
          this.#session,
          etcdNaming({ service: "stock", host: pod.address, port: 7000, lease: "Unleased" }),
          { pod, truth },
        ),
      ),
    ]);
    for (const { registrant } of [...orders, ...users, ...stock]) this.#living.add(registrant.key);
    this.#screen.say("orders.rpc  3 go-zero instances, lease 60 s");
    this.#screen.say("users       3 kratos instances, lease 60 s");
    this.#screen.say(
      "stock       3 instances of etcd's own gRPC naming, without a lease: as zombies they stay for ever",
    );
    return { orders, users, stock };
  }

  /** An entry of something that is not a pod of this cluster. */
  async registerForeigner(): Promise<string> {
    const layout = kratos({ service: "users", host: "192.0.2.7", port: 9000 });
    const foreigner = await Registrant.register(this.#session, layout, { truth: this.#cluster.truth });
    foreigner.crash();
    const [entry] = layout.entries("0");
    // Without a lease, as an import by hand would write it: only an eviction could take it away.
    await this.#session.put(foreigner.key, entry?.value ?? "");
    this.#screen.say(`${foreigner.key} at 192.0.2.7:9000 is in no pod network of this cluster`);
    return foreigner.key;
  }

  async untilLive(count: number): Promise<void> {
    await eventually(`${count} live instances in the policy's status`, async () => {
      const policy = await getPolicy(this.#cluster.client, POLICY);
      return policy.status?.instances?.live === count;
    });
  }

  /** Crashes instances, each confirmed by its kubelet, and shows how long their entries outlive them. */
  async crash(instances: readonly Instance[]): Promise<void> {
    const lives: number[] = [];
    for (const { pod, registrant } of instances) {
      registrant.crash();
      this.#living.delete(registrant.key);
      await this.#cluster.beginTermination(pod);
      const since = performance.now();
      await this.#cluster.confirmDeath(pod);
      const { at, cause } = await this.#oracle.departure(registrant.key, 10_000);
      const life = at - since;
      promised(`${registrant.key} was evicted, not ${cause}`, cause === "Evicted");
      promised(`${registrant.key} left within ${LIMIT_MS} ms (${life.toFixed(0)} ms)`, life < LIMIT_MS);
      lives.push(life);
      this.#screen.say(
        `${life.toFixed(0).padStart(4)} ms after its kubelet reported the end: ${registrant.key} is gone`,
      );
      await this.#cluster.removePod(pod);
    }
    const worst = Math.max(...lives).toFixed(0);
    this.#screen.say(
      `worst ${worst} ms; left to the registry: up to ${LEASE_SECONDS} s with a lease, for ever without one`,
    );
  }

  /** A pod is deleted by force, and its address goes to a pod of another service before anybody can say that it ended. */
  async reuseAddress(victim: Instance): Promise<void> {
    victim.registrant.crash();
    this.#living.delete(victim.registrant.key);
    await this.#cluster.forceDeletePod(victim.pod, "Dies");
    const heir = await this.#cluster.runPod({
      namespace: this.#namespace,
      node: this.#node,
      labels: { app: "mail" },
      addresses: victim.pod.addresses,
    });
    const layout = etcdNaming({ service: "mail", host: heir.address, port: 2500, lease: "Unleased" });
    const registrant = await Registrant.register(this.#session, layout, { pod: heir, truth: this.#cluster.truth });
    this.#living.add(registrant.key);
    this.#screen.say(
      `${victim.pod.address} belonged to stock and belongs to mail now; callers of stock would reach mail`,
    );
    const { cause } = await this.#oracle.departure(victim.registrant.key, 60_000);
    promised(`${victim.registrant.key} was evicted, not ${cause}`, cause === "Evicted");
    this.#screen.say(`${victim.registrant.key} is gone, the entry of mail at the same address stays`);
  }

  /** The report's lines for what was evicted. */
  async showEvidence(): Promise<void> {
    const expected = await eventually("the report holds every eviction", async () => {
      const report = await findReport(this.#cluster.client, POLICY);
      const evictions = report?.status?.evictions ?? [];
      return evictions.length >= this.#oracle.departures.length && evictions;
    });
    for (const eviction of expected.slice(0, 4)) {
      const { evidence, service, address, reason, pod } = eviction;
      const { namespace = "", name = "" } = pod ?? {};
      this.#screen.say(
        `${evidence.padEnd(10)} ${service.padEnd(11)} ${(address ?? "").padEnd(19)} ${reason} (pod ${namespace}/${name})`,
      );
    }
    promised(
      "an entry on a reused address is among the evictions",
      expected.some(({ evidence }) => evidence === "Reused"),
    );
  }

  /** Nothing that lives or belongs to others has left: asked of the registry itself. */
  async checkTheRest(foreigner: string): Promise<void> {
    for (const key of [...this.#living, foreigner]) {
      promised(`${key} is still registered`, (await this.#session.get(key)) !== undefined);
    }
    await this.#oracle.verify();
    this.#screen.say(`${this.#living.size} living instances and the foreign entry are untouched`);
  }

  async end(): Promise<void> {
    this.#oracle.close();
    await this.#cluster.close();
    await this.#session.close();
  }
}
