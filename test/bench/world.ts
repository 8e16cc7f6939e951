import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import { type ControlPlane, type EtcdServer } from "../env/index.ts";
import { ClusterFixture, type FixtureNode, type FixturePod } from "../support/cluster-fixture.ts";
import { mapBounded } from "../support/concurrency.ts";
import { EtcdSession, kratos, type Layout } from "../support/registrants/index.ts";
import type { Observations, ObserverStart } from "./observer.ts";

/** A pod that registered itself. */
export interface BenchInstance {
  readonly pod: FixturePod;
  readonly key: string;
}

const PODS_PER_NODE = 110;
const SERVICES = 200;
/** Nothing is to expire while it is measured. */
const LONG_LEASE_SECONDS = 3_600;
const PARALLEL = 48;
/** What a real pod carries besides what matters here: annotations of tools, as text. */
const FREIGHT = "x".repeat(2_000);

/** The cluster and the registry under load, and the observer between them. */
export class World {
  readonly cluster: ClusterFixture;
  readonly session: EtcdSession;
  readonly #observer: ChildProcess;
  readonly #instances: BenchInstance[] = [];
  #namespace = "";
  #node: FixtureNode | undefined;
  #onNode = 0;

  private constructor(controlPlane: ControlPlane, etcd: EtcdServer) {
    this.cluster = new ClusterFixture(controlPlane, { parallel: PARALLEL });
    this.session = new EtcdSession({ endpoints: etcd.endpoints });
    this.#observer = fork(fileURLToPath(new URL("observer.ts", import.meta.url)));
  }

  static async create(controlPlane: ControlPlane, etcd: EtcdServer): Promise<World> {
    const world = new World(controlPlane, etcd);
    world.#namespace = await world.cluster.namespace();
    const start: ObserverStart = {
      type: "start",
      kubernetes: { endpoints: [controlPlane.etcdUrl] },
      registry: { endpoints: etcd.endpoints },
    };
    world.#observer.send(start);
    await once(world.#observer, "message");
    return world;
  }

  get size(): number {
    return this.#instances.length;
  }

  /** Adds running, registered pods until there are `count`. */
  async growTo(count: number, progress: (done: number) => void): Promise<void> {
    while (this.#instances.length < count) {
      const batch = Math.min(1_000, count - this.#instances.length);
      const nodes: FixtureNode[] = [];
      for (let i = 0; i < batch; i++) nodes.push(await this.#nextNode());
      const made = await mapBounded(nodes, PARALLEL, (node, i) => this.#instance(node, this.#instances.length + i));
      this.#instances.push(...made);
      progress(this.#instances.length);
    }
  }

  /** Takes out the instances that are to die next. */
  take(count: number): BenchInstance[] {
    return this.#instances.splice(0, count);
  }

  /** What both sides committed since the last call. */
  async observe(): Promise<{
    readonly podWrites: ReadonlyMap<string, number>;
    readonly departures: ReadonlyMap<string, number>;
  }> {
    this.#observer.send({ type: "collect" });
    const [answer] = (await once(this.#observer, "message")) as [Observations];
    return { podWrites: new Map(answer.podWrites), departures: new Map(answer.departures) };
  }

  async close(): Promise<void> {
    this.#observer.disconnect();
    await once(this.#observer, "exit");
    await this.session.close();
  }

  async #nextNode(): Promise<FixtureNode> {
    if (this.#node === undefined || this.#onNode >= PODS_PER_NODE) {
      this.#node = await this.cluster.node();
      this.#onNode = 0;
    }
    this.#onNode += 1;
    return this.#node;
  }

  async #instance(node: FixtureNode, index: number): Promise<BenchInstance> {
    const app = `service-${index % SERVICES}`;
    const pod = await this.cluster.runPod({
      namespace: this.#namespace,
      node,
      labels: { app, version: "v1", team: `team-${index % 20}` },
      annotations: { "example.com/freight": FREIGHT },
    });
    return { pod, key: await this.#register(kratos({ service: app, host: pod.address, port: 9000 })) };
  }

  async #register(layout: Layout): Promise<string> {
    const lease = await this.session.grant(LONG_LEASE_SECONDS);
    const [entry] = layout.entries(lease);
    if (entry === undefined) throw new Error("the layout writes no key");
    await this.session.put(entry.key, entry.value, lease);
    return entry.key;
  }
}
