import type { Tombstone } from "../cluster/types.ts";
import type { InstanceRecord } from "../registry/port.ts";

/** How sure we are of a death, and therefore how soon it may be acted on (docs/how-it-works.md). */
export type EvidenceClass = "Confirmed" | "Terminating" | "Reused" | "Absent" | "Unconfirmed";

export type VerdictKind =
  "Live" | "Draining" | "Zombie" | "Suspect" | "Contested" | "Resurrected" | "Foreign" | "Unknown";

/** What the chain concluded about one record. */
export interface Verdict {
  readonly kind: VerdictKind;
  /** A constant of verdict/reasons.ts. */
  readonly reason: string;
  /** One sentence for a person: which witness said what. */
  readonly message: string;
  readonly evidence: Evidence | undefined;
  /**
   * Milliseconds after which the verdict can be another without any new event (a waiting time runs out); undefined
   * when only an event can change it.
   */
  readonly reviewAfterMs: number | undefined;
  /** A registry life reading is needed before the next judgement of this record. */
  readonly needsLifeReading: boolean;
  /** A complete list of pods newer than the present ones is needed. */
  readonly needsCompleteList: boolean;
}

export interface Evidence {
  readonly class: EvidenceClass;
  /** UID, namespace and name of the pod whose death this rests on; empty strings when there is none (Absent). */
  readonly podUid: string;
  readonly podNamespace: string;
  readonly podName: string;
  /** Local monotonic milliseconds at which the death was seen (or the absence began). */
  readonly since: number;
  /**
   * False only where the compare-and-delete alone is exact: Confirmed, the record seen before the death, no pod that
   * could have written it unseen, and an adapter with an exact guard. True: a live quorum read must come before the
   * write. Without an exact guard that read must also find no pod that is bound and has no address yet: its
   * registration could look like the old one.
   */
  readonly needsConfirmRead: boolean;
}

/**
 * What is remembered of a record between judgements. Lost on restart on purpose: every waiting time then starts again.
 * Made and moved on by verdict/memory.ts only.
 */
export interface InstanceMemory {
  /** Since when the record has been without any living owner in every judgement; undefined when it is not. */
  readonly suspectSince: number | undefined;
  /** ClusterReader.completeLists at that moment. */
  readonly listsAtSuspect: number;
  /** Possible registrants whose end no kubelet confirmed; kept here in case the cluster view forgets them first. */
  readonly unconfirmed: readonly RememberedDeath[];
  readonly life: LifeMemory | undefined;
  /** We evicted this id, and it came back with a write after our delete. */
  readonly resurrected: boolean;
}

/** A death at one of the record's endpoints. */
export interface RememberedDeath {
  readonly host: string;
  readonly tombstone: Tombstone;
}

/** The registry's own opinion, from readings of one lease; an empty `lease` says that it could not tell. */
export interface LifeMemory {
  readonly lease: string;
  /** How many readings of this lease there were. */
  readonly readings: number;
  /** When the requests of the first and of the last reading began. */
  readonly firstAt: number;
  readonly lastAt: number;
  readonly grantedMs: number;
  /** Bounds on the latest refresh before the last reading, local monotonic milliseconds. */
  readonly refreshedAfter: number;
  readonly refreshedBefore: number;
}

/** The part of a policy and of a Registry that the chain needs. Durations in milliseconds. */
export interface Rules {
  readonly absentForMs: number;
  /** 0 means twice the record's TTL. What is asked for counts from two thirds of the TTL up: clients refresh at a third. */
  readonly silentForMs: number;
  readonly terminating: "Wait" | "Evict";
  /** Metadata every record of ours must carry; empty when ownership is by address alone. */
  readonly requiredMetadata: Readonly<Record<string, string>>;
  /** Explicit pod networks; empty means those known from Nodes. */
  readonly podCIDRs: readonly string[];
}

/** What is known of the services a workload registers (verdict/services.ts). */
export interface ServiceKnowledge {
  /** Every service seen at the addresses of this workload's pods, in this registry; empty when nothing is known. */
  servicesOf(registry: string, workload: string): ReadonlySet<string>;
}

/** A record together with what became of it: the unit the plan and the report work on. */
export interface Judgement {
  readonly record: InstanceRecord;
  readonly verdict: Verdict;
  /** Name of the policy in charge, or undefined when none is. */
  readonly policy: string | undefined;
}
