import type { NodeRecord } from "../../../src/cluster/project-node.ts";
import type { PodRecord } from "../../../src/cluster/types.ts";
import type { ApiServer } from "./api-server.ts";
import type { EtcdServer } from "./etcd-server.ts";
import { Process, type Style } from "./process.ts";
import type { SeededRandom } from "./random.ts";
import type { Story } from "./story.ts";
import type { VirtualTime } from "./virtual-time.ts";

export interface World {
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly story: Story;
  readonly api: ApiServer;
  readonly etcd: EtcdServer;
  /** Kubelets of 1.27 and later report a terminal phase before a pod is deleted. */
  readonly kubeletsReportPhase: boolean;
  workload(name: string): { readonly style: Style; readonly port: number };
}

/** What a kubelet knows of one of its pods. */
interface LocalPod {
  readonly uid: string;
  readonly name: string;
  readonly workload: string;
  readonly hostNetwork: boolean;
  readonly graceMs: number;
  address: string | undefined;
  process: Process | undefined;
  restarts: number;
  phase: PodRecord["phase"];
  terminated: boolean;
  /** The kubelet is ending it, and starts nothing in it any more. */
  ending: boolean;
  /** All is over, the sandbox too. */
  over: boolean;
  dirty: boolean;
  reporting: boolean;
}

/** Addresses of a machine's pods; few, so that they are soon used again. */
const ADDRESSES = 6;
/** As long as the node lifecycle controller waits, milliseconds. */
const NOT_READY_AFTER_MS = 50_000;

/** A machine with its kubelet. It runs on when nobody hears of it. */
export class Machine {
  readonly name: string;
  readonly address: string;
  readonly #world: World;
  readonly #network: string;
  readonly #pods = new Map<string, LocalPod>();
  /** The address that was released last is taken first. */
  #free: string[];
  #powered = true;
  #linked = true;
  /** Local time since which nobody has heard of it. */
  #silentSince: number | undefined;
  #slowUntil = -Infinity;
  #incarnation = 0;

  constructor(world: World, index: number) {
    this.#world = world;
    this.name = `node-${index}`;
    this.address = `192.168.0.${index}`;
    this.#network = `10.244.${index}`;
    this.#free = this.#allAddresses();
    this.#join();
    world.api.pods.subscribe(({ object }) => {
      if (object.node === this.name) world.time.after(world.random.delay(5, 600), () => this.#sync(object.uid));
    });
  }

  get isRunning(): boolean {
    return this.#powered;
  }

  /** Powered, and its kubelet reaches the API server. */
  get isInTouch(): boolean {
    return this.#powered && this.#linked;
  }

  get node(): NodeRecord | undefined {
    return this.#world.api.nodes.list().find(({ name }) => name === this.name);
  }

  processes(): Process[] {
    return [...this.#pods.values()].flatMap(({ process }) => (process?.alive === true ? [process] : []));
  }

  /** The kubelet no longer reaches the API server; everything runs on. */
  unlink(): void {
    if (!this.#linked) return;
    this.#linked = false;
    this.#tell("is cut off from the API server");
    this.#fallSilent();
  }

  link(): void {
    if (this.#linked) return;
    this.#linked = true;
    this.#tell("reaches the API server again");
    if (this.#powered) this.#comeBack();
  }

  /** Every process ends at once, unheard. */
  powerOff(): void {
    if (!this.#powered) return;
    this.#powered = false;
    this.#incarnation += 1;
    for (const { process } of this.#pods.values()) process?.kill();
    this.#pods.clear();
    this.#tell("loses power");
    this.#fallSilent();
  }

  powerOn(): void {
    if (this.#powered) return;
    this.#powered = true;
    this.#free = this.#allAddresses();
    this.#tell("has power again");
    if (this.#linked) this.#comeBack();
  }

  /** Status reports are late for a while. */
  slowDown(ms: number): void {
    this.#slowUntil = this.#world.time.monotonic() + ms;
  }

  /** The container dies and is started again. */
  crash(uid: string): void {
    const pod = this.#pods.get(uid);
    if (pod?.process?.alive !== true || pod.ending) return;
    const { random } = this.#world;
    const { process } = pod;
    process.kill();
    this.#tell(`${pod.name} crashes`, pod);
    this.#later(random.delay(10, 1_000), pod, () => {
      if (pod.process !== process || pod.ending) return;
      pod.terminated = true;
      this.#report(pod);
    });
    this.#later(random.delay(120, 12_000), pod, () => this.#run(pod));
  }

  /** The pod is deleted in the moment in which its container is down and about to start again. */
  crashAndDelete(uid: string, deletePod: () => void): void {
    this.crash(uid);
    this.#world.time.after(this.#world.random.delay(1, 3_000), deletePod);
  }

  /** The container ends by itself and for good. */
  finish(uid: string): void {
    const pod = this.#pods.get(uid);
    if (pod?.process?.alive !== true || pod.ending) return;
    pod.ending = true;
    pod.process.end();
    this.#tell(`${pod.name} has done its work`, pod);
    this.#later(this.#world.random.delay(1, 300), pod, () => this.#close(pod, "Succeeded", true));
  }

  #sync(uid: string): void {
    if (!this.isInTouch) return;
    const object = this.#world.api.pods.get(uid);
    const pod = this.#pods.get(uid);
    if (object === undefined || object.deleting) {
      if (pod === undefined) this.#world.api.pods.delete(uid);
      else if (pod.over) this.#conclude(pod);
      else this.#stop(pod);
      return;
    }
    if (pod === undefined && object.phase === "Pending") this.#start(object);
    // After a restart of the machine the same pod runs again, in a new sandbox.
    else if (pod === undefined && object.phase === "Running") this.#start(object);
  }

  #start({ uid, name, workload, hostNetwork, graceMs }: PodRecord): void {
    const pod: LocalPod = {
      uid,
      name,
      workload,
      hostNetwork,
      graceMs,
      address: undefined,
      process: undefined,
      restarts: 0,
      phase: "Pending",
      terminated: false,
      ending: false,
      over: false,
      dirty: false,
      reporting: false,
    };
    this.#pods.set(uid, pod);
    this.#later(this.#world.random.delay(60, 2_500), pod, () => this.#makeSandbox(pod));
  }

  #makeSandbox(pod: LocalPod): void {
    if (pod.ending) {
      this.#close(pod, "Failed", true);
      return;
    }
    pod.address = pod.hostNetwork ? this.address : this.#free.pop();
    if (pod.address === undefined) {
      this.#later(700, pod, () => this.#makeSandbox(pod));
      return;
    }
    this.#tell(`${pod.name} gets ${pod.address}`, pod);
    this.#later(this.#world.random.delay(5, 500), pod, () => this.#run(pod));
  }

  #run(pod: LocalPod): void {
    if (pod.ending || pod.address === undefined) return;
    const { style, port } = this.#world.workload(pod.workload);
    pod.restarts += 1;
    const name = `${pod.name}/${pod.restarts}`;
    const host = `${pod.name}.${pod.workload.split("/").at(-1) ?? ""}.prod`;
    const identity = { name, podUid: pod.uid, host, address: pod.address, port };
    pod.process = new Process(this.#world, identity, style);
    pod.phase = "Running";
    pod.terminated = false;
    this.#tell(`${name} starts at ${pod.address}`, pod);
    this.#report(pod);
  }

  /** After SIGTERM a process may take its whole grace period. */
  #stop(pod: LocalPod): void {
    if (pod.ending) return;
    pod.ending = true;
    // A pod that has no sandbox yet is closed where it would get one.
    if (pod.address === undefined) return;
    this.#later(this.#world.random.delay(20, pod.graceMs), pod, () => {
      pod.process?.end();
      this.#tell(`${pod.name} ends`, pod);
      this.#later(this.#world.random.delay(1, 300), pod, () =>
        this.#close(pod, "Succeeded", this.#world.kubeletsReportPhase),
      );
    });
  }

  /** The address is free before anybody hears of the end. */
  #close(pod: LocalPod, phase: PodRecord["phase"], reportPhase: boolean): void {
    if (pod.address !== undefined && !pod.hostNetwork) this.#free.push(pod.address);
    if (pod.address !== undefined) this.#tell(`${pod.address} of ${pod.name} is free`, pod);
    pod.over = true;
    pod.terminated = true;
    if (reportPhase) pod.phase = phase;
    this.#report(pod);
  }

  #report(pod: LocalPod): void {
    pod.dirty = true;
    this.#pump(pod);
  }

  /** One request at a time, each with what is so when it is sent; it may be late, and it may get lost. */
  #pump(pod: LocalPod): void {
    if (!pod.dirty || pod.reporting || !this.isInTouch) return;
    const { time, random, api, story } = this.#world;
    pod.dirty = false;
    pod.reporting = true;
    const status = {
      phase: pod.phase,
      terminated: pod.terminated,
      ready: !pod.terminated,
      addresses: pod.address === undefined ? [] : [pod.address],
      hostAddresses: [this.address],
    };
    const latency = time.monotonic() < this.#slowUntil ? random.between(200, 8_000) : random.delay(3, 400);
    this.#later(latency, pod, () => {
      pod.reporting = false;
      if (!this.isInTouch && random.chance(0.5)) pod.dirty = true;
      else if (api.pods.get(pod.uid) !== undefined) {
        const what = `${status.phase}${status.terminated ? ", terminated" : ""} at ${status.addresses.join()}`;
        story.tell([pod.uid, ...status.addresses], `api: ${pod.name} is ${what}`);
        api.pods.update(pod.uid, status);
      }
      if (pod.over && !pod.dirty) this.#conclude(pod);
      this.#pump(pod);
    });
  }

  /** The end was reported: the kubelet lets the object of a pod under deletion go. */
  #conclude(pod: LocalPod): void {
    this.#later(this.#world.random.delay(1, 500), pod, () => {
      const object = this.#world.api.pods.get(pod.uid);
      if (!this.isInTouch) return;
      if (object === undefined) this.#pods.delete(pod.uid);
      else if (object.deleting) {
        this.#world.story.tell([pod.uid], `api: ${pod.name} is deleted by its kubelet`);
        this.#world.api.pods.delete(pod.uid);
        this.#pods.delete(pod.uid);
      }
    });
  }

  #fallSilent(): void {
    const since = this.#world.time.monotonic();
    this.#silentSince ??= since;
    this.#world.time.after(NOT_READY_AFTER_MS + this.#world.random.between(0, 5_000), () => {
      if (this.#silentSince !== since || this.isInTouch) return;
      this.#setReady(false);
    });
  }

  #comeBack(): void {
    this.#silentSince = undefined;
    const { time, random, api } = this.#world;
    time.after(random.delay(100, 4_000), () => {
      if (!this.isInTouch) return;
      for (const uid of new Set([
        ...this.#pods.keys(),
        ...api.pods
          .list()
          .filter(({ node }) => node === this.name)
          .map(({ uid }) => uid),
      ])) {
        this.#sync(uid);
      }
      for (const pod of this.#pods.values()) {
        this.#pump(pod);
        if (pod.over && !pod.dirty && !pod.reporting) this.#conclude(pod);
      }
    });
    time.after(random.delay(500, 10_000), () => {
      if (!this.isInTouch) return;
      if (this.node === undefined) this.#join();
      else this.#setReady(true);
    });
  }

  #join(): void {
    this.#incarnation += 1;
    this.#world.api.nodes.create({
      uid: `${this.name}.${this.#incarnation}`,
      namespace: "",
      name: this.name,
      resourceVersion: "0",
      ready: true,
      outOfService: false,
      addresses: [this.address],
      podCIDRs: [`${this.#network}.0/24`],
      labels: {},
      system: { operatingSystem: "linux", kubeletVersion: "v1.36.3", kernelVersion: "6.1.0" },
    });
    this.#world.story.tell([this.name], `api: ${this.name} joins`);
  }

  #setReady(ready: boolean): void {
    const { node } = this;
    if (node === undefined || node.ready === ready) return;
    this.#world.story.tell([this.name], `api: ${this.name} is ${ready ? "" : "not "}Ready`);
    // Whoever taints a node out of service takes the taint off when it is back.
    this.#world.api.nodes.update(node.uid, { ready, outOfService: ready ? false : node.outOfService });
  }

  #allAddresses(): string[] {
    return Array.from({ length: ADDRESSES }, (_, i) => `${this.#network}.${i + 2}`).reverse();
  }

  /** Nothing planned by a kubelet outlives its machine. */
  #later(ms: number, pod: LocalPod, run: () => void): void {
    this.#world.time.after(ms, () => {
      if (this.#pods.get(pod.uid) === pod) run();
    });
  }

  #tell(what: string, pod?: LocalPod): void {
    const topics = pod === undefined ? [this.name] : [pod.uid, pod.address ?? pod.uid];
    this.#world.story.tell(topics, `${this.name}: ${what}`);
  }
}
