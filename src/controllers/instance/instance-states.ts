import type { Decision } from "../../plan/types.ts";
import { isExplained } from "../../plan/types.ts";
import type { InstanceMemory, Judgement, VerdictKind } from "../../verdict/types.ts";
import type { Finding, InstanceCounts } from "../types.ts";

/** What is kept of one judged record. Live ones, the many, keep no verdict. */
interface InstanceState {
  readonly registry: string;
  readonly service: string;
  readonly policy: string;
  readonly kind: VerdictKind;
  readonly memory: InstanceMemory;
  readonly finding: Finding | undefined;
}

/** Worst first: what needs a person, then what is about to leave, then what is merely open. */
const severity: Readonly<Record<VerdictKind, number>> = {
  Resurrected: 0,
  Contested: 1,
  Zombie: 2,
  Suspect: 3,
  Unknown: 4,
  Draining: 5,
  Foreign: 6,
  Live: 7,
};

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

/** The latest judgement of every record that a policy is in charge of, with counts that are always up to date. */
export class InstanceStates {
  readonly #states = new Map<string, InstanceState>();
  /** By policy, then by registry. */
  readonly #counts = new Map<string, Map<string, Record<VerdictKind, number>>>();
  /** By policy, so that a report never walks the live ones. */
  readonly #findings = new Map<string, Map<string, Finding>>();
  readonly #unexplained = new Map<string, number>();
  /** Live records by registry and service, for the floor that must remain. */
  readonly #liveByService = new Map<string, number>();

  memory(key: string): InstanceMemory | undefined {
    return this.#states.get(key)?.memory;
  }

  kind(key: string): VerdictKind | undefined {
    return this.#states.get(key)?.kind;
  }

  /** @returns true when the verdict's kind, reason or action differs from what was kept */
  set(
    key: string,
    policy: string,
    judgement: Judgement,
    memory: InstanceMemory,
    decision: Decision | undefined,
    now: Date,
  ): boolean {
    const before = this.#states.get(key);
    const { record, verdict } = judgement;
    const action = describeAction(decision);
    const old = before?.policy === policy ? before.finding : undefined;
    const same =
      before?.policy === policy &&
      before.kind === verdict.kind &&
      (verdict.kind === "Live" || (old?.action === action && old.judgement.verdict.reason === verdict.reason));
    if (before !== undefined) this.#forget(key, before);
    const keepsDate = old?.judgement.verdict.kind === verdict.kind;
    const finding =
      verdict.kind === "Live" ? undefined : { judgement, action, firstSeen: keepsDate ? old.firstSeen : now };
    const state = { registry: record.registry, service: record.service, policy, kind: verdict.kind, memory, finding };
    this.#states.set(key, state);
    this.#count(key, state);
    return !same;
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
    for (const map of [this.#states, this.#counts, this.#findings, this.#unexplained, this.#liveByService]) map.clear();
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

  liveInService(registry: string, service: string): number {
    return this.#liveByService.get(`${registry}\n${service}`) ?? 0;
  }

  findings(policy: string, limit: number): Finding[] {
    const all = [...(this.#findings.get(policy)?.values() ?? [])];
    all.sort(
      (a, b) =>
        severity[a.judgement.verdict.kind] - severity[b.judgement.verdict.kind] ||
        a.firstSeen.getTime() - b.firstSeen.getTime() ||
        (a.judgement.record.id < b.judgement.record.id ? -1 : 1),
    );
    return all.slice(0, limit);
  }

  /** The findings of a policy whose eviction something held back, in no order. */
  *blocked(policy: string): Generator<string> {
    for (const finding of this.#findings.get(policy)?.values() ?? []) {
      if (finding.action.startsWith("None:")) yield finding.action.slice("None:".length);
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
    this.#findings.get(state.policy)?.delete(key);
  }

  #add(state: InstanceState, by: 1 | -1): void {
    let registries = this.#counts.get(state.policy);
    if (registries === undefined) this.#counts.set(state.policy, (registries = new Map()));
    let counts = registries.get(state.registry);
    if (counts === undefined) registries.set(state.registry, (counts = { ...NO_COUNTS }));
    counts[state.kind] += by;
    if (state.kind === "Live") bump(this.#liveByService, `${state.registry}\n${state.service}`, by);
    const evidence = state.finding?.judgement.verdict.evidence;
    const suspicious = state.kind === "Suspect" || state.kind === "Zombie";
    if (suspicious && (evidence === undefined || !isExplained(evidence.class))) {
      bump(this.#unexplained, state.registry, by);
    }
  }
}

function describeAction(decision: Decision | undefined): string {
  if (decision === undefined) return "";
  return decision.act === "None" ? `None:${decision.blockedBy}` : decision.act;
}

function bump(map: Map<string, number>, key: string, by: number): void {
  const next = (map.get(key) ?? 0) + by;
  if (next === 0) map.delete(key);
  else map.set(key, next);
}
