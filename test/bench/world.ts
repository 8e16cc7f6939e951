import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import type { ControlPlane } from "../env/index.ts";
import { ClusterFixture, type FixtureNode, type FixturePod } from "../support/cluster-fixture.ts";
import { mapBounded } from "../support/concurrency.ts";
import type { Observations, ObserverStart } from "./observer.ts";
import type { BenchRegistry, RegistrationKind } from "./registry.ts";

/** A pod that registered itself. */
export interface BenchInstance {
  readonly pod: FixturePod;
  /** The entry's id, as the observer calls it. */
  readonly id: string;
}

const PODS_PER_NODE = 110;
const SERVICES = 200;
const PARALLEL = 48;
/** What a real pod carries besides what matters here: annotations of tools, as text. */
const FREIGHT = "x".repeat(2_000);

/** The cluster and one registry under load, and the observer between them. */
export class World {
  readonly cluster: ClusterFixture;
  readonly kinds: readonly RegistrationKind[];
  readonly #observer: ChildProcess;
  readonly #instances: ReadonlyMap<RegistrationKind, BenchInstance[]>;
  #namespace = "";
  #node: FixtureNode | undefined;
  #onNode = 0;
  #made = 0;

  private constructor(controlPlane: ControlPlane, { kinds }: BenchRegistry) {
    this.cluster = new ClusterFixture(controlPlane, { parallel: PARALLEL });
    this.kinds = kinds;
    this.#instances = new Map(kinds.map((kind) => [kind, []]));
    this.#observer = fork(fileURLToPath(new URL("observer.ts", import.meta.url)));
  }

  static async create(controlPlane: ControlPlane, registry: BenchRegistry): Promise<World> {
    const world = new World(controlPlane, registry);
    world.#namespace = await world.cluster.namespace();
    const start: ObserverStart = {
      type: "start",
      kubernetes: { endpoints: [controlPlane.etcdUrl] },
      registry: registry.access,
    };
    world.#observer.send(start);
    await once(world.#observer, "message");
    return world;
  }

  get size(): number {
    return Array.from(this.#instances.values(), ({ length }) => length).reduce((sum, length) => sum + length, 0);
  }

  /** Adds running, registered pods until there are `count`, each kind with its share. */
  async growTo(count: number, progress: (done: number) => void): Promise<void> {
    for (const [kind, instances] of this.#instances) {
      const share = kind.share(count);
      while (instances.length < share) {
        const batch = Math.min(1_000, share - instances.length);
        const nodes: FixtureNode[] = [];
        for (let i = 0; i < batch; i++) nodes.push(await this.#nextNode());
        instances.push(...(await mapBounded(nodes, PARALLEL, (node) => this.#instance(kind, node))));
        progress(this.size);
      }
    }
  }

  /** Takes out the instances that are to die next: as many as asked for, but at most half of those that there are. */
  take(kind: RegistrationKind, count: number): BenchInstance[] {
    const instances = this.#instances.get(kind) ?? [];
    return instances.splice(0, Math.min(count, Math.floor(instances.length / 2)));
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
  }

  async #nextNode(): Promise<FixtureNode> {
    if (this.#node === undefined || this.#onNode >= PODS_PER_NODE) {
      this.#node = await this.cluster.node();
      this.#onNode = 0;
    }
    this.#onNode += 1;
    return this.#node;
  }

  async #instance(kind: RegistrationKind, node: FixtureNode): Promise<BenchInstance> {
    const index = this.#made++;
    const app = `service-${index % SERVICES}`;
    const pod = await this.cluster.runPod({
      namespace: this.#namespace,
      node,
      labels: { app, version: "v1", team: `team-${index % 20}` },
      annotations: { "example.com/freight": FREIGHT },
    });
    return { pod, id: await kind.register(app, pod) };
  }
}
