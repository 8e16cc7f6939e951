import { ClusterView } from "../../../src/cluster/cluster-view.ts";
import type { NamespaceRecord } from "../../../src/cluster/project-namespace.ts";
import type { NodeRecord } from "../../../src/cluster/project-node.ts";
import type { TombstoneLimits } from "../../../src/cluster/tombstones.ts";
import type { PodRecord } from "../../../src/cluster/types.ts";
import type { Freshness } from "../../../src/kube/types.ts";
import { EvictionBudgets } from "../../../src/plan/budget.ts";
import { plan, planAll } from "../../../src/plan/filter.ts";
import { selfPreservation } from "../../../src/plan/self-preservation.ts";
import type { Decision, PlanContext, PlanRules } from "../../../src/plan/types.ts";
import type { InstanceRecord } from "../../../src/registry/port.ts";
import type { judge as realJudge } from "../../../src/verdict/chain.ts";
import type { JudgeInput } from "../../../src/verdict/gather.ts";
import { afterComeback, afterLifeReading, noMemory } from "../../../src/verdict/memory.ts";
import { LearnedServices } from "../../../src/verdict/services.ts";
import type { InstanceMemory, Judgement, Rules, Verdict } from "../../../src/verdict/types.ts";
import type { World } from "./machine.ts";
import { Reflected } from "./reflected.ts";
import { RegistryLink } from "./registry-link.ts";

/** What the operator under test is made of; a test breaks one of these on purpose to see the law broken. */
export interface Core {
  readonly judge: typeof realJudge;
  /** Without it every record is deleted as it is, whoever wrote it meanwhile. */
  readonly comparesVersion: boolean;
  readonly confirms: boolean;
  /** Without it a delete that compares nothing follows its last look by seconds. */
  readonly deletesAtOnce: boolean;
}

export interface OperatorOptions {
  readonly core: Core;
  readonly rules: Rules;
  readonly plan: PlanRules;
  readonly sweepMs: number;
  /** What the cluster view remembers of deaths; little, to see that nothing rests on it. */
  readonly tombstones: TombstoneLimits;
}

/** What the simulation is told of the operator's doings. */
export interface Observer {
  judged(record: InstanceRecord, verdict: Verdict): void;
  /** A delete is about to be committed by the registry. */
  evicting(record: InstanceRecord, verdict: Verdict): void;
}

const POLICY = "sim";
/** Longest time from the last look to a delete that is late. */
const LATE_MS = 5_000;

/** One life of the operator: the product's views, judgement and plan, around simulated connections. */
export class Operator {
  readonly pods: Reflected<PodRecord>;
  readonly nodes: Reflected<NodeRecord>;
  readonly registry: RegistryLink;
  readonly startedAt: number;
  readonly #world: World;
  readonly #options: OperatorOptions;
  readonly #observer: Observer;
  readonly #cluster: ClusterView;
  readonly #services = new LearnedServices();
  readonly #budgets = new EvictionBudgets();
  readonly #memories = new Map<string, InstanceMemory>();
  readonly #verdicts = new Map<string, Verdict>();
  /** Ids with an eviction, a life reading or a review under way. */
  readonly #evicting = new Set<string>();
  readonly #reading = new Set<string>();
  readonly #reviews = new Map<string, number>();
  readonly #podsSeen = new Set<string>();
  #stopped = false;

  constructor(world: World, options: OperatorOptions, observer: Observer) {
    this.#world = world;
    this.#options = options;
    this.#observer = observer;
    this.startedAt = world.time.monotonic();
    this.#cluster = new ClusterView({
      clock: world.time,
      tombstones: options.tombstones,
      sources: {
        pods: () => this.pods.freshness,
        nodes: () => this.nodes.freshness,
        slices: () => this.#always(),
        namespaces: () => this.#always(),
      },
    });
    const { sinks } = this.#cluster;
    sinks.namespaces.apply([{ type: "Added", object: kubeSystem, createdAfter: -Infinity }], "List");
    this.pods = new Reflected({ ...world, server: world.api, objects: world.api.pods }, sinks.pods);
    this.nodes = new Reflected({ ...world, server: world.api, objects: world.api.nodes }, sinks.nodes);
    this.registry = new RegistryLink(world.time, world.random, world.etcd);
    this.#cluster.subscribe((events) => {
      for (const event of events) {
        if (event.kind !== "Pod") continue;
        this.#podsSeen.add(event.pod.uid);
        for (const host of [...event.addresses, ...event.hosts]) {
          for (const record of this.registry.view.byHost(host)) this.#judgeNow(record.id);
        }
      }
    });
    this.registry.view.subscribe(({ upserted, removed }) => {
      for (const { id } of removed) this.#forget(id);
      for (const { record } of upserted) this.#judgeNow(record.id);
    });
    // A cold start: the registry is often read before the pods are listed.
    world.time.after(world.random.delay(1, 20_000), () => this.pods.list());
    world.time.after(world.random.delay(1, 5_000), () => this.nodes.list());
    this.#sweepLater();
    this.#listLater();
  }

  /** Killed: whatever was under way at a server goes on there. */
  stop(): void {
    this.#stopped = true;
    this.pods.stop();
    this.nodes.stop();
    this.registry.stop();
  }

  /** Whether a pod was ever in its view, in whatever state. */
  hasSeen(podUid: string): boolean {
    return this.#podsSeen.has(podUid);
  }

  verdictOf(id: string): Verdict | undefined {
    return this.#verdicts.get(id);
  }

  records(): InstanceRecord[] {
    return [...this.registry.view.values()];
  }

  #sweepLater(): void {
    this.#world.time.after(this.#options.sweepMs * this.#world.random.between(0.8, 1.2), () => {
      if (this.#stopped) return;
      const judgements = this.records().map((record) => this.#judge(record));
      for (const decision of planAll(judgements, () => this.#contextOf(), this.#world.random.next)) this.#act(decision);
      this.#sweepLater();
    });
  }

  /** As the reflector does by itself, in case an event got lost. */
  #listLater(): void {
    this.#world.time.after(this.#world.random.between(60_000, 120_000), () => {
      if (this.#stopped) return;
      this.pods.list();
      this.#listLater();
    });
  }

  #judgeNow(id: string): void {
    const record = this.registry.view.get(id);
    if (record === undefined || this.#stopped) return;
    this.#act(plan(this.#judge(record), this.#contextOf()));
  }

  #judge(record: InstanceRecord): Judgement {
    this.#learn(record);
    const { verdict, memory } = this.#options.core.judge(this.#inputFor(record));
    this.#memories.set(record.id, memory);
    this.#verdicts.set(record.id, verdict);
    this.#observer.judged(record, verdict);
    this.#followUp(record.id, verdict);
    return { record, verdict, policy: POLICY };
  }

  #inputFor(record: InstanceRecord): JudgeInput {
    return {
      record,
      cluster: this.#cluster,
      registry: this.registry.view.freshness(),
      memory: this.#memories.get(record.id),
      knowledge: this.#services,
      rules: this.#options.rules,
      exactGuard: !this.#world.etcd.silentRewrites,
      now: this.#world.time.monotonic(),
    };
  }

  #learn(record: InstanceRecord): void {
    for (const { host, isIp, port } of record.endpoints) {
      const found = isIp ? this.#cluster.lookup(host, port) : this.#cluster.lookupHost(host);
      for (const live of found?.live ?? []) this.#services.observe(record, live, !this.#world.etcd.silentRewrites);
    }
  }

  #followUp(id: string, verdict: Verdict): void {
    if (verdict.needsCompleteList) this.#world.time.after(1_500, () => this.pods.list());
    if (verdict.needsLifeReading) this.#readLife(id);
    const { reviewAfterMs } = verdict;
    if (reviewAfterMs === undefined) return;
    const now = this.#world.time.monotonic();
    const planned = this.#reviews.get(id);
    if (planned !== undefined && planned > now && planned <= now + reviewAfterMs) return;
    const at = now + reviewAfterMs;
    this.#reviews.set(id, at);
    this.#world.time.after(reviewAfterMs, () => {
      if (this.#reviews.get(id) === at) this.#judgeNow(id);
    });
  }

  #readLife(id: string): void {
    const lease = this.#world.etcd.get(id)?.lease;
    if (this.#reading.has(id) || lease === undefined) return;
    this.#reading.add(id);
    const { time, random, etcd } = this.#world;
    const startedAt = time.monotonic();
    time.after(random.delay(1, 1_500), () => {
      const answer = etcd.timeToLive(lease);
      time.after(random.delay(1, 1_500), () => {
        this.#reading.delete(id);
        const record = this.registry.view.get(id);
        if (record === undefined || this.#stopped) return;
        const now = time.monotonic();
        const reading = answer && ({ kind: "Lease", lease, ...answer, startedAt, endedAt: now } as const);
        const memory = this.#memories.get(id) ?? noMemory;
        this.#memories.set(id, afterLifeReading(memory, record, reading ?? { kind: "None" }, now));
        this.#judgeNow(id);
      });
    });
  }

  #contextOf(): PlanContext {
    const { size } = this.registry.view;
    const kinds = [...this.#verdicts.values()];
    const lists = this.#cluster.listHistory.map(({ podCount, witnessedDeaths }) => ({
      pods: podCount,
      witnessedDeaths,
    }));
    return {
      rules: this.#options.plan,
      deleting: false,
      canQuarantine: false,
      quarantineHasRoom: false,
      liveInService: 1,
      instances: size,
      selfPreservation: selfPreservation({
        instances: size,
        unexplained: kinds.filter(({ kind }) => kind === "Suspect").length,
        lists,
        nodes: this.#cluster.nodeCounts,
      }),
      budgets: this.#budgets,
      audited: false,
      now: this.#world.time.monotonic(),
    };
  }

  #act(decision: Decision): void {
    if (decision.act === "None") return;
    const { record, verdict } = decision.judgement;
    if (this.#evicting.has(record.id)) return;
    this.#evicting.add(record.id);
    const { time, random, story } = this.#world;
    const what = `${verdict.kind} ${verdict.reason}: ${verdict.message}`;
    story.tell([record.id], `operator: wants ${record.id} ${record.version} out (${what})`);
    if (verdict.evidence?.needsConfirmRead === false || !this.#options.core.confirms) {
      this.#write(record, verdict);
      return;
    }
    // Without an exact guard the write must follow its last look faster than any pod can start.
    const longest = this.#world.etcd.silentRewrites ? 20 : 400;
    time.after(random.delay(1, 400), () => {
      const objection = this.#objection(record);
      time.after(random.delay(1, longest), () => {
        if (this.#stopped) return;
        const now = this.registry.view.get(record.id);
        const again = now && this.#options.core.judge(this.#inputFor(now)).verdict;
        const holds = again?.kind === verdict.kind && again.evidence?.class === verdict.evidence?.class;
        if (objection || !holds || now?.version !== record.version) this.#evicting.delete(record.id);
        else this.#write(record, verdict);
      });
    });
  }

  /** What the quorum read sees and the view does not: a pod at the address, or one that has none yet. */
  #objection(record: InstanceRecord): boolean {
    const { api, etcd } = this.#world;
    const pods = api.pods.list().filter(({ phase }) => phase === "Pending" || phase === "Running");
    const isHidden = (pod: PodRecord): boolean => pod.node !== "" && !pod.hostNetwork && pod.addresses.length === 0;
    if (etcd.silentRewrites && pods.some(isHidden)) return true;
    return record.endpoints.some(({ host, isIp, port }) => {
      const lookup = isIp ? this.#cluster.lookup(host, port) : this.#cluster.lookupHost(host);
      const known = new Set(lookup?.live.map(({ pod }) => pod.uid));
      return pods.some((pod) => {
        if (known.has(pod.uid)) return false;
        if (!pod.hostNetwork) return pod.addresses.includes(host) || pod.dnsNames.some((name) => host.startsWith(name));
        const onNode = api.nodes.list().some(({ name, addresses }) => name === pod.node && addresses.includes(host));
        return onNode && pod.ports.some(({ hostPort }) => hostPort === port);
      });
    });
  }

  /**
   * The request may be under way for long; it is compared and deleted in one step when it arrives. Where the registry
   * compares nothing, the last look at the entry is a request of its own, a moment before.
   */
  #write(record: InstanceRecord, verdict: Verdict): void {
    const { time, random, etcd, story } = this.#world;
    const [usual, slow] = etcd.silentRewrites ? [20, 20] : [100, 40_000];
    time.after(random.delay(1, random.chance(0.98) ? usual : slow), () => {
      const stored = etcd.get(record.id);
      const version = stored && `${this.registry.era}.${stored.modRevision}.${stored.lease}`;
      if (version === record.version || (stored !== undefined && !this.#options.core.comparesVersion)) {
        const longest = this.#options.core.deletesAtOnce ? usual : LATE_MS;
        if (etcd.unguardedDeletes) time.after(random.delay(1, longest), () => this.#delete(record, verdict));
        else this.#delete(record, verdict);
      } else {
        story.tell([record.id], `operator: ${record.id} is not ${record.version} any more`);
        this.#evicting.delete(record.id);
      }
    });
  }

  /** Whatever is listed by now. */
  #delete(record: InstanceRecord, verdict: Verdict): void {
    const { etcd } = this.#world;
    this.#evicting.delete(record.id);
    if (etcd.get(record.id) === undefined) return;
    this.#observer.evicting(record, verdict);
    etcd.delete(record.id, `evicted (${verdict.reason})`);
    this.#verify(record);
  }

  #verify({ id }: InstanceRecord): void {
    const { time, random, etcd, story } = this.#world;
    time.after(random.between(5, 1_500), () => {
      if (etcd.get(id) === undefined) return;
      story.tell([id], `operator: ${id} came back`);
      this.#memories.set(id, afterComeback(this.#memories.get(id) ?? noMemory));
    });
  }

  #forget(id: string): void {
    for (const map of [this.#memories, this.#verdicts, this.#reviews]) map.delete(id);
  }

  /** Kinds that the histories leave alone are always fresh. */
  #always(): Freshness {
    return { synced: true, caughtUpTo: this.#world.time.monotonic(), completeLists: 1, problem: undefined };
  }
}

const kubeSystem: NamespaceRecord = {
  uid: "kube-system",
  namespace: "",
  name: "kube-system",
  resourceVersion: "1",
  labels: {},
};
