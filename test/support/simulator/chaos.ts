import type { Cluster } from "./cluster.ts";
import type { Machine, World } from "./machine.ts";
import type { Operator } from "./operator.ts";

export interface ChaosTargets {
  operator(): Operator;
  restartOperator(): void;
  /** Policies wait so long that a client may be cut off from the registry for any time. */
  readonly patientSilence: boolean;
}

interface Mishap {
  readonly weight: number;
  readonly happen: () => void;
}

/** What goes wrong, and how often beside the others. */
export class Chaos {
  readonly #world: World;
  readonly #cluster: Cluster;
  readonly #targets: ChaosTargets;
  readonly #mishaps: readonly Mishap[];
  #over = false;

  constructor(world: World, cluster: Cluster, targets: ChaosTargets) {
    this.#world = world;
    this.#cluster = cluster;
    this.#targets = targets;
    this.#mishaps = [
      ...this.#podMishaps(),
      ...this.#machineMishaps(),
      ...this.#viewMishaps(),
      ...this.#registryMishaps(),
    ];
    // Some begin gently and some do not.
    this.#next(world.random.between(400, 4_000));
  }

  /** Everything that can be healed is healed, and nothing goes wrong any more. */
  end(): void {
    this.#over = true;
    this.#world.story.tell([], "quiet begins");
    for (const machine of this.#cluster.machines) this.#heal(machine);
  }

  #next(paceMs: number): void {
    const { time, random } = this.#world;
    time.after(random.between(0, 2 * paceMs), () => {
      if (this.#over) return;
      this.#pickOne().happen();
      this.#next(paceMs);
    });
  }

  #pickOne(): Mishap {
    const total = this.#mishaps.reduce((sum, { weight }) => sum + weight, 0);
    let at = this.#world.random.between(0, total);
    const chosen = this.#mishaps.find(({ weight }) => (at -= weight) < 0) ?? this.#mishaps[0];
    if (chosen === undefined) throw new RangeError("nothing can go wrong");
    return chosen;
  }

  #podMishaps(): Mishap[] {
    const { random } = this.#world;
    const cluster = this.#cluster;
    const withPod = (act: (pod: ReturnType<Cluster["pods"]>[number]) => void) => (): void => {
      const pods = cluster.pods();
      if (pods.length > 0) act(random.pick(pods));
    };
    const inContainer = (act: (machine: Machine, uid: string) => void): (() => void) =>
      withPod((pod) => {
        const machine = cluster.machineOf(pod);
        if (machine !== undefined) act(machine, pod.uid);
      });
    return [
      { weight: 12, happen: withPod((pod) => cluster.deletePod(pod)) },
      { weight: 4, happen: withPod((pod) => cluster.forceDeletePod(pod)) },
      { weight: 6, happen: inContainer((machine, uid) => machine.crash(uid)) },
      { weight: 2, happen: inContainer((machine, uid) => machine.crashAndDelete(uid, () => this.#deleteSomehow(uid))) },
      { weight: 3, happen: inContainer((machine, uid) => machine.finish(uid)) },
      { weight: 2, happen: () => void (random.pick(cluster.workloads).replicas = random.int(0, 4)) },
      {
        weight: 2,
        happen: () => {
          const { name } = random.pick(cluster.workloads);
          for (const pod of cluster.pods()) if (pod.workload === name) cluster.deletePod(pod);
        },
      },
    ];
  }

  #deleteSomehow(uid: string): void {
    const pod = this.#world.api.pods.get(uid);
    if (pod === undefined) return;
    if (this.#world.random.chance(0.5)) this.#cluster.deletePod(pod);
    else this.#cluster.forceDeletePod(pod);
  }

  #machineMishaps(): Mishap[] {
    const { time, random } = this.#world;
    const cluster = this.#cluster;
    const machine = (): Machine => random.pick(cluster.machines);
    return [
      { weight: 4, happen: () => machine().slowDown(random.between(5_000, 60_000)) },
      {
        weight: 3,
        happen: () => {
          const cutOff = machine();
          cutOff.unlink();
          time.after(random.delay(2_000, 60_000), () => cutOff.link());
        },
      },
      { weight: 1, happen: () => this.#partition(machine()) },
      {
        weight: 1,
        happen: () => {
          const lost = machine();
          lost.powerOff();
          time.after(random.between(20_000, 200_000), () => lost.powerOn());
        },
      },
      { weight: 1, happen: () => cluster.taintOutOfService(machine()) },
      { weight: 1, happen: () => cluster.deleteNode(machine()) },
      {
        weight: 2,
        happen: () => {
          const silent = cluster.machines.filter(({ isInTouch }) => !isInTouch).map(({ name }) => name);
          for (const pod of cluster.pods()) {
            if (!silent.includes(pod.node)) continue;
            if (random.chance(0.5)) cluster.forceDeletePod(pod);
            else cluster.deletePod(pod);
          }
        },
      },
    ];
  }

  /** Cut off for minutes: its pods go from the API in one way or another, and run on. */
  #partition(machine: Machine): void {
    const { time, random } = this.#world;
    machine.unlink();
    time.after(random.between(20_000, 100_000), () => {
      if (machine.isInTouch) return;
      if (random.chance(0.3)) this.#cluster.deleteNode(machine);
      for (const pod of this.#cluster.pods()) {
        if (pod.node !== machine.name || random.chance(0.3)) continue;
        if (random.chance(0.7)) this.#cluster.forceDeletePod(pod);
        else this.#cluster.deletePod(pod);
      }
      if (random.chance(0.3)) time.after(random.between(1_000, 30_000), () => this.#targets.restartOperator());
    });
    time.after(random.between(100_000, 400_000), () => machine.link());
  }

  #viewMishaps(): Mishap[] {
    const { random } = this.#world;
    const streams = (): readonly { readonly channel: Operator["pods"]["channel"]; cut(ms: number): void }[] => {
      const { pods, nodes, registry } = this.#targets.operator();
      return [pods, pods, pods, nodes, registry, registry];
    };
    return [
      { weight: 3, happen: () => random.pick(streams()).channel.slowFor(random.between(2_000, 30_000)) },
      { weight: 2, happen: () => random.pick(streams()).channel.stallFor(random.delay(2_000, 60_000)) },
      { weight: 2, happen: () => random.pick(streams()).cut(random.delay(50, 40_000)) },
      { weight: 2, happen: () => this.#targets.operator().pods.list() },
      { weight: 0.7, happen: () => this.#targets.restartOperator() },
    ];
  }

  #registryMishaps(): Mishap[] {
    const { random, etcd, time } = this.#world;
    return [
      { weight: 1, happen: () => etcd.electLeader() },
      {
        weight: 3,
        happen: () => {
          const processes = this.#cluster.machines.flatMap((machine) => machine.processes());
          if (processes.length === 0) return;
          const process = random.pick(processes);
          process.loseRegistry(
            this.#targets.patientSilence ? random.delay(1_000, 120_000) : process.spareMs * random.next(),
          );
        },
      },
      {
        weight: 0.2,
        happen: () => {
          const backup = random.chance(0.3) ? undefined : etcd.backup();
          time.after(random.delay(500, 30_000), () => etcd.restore(backup));
        },
      },
    ];
  }

  /** Somebody looks after every machine in the end. */
  #heal(machine: Machine): void {
    if (machine.isRunning) machine.link();
    else machine.powerOn();
    machine.link();
  }
}
