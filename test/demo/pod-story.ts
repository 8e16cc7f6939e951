import { type Libc, lookUp } from "../../src/lint/dns-queries.ts";
import { type LookedUpName, typicalNames } from "../../src/lint/names.ts";
import { CLUSTER_NDOTS, type PodDns, resolvConf, resolverOf } from "../../src/lint/resolver.ts";
import type { ControlPlane } from "../env/index.ts";
import { ClusterFixture, type FixtureNode } from "../support/cluster-fixture.ts";
import type { KubeObject } from "../support/kube-client.ts";
import { getPolicy } from "../support/operator-objects.ts";
import { eventually } from "../support/operator-wait.ts";
import { configureWebhook, leadServiceHere, webhookManifest } from "../support/webhook-install.ts";
import { promised, type Screen } from "./screen.ts";
import { POLICY, POLICY_NDOTS } from "./story.ts";

/** What the demo reads of a pod. */
interface Pod extends KubeObject {
  readonly spec: {
    readonly dnsPolicy: PodDns["dnsPolicy"];
    readonly dnsConfig?: NonNullable<PodDns["config"]>;
    readonly securityContext?: { readonly sysctls?: readonly { readonly name: string; readonly value: string }[] };
  };
}

const LIBC: Libc = "Glibc";
const NODE = {
  clusterNameservers: ["10.96.0.10"],
  clusterDomain: "cluster.local",
  nameservers: [],
  searches: [],
};
/** A name of the cluster written in full, and one outside. */
const SHOWN = ["api.other.svc.cluster.local", "s3.us-east-1.amazonaws.com"];
const KEEPALIVE = [
  "net.ipv4.tcp_keepalive_intvl=30",
  "net.ipv4.tcp_keepalive_probes=3",
  "net.ipv4.tcp_keepalive_time=600",
];

/** A pod that was there before the policy, and one that is created under it. */
export class PodStory {
  readonly #screen: Screen;
  readonly #cluster: ClusterFixture;
  readonly #node: FixtureNode;
  readonly #namespace: string;

  private constructor(screen: Screen, cluster: ClusterFixture, node: FixtureNode, namespace: string) {
    this.#screen = screen;
    this.#cluster = cluster;
    this.#node = node;
    this.#namespace = namespace;
  }

  /** @param port of this machine where the operator's webhook answers */
  static async begin(screen: Screen, controlPlane: ControlPlane, port: number): Promise<PodStory> {
    const cluster = new ClusterFixture(controlPlane);
    await leadServiceHere(cluster.client);
    await configureWebhook(cluster.client, await webhookManifest(controlPlane), port);
    const [node, namespace] = await Promise.all([cluster.node(), cluster.namespace()]);
    return new PodStory(screen, cluster, node, namespace);
  }

  /** A pod without a policy: what a cluster gives to everybody. */
  async createBefore(): Promise<void> {
    const pod = await this.#create("web-before");
    const { ndots, queries, sysctls } = this.#show(pod);
    promised("a pod without a policy has the cluster's ndots", ndots === CLUSTER_NDOTS);
    promised(
      "it asks eight times for a name written in full",
      queries.every((each) => each === 8),
    );
    promised("it has the kernel's keepalive", sysctls.length === 0);
  }

  /** The same pod under the policy. */
  async createAfter(): Promise<void> {
    await eventually("new pods are changed by the policy", async () => {
      const path = `/api/v1/namespaces/${this.#namespace}/pods`;
      const spec = { containers: [{ name: "app", image: "app" }] };
      const pod = await this.#cluster.client.create<Pod>(path, { metadata: { name: "try" }, spec }, { dryRun: "All" });
      return pod.metadata.annotations?.["hygeia.dev/applied"] !== undefined && pod.spec.securityContext?.sysctls;
    });
    const pod = await this.#create("web-after");
    const { ndots, queries, sysctls } = this.#show(pod);
    promised("a pod under the policy has its ndots", ndots === POLICY_NDOTS);
    promised(
      "it asks twice for a name written in full",
      queries.every((each) => each === 2),
    );
    promised("it has the policy's keepalive", sysctls.join() === KEEPALIVE.join());
  }

  /** The pod from before can not be changed, and is told of. */
  async showDrift(): Promise<void> {
    const message = await eventually("the policy tells of the pod from before", async () => {
      const { status } = await getPolicy(this.#cluster.client, POLICY);
      const condition = status?.conditions?.find(({ type }) => type === "PodsCompliant");
      return status?.pods?.drifted === 1 && condition?.status === "False" && condition.message;
    });
    promised("the drifted pod is the one from before", message.includes("web-before"));
    this.#screen.say(`What a running pod has can not be changed, so the policy tells of it: ${message}`);
  }

  async end(): Promise<void> {
    await this.#cluster.close();
  }

  async #create(name: string): Promise<Pod> {
    await this.#cluster.runPod({ namespace: this.#namespace, node: this.#node, name });
    return await this.#cluster.client.get<Pod>(`/api/v1/namespaces/${this.#namespace}/pods/${name}`);
  }

  #show({ metadata: { name }, spec }: Pod): { ndots: number; queries: number[]; sysctls: string[] } {
    const { dnsPolicy, dnsConfig = {}, securityContext = {} } = spec;
    const resolver = resolverOf(resolvConf({ dnsPolicy, config: dnsConfig }, this.#namespace, NODE), LIBC);
    const sysctls = (securityContext.sysctls ?? []).map((one) => `${one.name}=${one.value}`).toSorted();
    this.#screen.say(`${name}: ndots ${resolver.ndots}; ${sysctls.join(", ") || "no sysctls: keepalive after 7200 s"}`);
    const names = typicalNames(this.#namespace, NODE.clusterDomain).filter((one) => SHOWN.includes(one.name));
    const queries = names.map((one) => this.#count(one, resolver));
    return { ndots: resolver.ndots, queries, sysctls };
  }

  #count({ name, target }: LookedUpName, resolver: ReturnType<typeof resolverOf>): number {
    const { asked, queries } = lookUp(name, resolver, (one) => (one === target ? "Address" : "NoSuchName"));
    const vain = ((asked.length - 1) * queries) / asked.length;
    const waste = vain === 0 ? "" : `, ${vain} of them for names that do not exist`;
    this.#screen.say(`  ${name}: ${queries} DNS queries${waste}`);
    return queries;
  }
}
