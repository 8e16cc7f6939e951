import type { Logger } from "../telemetry/log.ts";
import type { TraceIds } from "../telemetry/tracing.ts";

/** Where a reconciliation comes from: kept from the first trigger of a key until the key is reconciled. */
export interface Trigger {
  /** Carried by every log line of what follows. */
  readonly traceId: string;
  /** Local monotonic milliseconds at which the event was seen that made this necessary. */
  readonly seenAt: number;
}

/** What one reconciliation is given besides its key. Ids and the logger are made when they are first asked for. */
export class ReconcileContext {
  readonly #trigger: Trigger | undefined;
  readonly #newId: TraceIds;
  readonly #parentLog: Logger;
  readonly #key: string;
  #traceId: string | undefined;
  #reconcileId: string | undefined;
  #log: Logger | undefined;
  /** Aborts at the deadline, and when the process may wait no longer for its end. */
  readonly signal: AbortSignal;

  constructor(init: { key: string; trigger: Trigger | undefined; newId: TraceIds; log: Logger; signal: AbortSignal }) {
    this.#trigger = init.trigger;
    this.#newId = init.newId;
    this.#parentLog = init.log;
    this.#key = init.key;
    this.signal = init.signal;
  }

  /** The trigger's id, or a new one when none came with the key. */
  get traceId(): string {
    return (this.#traceId ??= this.#trigger?.traceId ?? this.#newId());
  }

  /** Differs for each reconciliation, also between the attempts of one trigger. */
  get reconcileId(): string {
    return (this.#reconcileId ??= this.#newId());
  }

  /** When the first event that led here was seen, local monotonic milliseconds; undefined when no event did. */
  get seenAt(): number | undefined {
    return this.#trigger?.seenAt;
  }

  /** Its lines carry controller, key, traceId and reconcileId. */
  get log(): Logger {
    return (this.#log ??= this.#parentLog.child({
      key: this.#key,
      traceId: this.traceId,
      reconcileId: this.reconcileId,
    }));
  }
}
