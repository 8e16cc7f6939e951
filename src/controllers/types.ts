import type { PodPolicy } from "../admission/types.ts";
import type { NamingRule } from "../cluster/service-index.ts";
import type { PodRecord } from "../cluster/types.ts";
import type { ViewProblem } from "../kube/types.ts";
import type { PlanRules } from "../plan/types.ts";
import type { RolloutRules } from "../rollout/types.ts";
import type { RegistryAdapter, RegistryReader, RestorePayload } from "../registry/port.ts";
import type { EvidenceClass, Judgement, VerdictKind } from "../verdict/types.ts";

/** A RegistrationPolicy that was accepted, in the form the instance controller works with. */
export interface CompiledPolicy {
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly priority: number;
  /** True when both selectors are empty: it is also in charge of records whose pods nobody remembers. */
  readonly matchesEverything: boolean;
  matches(pod: PodRecord, namespaceLabels: Readonly<Record<string, string>>): boolean;
  /** Registry name -> role. Empty when the policy is about pods only: then no record is ever judged by it. */
  readonly registries: ReadonlyMap<string, "Primary" | "Backup">;
  readonly absentForMs: number;
  /** 0 = twice the record's TTL. */
  readonly silentForMs: number;
  readonly plan: PlanRules;
  /** What it wants of pods; undefined when it wants nothing of them. */
  readonly podPolicy: PodPolicy | undefined;
  readonly naming: NamingRule | undefined;
  /** How pods that differ are replaced; undefined when they are not. */
  readonly rollout?: RolloutRules | undefined;
}

/** The policies in force, best first: highest priority, then the older, then by name. */
export interface PolicySet {
  /** The one policy in charge of a pod (it wins whole), or undefined. Opted-out pods have none. */
  forPod(pod: PodRecord): CompiledPolicy | undefined;
  get(name: string): CompiledPolicy | undefined;
  values(): Iterable<CompiledPolicy>;
  /** False at once when the policy was deleted, is being deleted, is not accepted, or is another object by UID. */
  isInForce(name: string, uid: string): boolean;
  /** Called after any change of the set. @returns what ends the subscription */
  subscribe(listener: () => void): () => void;
}

/** One Registry object and what runs for it. */
export interface ManagedRegistry {
  readonly name: string;
  readonly uid: string;
  readonly adapter: RegistryAdapter;
  readonly view: RegistryReader;
  readonly requiredMetadata: Readonly<Record<string, string>>;
  /** Empty = from Nodes (`Auto`). */
  readonly podCIDRs: readonly string[];
}

/** The registries that exist and are not being deleted. */
export interface RegistrySet {
  get(name: string): ManagedRegistry | undefined;
  values(): Iterable<ManagedRegistry>;
  isInForce(name: string, uid: string): boolean;
  /**
   * Records that changed in any registry's view: upserted ones and ids that left. `whole` is true for the first
   * snapshot of a registry: a sweep is better than one key at a time.
   * @returns what ends the subscription
   */
  subscribe(listener: (change: RegistryChange) => void): () => void;
}

export interface RegistryChange {
  readonly registry: string;
  readonly upserted: readonly string[];
  readonly removed: readonly string[];
  readonly whole: boolean;
}

export type InstanceCounts = Readonly<Record<VerdictKind, number>>;

/** One line of a report's findings. */
export interface Finding {
  readonly judgement: Judgement;
  /** Wall time when this verdict was first reached. */
  readonly firstSeen: Date;
  /** `Evict`, `Quarantine`, or `None:<BlockReason>`. */
  readonly action: string;
}

/** One eviction, with what restores it; one in quarantine is registered still and needs no restoring. */
export interface EvictionEntry {
  readonly time: Date;
  readonly registry: string;
  readonly service: string;
  readonly instance: string;
  readonly id: string;
  readonly address: string;
  readonly evidence: EvidenceClass;
  readonly reason: string;
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly traceId: string;
  /**
   * How the evictor found it to have gone. A quarantine is `Quarantined` as long as it may be in force, then `Released`
   * (by us) or `Ended` (not by us).
   */
  readonly result: string;
  readonly restore: RestorePayload | undefined;
}

/** What the instance controller knows per policy, for status and report. */
export interface InstanceSummary {
  counts(policy: string): InstanceCounts;
  /** Worst first, at most `limit`. */
  findings(policy: string, limit: number): readonly Finding[];
  /** Newest first, at most 100, since this process became leader. */
  evictions(policy: string): readonly EvictionEntry[];
  /**
   * What is in quarantine by the policy, newest first, whichever leader put it there; never more than a report holds.
   * Undefined while it is not known what earlier leaders left: no report must be written without that.
   */
  quarantines(policy: string): readonly EvictionEntry[] | undefined;
  /** How many entries are in quarantine by this policy, whichever leader put them there. */
  quarantined(policy: string): number;
  /** Evictions done by this process for the policy; the status adds them to what it already says. */
  evicted(policy: string): { readonly total: number; readonly last: Date | undefined };
  /** The shortest time after which a registry forgets one of its instances by itself; undefined where none is known. */
  shortestTtlMs(policy: string): number | undefined;
  /** Why evictions of this policy are held back now, the most important reason; undefined when nothing is. */
  blocked(policy: string): ViewProblem | undefined;
  /** Called after changes that a status or report would show. Not throttled: the listener is. */
  subscribe(listener: (policy: string) => void): () => void;
}
