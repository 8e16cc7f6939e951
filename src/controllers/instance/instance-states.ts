import type { Decision } from "../../plan/types.ts";
import { isExplained } from "../../plan/types.ts";
import type { InstanceRecord, Removal } from "../../registry/port.ts";
import type { Reason } from "../../verdict/reasons.ts";
import type { InstanceMemory, Judgement, VerdictKind } from "../../verdict/types.ts";
import type { Finding, InstanceCounts } from "../types.ts";
import { severity, worstOf } from "./worst.ts";

/** What is known of a record from its latest judgement. */
export interface KnownVerdict {
  readonly policy: string;
  readonly kind: VerdictKind;
  /** Undefined for Live. */
  readonly reason: string | undefined;
}

/** What is kept of one judged record. Live ones, the many, keep no verdict. */
interface InstanceState extends KnownVerdict {
  readonly registry: string;
  readonly service: string;
  readonly ttlMs: number;
  readonly memory: InstanceMemory;
  readonly finding: Finding | undefined;
  /** While a view is not fresh: what was found before. */
  readonly earlier: Finding | undefined;
}

/** An eviction that something held back. */
export interface HeldBack {
  /** A BlockReason. */
  readonly by: string;
  readonly removal: Removal;
}

const verdictKinds = Object.keys(severity) as VerdictKind[];

const NO_COUNTS: InstanceCounts = {
  Live: 0,
  Draining: 0,
  Zombie: 0,
  Suspect: 0,
  Contested: 0,
  Resurrected: 0,
  Foreign: 0,
  Unknown: 0,
};

const stale: ReadonlySet<string> = new Set<Reason>(["ClusterViewNotFresh", "RegistryViewNotFresh"]);

/** The verdict speaks of our views and not of the record. A condition tells it for all of them. */
export function isBlind({
  kind,
  reason,
}: {
  readonly kind: VerdictKind;
  readonly reason: string | undefined;
}): boolean {
  return kind === "Unknown" && reason !== undefined && stale.has(reason);
}

/** The latest judgement of every record that a policy is in charge of, with counts that are always up to date. */
export class InstanceStates {
  readonly #states = new Map<string, InstanceState>();
  /** By policy, then by registry; only those that have instances. */
  readonly #counts = new Map<string, Map<string, Record<VerdictKind, number>>>();
  /** By policy, so that a report never walks the live ones. */
  readonly #findings = new Map<string, Map<string, Finding>>();
  /** By policy: how many instances have which TTL, for those that have one. */
  readonly #ttls = new Map<string, Map<number, number>>();
  readonly #unexplained = new Map<string, number>();
  readonly #foreign = new Map<string, number>();
  /** By registry: how many records no policy was in charge of at the latest sweep. */
  readonly #unmanaged = new Map<string, number>();
  /** Live records by registry and service, for the floor that must remain. */
  readonly #liveByService = new Map<string, number>();

  /** Undefined for a record that was never judged. */
  get(key: string): KnownVerdict | undefined {
    return this.#states.get(key);
  }

  memory(key: string): InstanceMemory | undefined {
    return this.#states.get(key)?.memory;
  }

  /** Replaces the memory alone. @returns false for a record that was never judged */
  remember(key: string, memory: InstanceMemory): boolean {
    const state = this.#states.get(key);
    if (state !== undefined) this.#states.set(key, { ...state, memory });
    return state !== undefined;
  }

  /** @returns true when the policy in charge, or the verdict's kind, reason or action, differs from what was kept */
  set(
    key: string,
    policy: string,
    judgement: Judgement,
    memory: InstanceMemory,
    decision: Decision | undefined,
    now: Date,
  ): boolean {
    const before = this.#states.get(key);
    const isSamePolicy = before?.policy === policy;
    const { record, verdict } = judgement;
    const { registry, service, ttlMs } = record;
    const { kind } = verdict;
    const isSameRecord = before?.service === service && before.ttlMs === ttlMs;
    if (kind === "Live" && before?.kind === "Live" && isSamePolicy && isSameRecord) {
      if (before.memory !== memory) this.#states.set(key, { ...before, memory });
      return false;
    }
    const old = isSamePolicy ? before : undefined;
    const finding = kind === "Live" ? undefined : findingOf(judgement, decision, old, now);
    const earlier = isBlind(verdict) ? knownFinding(old) : undefined;
    const reason = kind === "Live" ? undefined : verdict.reason;
    if (before !== undefined) this.#forget(key, before);
    const state = { registry, service, ttlMs, policy, kind, reason, memory, finding, earlier };
    this.#states.set(key, state);
    this.#count(key, state);
    return old?.kind !== kind || old.reason !== reason || old.finding?.action !== finding?.action;
  }

  /** @returns the policy that was in charge, when the key was known */
  delete(key: string): string | undefined {
    const state = this.#states.get(key);
    if (state === undefined) return undefined;
    this.#forget(key, state);
    this.#states.delete(key);
    return state.policy;
  }

  clear(): void {
    for (const map of [this.#states, this.#counts, this.#findings, this.#ttls]) map.clear();
    for (const map of [this.#unexplained, this.#foreign, this.#unmanaged, this.#liveByService]) map.clear();
  }

  keys(): Iterable<string> {
    return this.#states.keys();
  }

  counts(policy: string): InstanceCounts {
    const sum = { ...NO_COUNTS };
    for (const counts of this.#counts.get(policy)?.values() ?? []) {
      for (const kind of verdictKinds) sum[kind] += counts[kind];
    }
    return sum;
  }

  /** The shortest time after which a registry forgets one of the policy's instances; undefined where none is forgotten. */
  shortestTtlMs(policy: string): number | undefined {
    return this.#ttls
      .get(policy)
      ?.keys()
      .reduce((a, b) => Math.min(a, b));
  }

  /** Every policy and registry that has instances, with their counts. */
  *allCounts(): Generator<{ readonly policy: string; readonly registry: string; readonly counts: InstanceCounts }> {
    for (const [policy, registries] of this.#counts) {
      for (const [registry, counts] of registries) yield { policy, registry, counts };
    }
  }

  /** Instances of a registry that look dead without a death that we saw. */
  unexplained(registry: string): number {
    return this.#unexplained.get(registry) ?? 0;
  }

  /** Live instances of the record's service besides the record, whatever that was judged to be last. */
  othersLive(key: string, { registry, service }: Pick<InstanceRecord, "registry" | "service">): number {
    const live = this.#liveByService.get(`${registry}\n${service}`) ?? 0;
    const own = this.#states.get(key);
    return own?.kind === "Live" && own.service === service ? live - 1 : live;
  }

  /** @param count records of the registry that no policy is in charge of, as a sweep has found */
  setUnmanaged(registry: string, count: number): void {
    this.#unmanaged.set(registry, count);
  }

  /**
   * Of so many records of a registry, those that policies look after: neither Foreign nor without a policy. What has not
   * been judged yet counts, so that the first few findings after a start are no large part of all.
   */
  lookedAfter(registry: string, records: number): number {
    const others = (this.#foreign.get(registry) ?? 0) + (this.#unmanaged.get(registry) ?? 0);
    // The view is ahead of the judgements: others may have left it that are still counted.
    return Math.max(0, records - others);
  }

  /** Worst first, at most `limit`. */
  findings(policy: string, limit: number): Finding[] {
    return worstOf(this.#findings.get(policy)?.values() ?? [], limit);
  }

  /** The findings of a policy whose eviction something held back, in no order. */
  *blocked(policy: string): Generator<HeldBack> {
    for (const { action, judgement } of this.#findings.get(policy)?.values() ?? []) {
      if (action.startsWith("None:")) yield { by: action.slice("None:".length), removal: judgement.record.removal };
    }
  }

  #count(key: string, state: InstanceState): void {
    this.#add(state, 1);
    if (state.finding === undefined) return;
    let findings = this.#findings.get(state.policy);
    if (findings === undefined) this.#findings.set(state.policy, (findings = new Map<string, Finding>()));
    findings.set(key, state.finding);
  }

  #forget(key: string, state: InstanceState): void {
    this.#add(state, -1);
    const findings = this.#findings.get(state.policy);
    if (findings?.delete(key) === true && findings.size === 0) this.#findings.delete(state.policy);
  }

  #add({ policy, registry, service, ttlMs, kind, finding }: InstanceState, by: 1 | -1): void {
    let registries = this.#counts.get(policy);
    if (registries === undefined)
      this.#counts.set(policy, (registries = new Map<string, Record<VerdictKind, number>>()));
    let counts = registries.get(registry);
    if (counts === undefined) registries.set(registry, (counts = { ...NO_COUNTS }));
    counts[kind] += by;
    if (by < 0 && verdictKinds.every((each) => counts[each] === 0)) {
      registries.delete(registry);
      if (registries.size === 0) this.#counts.delete(policy);
    }
    // What is another's to look after says nothing about this policy.
    if (ttlMs > 0 && kind !== "Foreign") this.#addTtl(policy, ttlMs, by);
    if (kind === "Live") bump(this.#liveByService, `${registry}\n${service}`, by);
    if (kind === "Foreign") bump(this.#foreign, registry, by);
    const evidence = finding?.judgement.verdict.evidence;
    // Contested too: where many registrants live whose pods are not seen, it is our view that is wrong.
    const looksDead = kind === "Suspect" || kind === "Zombie" || kind === "Contested";
    if (looksDead && (evidence === undefined || !isExplained(evidence.class))) bump(this.#unexplained, registry, by);
  }

  #addTtl(policy: string, ttlMs: number, by: 1 | -1): void {
    let ttls = this.#ttls.get(policy);
    if (ttls === undefined) this.#ttls.set(policy, (ttls = new Map<number, number>()));
    bump(ttls, ttlMs, by);
    if (ttls.size === 0) this.#ttls.delete(policy);
  }
}

/** A verdict keeps the date at which it was reached first, also over a time in which a view was not fresh. */
function findingOf(
  judgement: Judgement,
  decision: Decision | undefined,
  old: InstanceState | undefined,
  now: Date,
): Finding {
  const { kind } = judgement.verdict;
  const same = [old?.finding, old?.earlier].find((finding) => finding?.judgement.verdict.kind === kind);
  return { judgement, action: describeAction(decision), firstSeen: same?.firstSeen ?? now };
}

function knownFinding(old: InstanceState | undefined): Finding | undefined {
  return old !== undefined && isBlind(old) ? old.earlier : old?.finding;
}

function describeAction(decision: Decision | undefined): string {
  if (decision === undefined) return "";
  return decision.act === "None" ? `None:${decision.blockedBy}` : decision.act;
}

function bump<Key>(map: Map<Key, number>, key: Key, by: number): void {
  const next = (map.get(key) ?? 0) + by;
  if (next === 0) map.delete(key);
  else map.set(key, next);
}
