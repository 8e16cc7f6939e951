import type { ViewProblem } from "../kube/types.ts";

/** One place an instance can be reached at. */
export interface Endpoint {
  /** Canonical IP address, or a host name in lower case. */
  readonly host: string;
  readonly isIp: boolean;
  /** 0 when the registration names none. */
  readonly port: number;
}

/**
 * One instance as a registry lists it. Frozen; a change in the registry makes a new object.
 * All times are local monotonic milliseconds: bounds on when we know things happened, never another machine's clock.
 */
export interface InstanceRecord {
  /** Name of the Registry object. */
  readonly registry: string;
  /** Unique and stable inside the registry: for etcd the key. */
  readonly id: string;
  readonly service: string;
  /** What the framework calls this instance (node id, lease id, ...). */
  readonly instance: string;
  /** At least one. The record is dead only when all of them are. */
  readonly endpoints: readonly Endpoint[];
  /** How it was decoded: for etcd the layout's name. */
  readonly format: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** The fence: differs whenever the record was written. Opaque, compared for equality only. */
  readonly version: string;
  /**
   * Upper bound on when the present writer wrote it first: the record, with its present writer, existed by then.
   * A rewrite that is certain to come from the same process (etcd: same create revision, same non-zero lease, same
   * value) does not move it.
   */
  readonly seenAt: number;
  /** Lower bound on the same write; `-Infinity` when unknown (a snapshot). */
  readonly writtenAfter: number;
  /** Lower bound on the last write of any kind; a bound after a pod's death is a sign of life. */
  readonly touchedAfter: number;
  /** Time after which the registry forgets a silent instance by itself, milliseconds; 0 when never. */
  readonly ttlMs: number;
  /**
   * The registry hears the registrant, and calls it silent after a time that it does not tell (Consul's checks by TTL):
   * readLife() says more. It never forgets it for that.
   */
  readonly isHeard?: boolean;
  /** Another controller is in charge of this entry (its name); such an entry is reported, never touched. */
  readonly managedBy: string | undefined;
  /**
   * Out of rotation, whoever took it out: a registry need not know who did. Taking it out and putting it back may move
   * `version`, and moves none of the bounds: they speak of the registrant.
   */
  readonly quarantined: boolean;
  /** Whether deregister() can work on this very record, and why not. */
  readonly removal: Removal;
}

export type Removal =
  | { readonly effective: "Yes" }
  | { readonly effective: "No" | "Unknown"; readonly reason: string; readonly message: string };

/** What an adapter can do at all. */
export interface Capabilities {
  /** deregister() compares the record's version in the same step as the delete. */
  readonly guardedDelete: boolean;
  /** The version moves on every write, so that the guard alone tells a newborn from the old record. */
  readonly exactGuard: boolean;
  /** The undo record is written in the same transaction as the delete. */
  readonly undoInTransaction: boolean;
  readonly quarantine: boolean;
}

/** Receives what a registry holds. Calls come in the registry's order; they must not throw and must not block. */
export interface RegistrySink {
  /** The whole content; replaces everything known. Sent at start and after a gap that a watch can not bridge. */
  snapshot(records: readonly InstanceRecord[]): void;
  /** Changes since the snapshot. A record that changed is upserted under its id. */
  change(upserted: readonly InstanceRecord[], removed: readonly string[]): void;
  freshness(state: RegistryFreshness): void;
  /** Totals of what was listed under our prefixes and is not an instance, by reason. Replaces the earlier totals. */
  ignored(totals: Readonly<Record<string, number>>): void;
}

export interface RegistryFreshness {
  /** A complete consistent read has arrived. */
  readonly synced: boolean;
  /**
   * Local monotonic milliseconds: everything committed to the registry before this moment is in the view; proven by a
   * canary of ours that was written at that moment and read back through the watch, or by complete reads less the time
   * by which they may lag. `-Infinity` until proven.
   */
  readonly caughtUpTo: number;
  /** Why it does not advance: `Unreachable`, `Unauthenticated`, `TLSFailed`, `NotUnderstood`, `WentBack`, `SplitView`, ... */
  readonly problem: ViewProblem | undefined;
  readonly mode: "Normal" | "Fallback";
  readonly serverVersion: string;
  /** Identity of the registry's data (etcd: cluster id); a change resets the view. */
  readonly clusterId: string;
  /** A defect that this very version of the server is known to have, and what to do about it; absent when none is. */
  readonly defect?: string;
  /** A server that does not answer while enough others do, and what that means; absent when all do. */
  readonly absence?: string;
}

/** One reading of whether the registrant still talks to the registry. */
export type LifeReading =
  | {
      readonly kind: "Lease";
      /** Identity of the lease; a reading of another lease starts afresh. */
      readonly lease: string;
      readonly grantedMs: number;
      readonly remainingMs: number;
      /** Monotonic milliseconds when the reading was taken (request start and end). */
      readonly startedAt: number;
      readonly endedAt: number;
    }
  | {
      readonly kind: "Heartbeat";
      /** Identity of who beats, as the registry shows it; a reading of another source starts afresh. */
      readonly source: string;
      /** Time without a heartbeat after which the registry calls it missed, milliseconds; 0 when it does not tell. */
      readonly grantedMs: number;
      /**
       * Local monotonic milliseconds: no heartbeat has reached the registry since then, by an unbroken watch over its own
       * word that they are missed. Undefined while it does not say so.
       */
      readonly silentSince: number | undefined;
      /** Monotonic milliseconds when the reading was taken (request start and end). */
      readonly startedAt: number;
      readonly endedAt: number;
    }
  /** The registry can not tell (no lease, no heartbeat). */
  | { readonly kind: "None" };

/** Guards a write. Checked by the adapter immediately before it sends. */
export interface Fence {
  /** Our leadership is still valid by the monotonic clock, and the policy still wants this. */
  isValid(): boolean;
  /** UID of the kube-system namespace: names our corner of the registry for undo records. */
  readonly clusterUid: string;
  /** Stored beside the undo record, so that a person can see why. */
  readonly reason: string;
  readonly traceId: string;
}

export type WriteResult =
  /** `restore` is enough to put the record back with put(). */
  | { readonly outcome: "Done"; readonly restore: RestorePayload }
  /** The record was not the one that was judged; nothing was written. */
  | { readonly outcome: "Changed" }
  /** It had left by itself; nothing was written. */
  | { readonly outcome: "Gone" }
  /** The fence was no longer valid; nothing was sent. */
  | { readonly outcome: "Fenced" };

/** Everything needed to register an evicted instance again. */
export interface RestorePayload {
  readonly registry: string;
  readonly id: string;
  readonly format: string;
  /** UTF-8 text, or base64 when `encoding` says so. */
  readonly value: string;
  readonly encoding: "utf8" | "base64";
  /** Lease or TTL the record had, milliseconds; 0 when none. */
  readonly ttlMs: number;
  /** Decimal id of the lease it hung on, where it had one: a registrant that lives renews it still (etcd). */
  readonly lease?: string;
  /** Where the registry itself keeps the undo record, when it does. */
  readonly undoKey?: string;
}

/**
 * One registry. An adapter knows nothing of pods. Every method but run() has a deadline of its own and takes a cancel
 * signal; each raises RegistryError (code says the cause) when the registry does not answer as it should.
 */
export interface RegistryAdapter {
  readonly name: string;
  readonly type: "Consul" | "Etcd" | "Nacos" | "Memory";
  readonly capabilities: Capabilities;
  /** Watches for ever and resumes by itself: returns only when the signal aborts, never throws otherwise. */
  run(sink: RegistrySink, signal: AbortSignal): Promise<void>;
  /** Consistent read of one record; undefined when it is not listed (or no longer an instance). */
  read(id: string, signal: AbortSignal): Promise<InstanceRecord | undefined>;
  readLife(record: InstanceRecord, signal: AbortSignal): Promise<LifeReading>;
  /**
   * Removes exactly this version of this record. Only src/eviction calls it. Asked again for the same version by the same
   * decision (`fence.traceId`), it says `Done` when an earlier call did it whose answer got lost, as far as the registry
   * keeps undo records.
   */
  deregister(record: InstanceRecord, fence: Fence, signal: AbortSignal): Promise<WriteResult>;
  /**
   * Takes exactly this version out of rotation without removing it. Present when capabilities.quarantine. Only
   * src/eviction calls it.
   */
  quarantine?(record: InstanceRecord, fence: Fence, signal: AbortSignal): Promise<WriteResult>;
  /**
   * Puts exactly this version back into rotation, whoever took it out: that it was us is the caller's to know. Present
   * when capabilities.quarantine. Only src/eviction calls it.
   */
  release?(record: InstanceRecord, fence: Fence, signal: AbortSignal): Promise<WriteResult>;
  /**
   * Puts a record back if its id is free.
   * @returns false when something is listed under the id by now; nothing is overwritten
   */
  put(payload: RestorePayload, signal: AbortSignal): Promise<boolean>;
  /** Closes connections; run() must have ended. */
  close(): Promise<void>;
}

/** The verdict's way to read one registry. */
export interface RegistryReader {
  readonly name: string;
  freshness(): RegistryFreshness;
  get(id: string): InstanceRecord | undefined;
  /** Records with an endpoint at this host (canonical IP or host name). */
  byHost(host: string): readonly InstanceRecord[];
  byService(service: string): readonly InstanceRecord[];
  services(): Iterable<string>;
  values(): Iterable<InstanceRecord>;
  readonly size: number;
}
