import type { TombstoneLimits } from "../../../src/cluster/tombstones.ts";
import type { PlanRules } from "../../../src/plan/types.ts";
import { judge } from "../../../src/verdict/chain.ts";
import type { InstanceRecord } from "../../../src/registry/port.ts";
import type { EvidenceClass, Rules, Verdict, VerdictKind } from "../../../src/verdict/types.ts";
import { ApiServer } from "./api-server.ts";
import { Chaos } from "./chaos.ts";
import { Cluster, type Workload } from "./cluster.ts";
import { EtcdServer, type Weaknesses, type Writer } from "./etcd-server.ts";
import type { World } from "./machine.ts";
import { type Core, Operator } from "./operator.ts";
import { Process, type Style } from "./process.ts";
import { SeededRandom } from "./random.ts";
import { Story } from "./story.ts";
import { noneUnknowable, type Removed, unknowable, type UnknowableCounts } from "./unknowable.ts";
import { VirtualTime } from "./virtual-time.ts";

export interface SimulationOptions {
  readonly seed: number;
  /** How long everything goes wrong, milliseconds of virtual time. */
  readonly chaosMs: number;
  /** How long everything is quiet afterwards; 0: not at all. */
  readonly quietMs: number;
  readonly core?: Partial<Core>;
  /** Of the registry; without it each history draws its own. */
  readonly weaknesses?: Weaknesses;
}

export interface SimulationResult {
  readonly decisions: number;
  readonly verdicts: Readonly<Partial<Record<VerdictKind, number>>>;
  /** What left, by reason of the verdict. */
  readonly evictions: Readonly<Record<string, number>>;
  readonly byClass: Readonly<Partial<Record<EvidenceClass, number>>>;
  /** Live instances that were removed although nobody could have known better, by why. */
  readonly unknowable: UnknowableCounts;
  /** A live instance was removed: what happened, to be read. */
  readonly violation: string | undefined;
  /** Dead registrations that are still listed after the quiet, and that no rule protects: what happened to each. */
  readonly leftovers: readonly string[];
  /** Dead registrations that are still listed after the quiet, by the reason that protects them. */
  readonly protectedDead: Readonly<Record<string, number>>;
}

/** Reasons for which a dead registration may stay for ever: nobody can prove the death. */
const protecting = new Set([
  "OwnerLives",
  "AddressInUse",
  "CameBack",
  "NodeUnreachable",
  "PortDeclaredTwice",
  "NobodyCanTell",
  "PortNotDeclared",
  "HostNameUnknown",
]);

/** Longest time until a new operator has its first list of pods. */
const COLD_START_MS = 20_000;

const foreigner: Writer = { name: "another-cluster", alive: true };

/** One random history from one seed: a world, an operator that sees it late and in part, and what goes wrong. */
export class Simulation {
  readonly #options: SimulationOptions;
  readonly #time = new VirtualTime();
  readonly #story = new Story(this.#time);
  readonly #api = new ApiServer();
  readonly #etcd: EtcdServer;
  readonly #cluster: Cluster;
  readonly #world: World;
  readonly #rules: Rules;
  readonly #tombstones: TombstoneLimits;
  #operator: Operator;
  #decisions = 0;
  readonly #verdicts: Partial<Record<VerdictKind, number>> = {};
  readonly #evictions: Record<string, number> = {};
  readonly #byClass: Partial<Record<EvidenceClass, number>> = {};
  #violation: string | undefined;
  readonly #unknowable = noneUnknowable();
  readonly #podsGoneAt = new Map<string, number>();

  constructor(options: SimulationOptions) {
    this.#options = options;
    const random = new SeededRandom(options.seed);
    const weaknesses = options.weaknesses ?? drawWeaknesses(random);
    this.#etcd = new EtcdServer(this.#time, random, this.#story, weaknesses);
    this.#rules = {
      absentForMs: random.pick([30_000, 45_000, 120_000]),
      silentForMs: random.pick([0, 0, 5_000, 30_000]),
      terminating: random.pick(["Wait", "Wait", "Evict"]),
      requiredMetadata: {},
      podCIDRs: random.chance(0.3) ? ["10.244.0.0/16"] : [],
    };
    this.#tombstones = { count: random.pick([1_000, 1_000, 6]), ageMs: random.pick([3_600_000, 90_000]) };
    const workloads = makeWorkloads(random);
    const byName = new Map(workloads.map((workload) => [workload.name, workload]));
    this.#world = {
      time: this.#time,
      random,
      story: this.#story,
      api: this.#api,
      etcd: this.#etcd,
      kubeletsReportPhase: random.chance(0.8),
      workload: (name) => {
        const found = byName.get(name);
        if (found === undefined) throw new RangeError(`no workload ${name}`);
        return found;
      },
    };
    this.#cluster = new Cluster(this.#world, workloads, random.int(2, 4));
    for (const host of ["172.16.0.1", "172.16.0.2", "192.168.0.1"]) {
      this.#etcd.put(`naming/web/${host}:80`, JSON.stringify({ Addr: `${host}:80` }), "0", foreigner);
    }
    this.#api.pods.subscribe(({ type, object }) => {
      if (type === "DELETED") this.#podsGoneAt.set(object.uid, this.#time.monotonic());
    });
    this.#operator = this.#startOperator();
  }

  run(): SimulationResult {
    const { chaosMs, quietMs } = this.#options;
    // Registrations from before the operator's first start are there as well.
    const chaos = new Chaos(this.#world, this.#cluster, {
      operator: () => this.#operator,
      restartOperator: () => {
        if (this.#violation !== undefined) return;
        this.#operator.stop();
        this.#story.tell([], "operator: restarts");
        this.#operator = this.#startOperator();
      },
      // A client that is cut off longer than the time it has to spare looks dead to a policy that does not wait for it.
      patientSilence: this.#rules.silentForMs === 0,
    });
    this.#advance(chaosMs);
    chaos.end();
    if (quietMs > 0) this.#advance(quietMs);
    return {
      decisions: this.#decisions,
      verdicts: this.#verdicts,
      evictions: this.#evictions,
      byClass: this.#byClass,
      violation: this.#violation,
      unknowable: this.#unknowable,
      ...(quietMs > 0 && this.#violation === undefined ? this.#whatIsLeft() : { leftovers: [], protectedDead: {} }),
    };
  }

  #advance(ms: number): void {
    const end = this.#time.monotonic() + ms;
    while (this.#violation === undefined && this.#time.monotonic() < end) {
      this.#time.runUntil(Math.min(end, this.#time.monotonic() + 1_000));
    }
  }

  #startOperator(): Operator {
    return new Operator(
      this.#world,
      {
        core: { judge, comparesVersion: true, confirms: true, deletesAtOnce: true, ...this.#options.core },
        rules: this.#rules,
        plan: { ...planRules, terminating: this.#rules.terminating },
        sweepMs: 8_000,
        tombstones: this.#tombstones,
      },
      {
        judged: (_, { kind }) => {
          this.#decisions += 1;
          this.#verdicts[kind] = (this.#verdicts[kind] ?? 0) + 1;
        },
        evicting: (record, verdict) => this.#checkLaw(record, verdict),
      },
    );
  }

  /** The law: whatever leaves, its writer no longer runs. */
  #checkLaw(record: InstanceRecord, verdict: Verdict): void {
    const stored = this.#etcd.get(record.id);
    if (stored === undefined) throw new RangeError(`nothing is listed as ${record.id}`);
    const { writer } = stored;
    this.#evictions[verdict.reason] = (this.#evictions[verdict.reason] ?? 0) + 1;
    const evidence = verdict.evidence?.class ?? "Absent";
    this.#byClass[evidence] = (this.#byClass[evidence] ?? 0) + 1;
    if (!writer.alive || this.#violation !== undefined) return;
    if (writer instanceof Process && this.#isAskedFor(writer, verdict)) return;
    if (writer instanceof Process) {
      const machine = this.#cluster.machines.find((candidate) => candidate.processes().includes(writer));
      const why = unknowable({ record, stored, verdict, machine, ...this.#unseen(writer) });
      if (why !== undefined) {
        this.#unknowable[why] += 1;
        return;
      }
    }
    const host = record.endpoints[0]?.host ?? "";
    const pod = writer instanceof Process ? writer.podUid : "";
    const machines = this.#cluster.machines.map(({ name }) => name);
    this.#violation = [
      `seed ${this.#options.seed}: ${record.id} was removed while ${writer.name} runs`,
      `verdict: ${JSON.stringify(verdict)}`,
      `record: ${JSON.stringify(record)}`,
      `rules: ${JSON.stringify(this.#rules)}`,
      this.#story.about([record.id, host, pod, verdict.evidence?.podUid ?? "", ...machines]),
    ].join("\n");
  }

  /** A policy that drains takes out who has been told to go, before it has gone. */
  #isAskedFor(writer: Process, verdict: Verdict): boolean {
    const pod = this.#api.pods.get(writer.podUid);
    const mustGo = pod === undefined ? verdict.evidence?.podUid === writer.podUid : pod.deleting;
    return verdict.kind === "Draining" && this.#rules.terminating === "Evict" && mustGo;
  }

  #unseen({ podUid }: Process): Pick<Removed, "podGoneBefore" | "podGoneBetween"> {
    const goneAt = this.#podsGoneAt.get(podUid);
    const podGoneBefore = goneAt !== undefined && goneAt <= this.#operator.startedAt + COLD_START_MS;
    return { podGoneBefore, podGoneBetween: goneAt !== undefined && !this.#operator.hasSeen(podUid) };
  }

  #whatIsLeft(): Pick<SimulationResult, "leftovers" | "protectedDead"> {
    const protectedDead: Record<string, number> = {};
    const leftovers: string[] = [];
    for (const { key, writer } of this.#etcd.list()) {
      if (writer.alive) continue;
      const verdict = this.#operator.verdictOf(key);
      const reason = verdict?.reason ?? "NotJudged";
      // Where a rewrite can not be seen, any pod that waits for its address holds everything up.
      if (protecting.has(reason) || (reason === "PossibleNewborn" && this.#etcd.silentRewrites))
        protectedDead[reason] = (protectedDead[reason] ?? 0) + 1;
      else {
        const story = this.#story.about([key, ...this.#cluster.machines.map(({ name }) => name)]);
        leftovers.push(`seed ${this.#options.seed}: ${key} stays: ${JSON.stringify(verdict)}\n${story}`);
      }
    }
    return { leftovers, protectedDead };
  }
}

const planRules: Omit<PlanRules, "terminating"> = {
  mode: "Enforce",
  action: "Evict",
  minInstances: 0,
  budget: { evictionsPerSecond: 10, burst: 20, unexplainedPercentPerMinute: 50 },
};

function drawWeaknesses(random: SeededRandom): Weaknesses {
  const silentRewrites = random.chance(0.15);
  return { silentRewrites, unguardedDeletes: silentRewrites && random.chance(0.5) };
}

function makeWorkloads(random: SeededRandom): Workload[] {
  return Array.from({ length: random.int(3, 5) }, (_, i) => {
    const kind = random.pick(["Deployment", "Deployment", "Deployment", "StatefulSet", "HostNetwork"] as const);
    const style: Style = {
      services: random.chance(0.3) ? [`svc-${i}`, `svc-${i}-admin`] : [`svc-${i}`],
      layout: kind === "HostNetwork" || random.chance(0.6) ? "EtcdNaming" : "Kratos",
      keyedBy: kind === "StatefulSet" ? random.pick(["HostName", "Address"]) : random.pick(["Address", "Process"]),
      ttlMs: random.pick([0, 0, 10_000, 15_000, 30_000, 60_000, 300_000]),
      upkeep: random.pick(["None", "None", "PutsBack", "PutsAgain"]),
      deregisters: random.pick([0, 0.2, 0.8]),
    };
    const graceMs = random.pick([1_000, 5_000, 30_000]);
    // Workloads share ports, so that a successor at an address writes the same key only by being the same service.
    return {
      name: `prod/${kind}/app-${i}`,
      kind,
      style,
      port: kind === "HostNetwork" ? 9_100 + i : 8_080,
      graceMs,
      replicas: random.int(1, 4),
    };
  });
}
