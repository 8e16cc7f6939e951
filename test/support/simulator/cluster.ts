import type { PodRecord } from "../../../src/cluster/types.ts";
import { Machine, type World } from "./machine.ts";
import type { Style } from "./process.ts";

/** Pods of one kind, kept at a number. */
export interface Workload {
  /** As in PodRecord.workload. */
  readonly name: string;
  readonly kind: "Deployment" | "StatefulSet" | "HostNetwork";
  readonly style: Style;
  readonly port: number;
  readonly graceMs: number;
  replicas: number;
}

const CONTROL_MS = 400;
/** Pods of a vanished node are collected after so long, milliseconds. */
const COLLECT_AFTER_MS = 40_000;

/** What Kubernetes does to pods: controllers, scheduler and garbage collector, against the committed truth. */
export class Cluster {
  readonly workloads: readonly Workload[];
  readonly machines: readonly Machine[];
  readonly #world: World;
  /** Node names without an object, and since when. */
  readonly #vanished = new Map<string, number>();
  #serial = 0;

  constructor(world: World, workloads: readonly Workload[], machineCount: number) {
    this.#world = world;
    this.workloads = workloads;
    this.machines = Array.from({ length: machineCount }, (_, i) => new Machine(world, i + 1));
    const control = (): void => {
      for (const workload of this.workloads) this.#keepReplicas(workload);
      this.#collect();
      world.time.after(CONTROL_MS, control);
    };
    world.time.after(1, control);
  }

  machineOf(pod: PodRecord): Machine | undefined {
    return this.machines.find(({ name }) => name === pod.node);
  }

  /** Pods that exist, in any state. */
  pods(): PodRecord[] {
    return this.#world.api.pods.list();
  }

  deletePod(pod: PodRecord): void {
    if (pod.deleting) return;
    this.#world.story.tell([pod.uid, ...pod.addresses], `api: ${pod.name} is to be deleted`);
    if (pod.node === "") this.#world.api.pods.delete(pod.uid);
    else this.#world.api.pods.update(pod.uid, { deleting: true });
  }

  /** The object goes, whatever the kubelet thinks. */
  forceDeletePod(pod: PodRecord): void {
    this.#world.story.tell([pod.uid, ...pod.addresses], `api: ${pod.name} is deleted by force`);
    this.#world.api.pods.delete(pod.uid);
  }

  /** An administrator vouches that the machine is off. */
  taintOutOfService(machine: Machine): void {
    const { node } = machine;
    if (node === undefined || machine.isRunning) return;
    this.#world.story.tell([machine.name], `api: ${machine.name} is tainted out of service`);
    this.#world.api.nodes.update(node.uid, { outOfService: true });
    for (const pod of this.pods()) if (pod.node === machine.name) this.forceDeletePod(pod);
  }

  deleteNode(machine: Machine): void {
    const { node } = machine;
    if (node === undefined || machine.isInTouch) return;
    this.#world.story.tell([machine.name], `api: node ${machine.name} is deleted`);
    this.#world.api.nodes.delete(node.uid);
  }

  #keepReplicas(workload: Workload): void {
    const mine = this.pods().filter((pod) => pod.workload === workload.name);
    for (const pod of mine) if (isOver(pod)) this.deletePod(pod);
    const counted = mine.filter((pod) => workload.kind === "StatefulSet" || (!pod.deleting && !isOver(pod)));
    const extra = counted.filter((pod) => !pod.deleting && !isOver(pod)).slice(workload.replicas);
    for (const pod of extra) this.deletePod(pod);
    for (let missing = workload.replicas - counted.length; missing > 0; missing--) this.#createPod(workload, mine);
  }

  #createPod(workload: Workload, existing: readonly PodRecord[]): void {
    this.#serial += 1;
    const { api, random, time, story } = this.#world;
    const base = workload.name.split("/").at(-1) ?? "";
    const ordinal = Array.from({ length: workload.replicas }, (_, i) => `${base}-${i}`);
    const taken = new Set([...existing, ...this.pods()].map(({ name }) => name));
    const name = workload.kind === "StatefulSet" ? ordinal.find((n) => !taken.has(n)) : `${base}-${this.#serial}`;
    if (name === undefined) return;
    const uid = `${name}.${this.#serial}`;
    const hostNetwork = workload.kind === "HostNetwork";
    api.pods.create({
      uid,
      namespace: "prod",
      name,
      resourceVersion: "0",
      phase: "Pending",
      deleting: false,
      terminated: false,
      ready: false,
      node: "",
      hostNetwork,
      graceMs: workload.graceMs,
      addresses: [],
      hostAddresses: [],
      ports: [{ port: workload.port, hostPort: hostNetwork ? workload.port : 0, name: "" }],
      labels: {},
      annotations: {},
      workload: workload.name,
      dnsNames: workload.kind === "StatefulSet" ? [`${name}.${base}.prod`] : [],
      nameOverride: undefined,
      template: "{}",
    });
    story.tell([uid], `api: ${uid} is created`);
    time.after(random.delay(10, 1_500), () => this.#bind(uid));
  }

  #bind(uid: string): void {
    const { api, random, time, story } = this.#world;
    const pod = api.pods.get(uid);
    if (pod === undefined || pod.deleting) return;
    const nodes = api.nodes.list().filter((node) => node.ready && !node.outOfService && this.#hasRoom(node.name, pod));
    if (nodes.length === 0) {
      time.after(2_000, () => this.#bind(uid));
      return;
    }
    const node = random.pick(nodes).name;
    story.tell([uid], `api: ${pod.name} is bound to ${node}`);
    api.pods.update(uid, { node });
  }

  #hasRoom(node: string, pod: PodRecord): boolean {
    const there = this.pods().filter((other) => other.node === node && !isOver(other));
    // A host port is given once on a node.
    return !pod.hostNetwork || !there.some((other) => other.workload === pod.workload);
  }

  #collect(): void {
    const now = this.#world.time.monotonic();
    for (const { name, node } of this.machines) {
      if (node !== undefined) this.#vanished.delete(name);
      else if (!this.#vanished.has(name)) this.#vanished.set(name, now);
    }
    for (const [name, since] of this.#vanished) {
      if (now - since < COLLECT_AFTER_MS) continue;
      // It is marked Failed first, which the projection does not take for a kubelet's word.
      for (const pod of this.pods()) if (pod.node === name) this.forceDeletePod(pod);
    }
  }
}

function isOver({ phase }: PodRecord): boolean {
  return phase === "Succeeded" || phase === "Failed";
}
