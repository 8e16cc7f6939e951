import type { IKeyValue } from "etcd3";

import type { Clock } from "../../clock/clock.ts";
import { RegistryError } from "../errors.ts";
import type { Fence, InstanceRecord, RestorePayload, WriteResult } from "../port.ts";
import { type EtcdCall, type EtcdClient, NotSent, within } from "./client.ts";
import type { KeyTable } from "./key-table.ts";
import type { OwnKeys } from "./keys.ts";
import { isObject, jsonOf, textOf } from "./layouts/layout.ts";
import type { Leases } from "./leases.ts";
import { OwnLease } from "./own-lease.ts";
import { parseVersion, type RecordVersion } from "./version.ts";

/** An undo record is kept for a day, give or take the hour for which one lease serves. */
const UNDO_TTL_SECONDS = 24 * 3600;
const UNDO_RENEW_AFTER = 3_600_000;

export interface WritesOptions {
  readonly name: string;
  readonly table: KeyTable;
  readonly keys: OwnKeys;
  readonly leases: Leases;
  readonly clock: Clock;
  readonly callTimeout: number;
}

/** What stays of a deleted key: enough for a person with etcdctl to see what was done and why, and to undo it. */
interface UndoRecord {
  readonly registry: string;
  readonly key: string;
  /** Base64. */
  readonly value: string;
  /** 0 without a lease. */
  readonly ttlSeconds: number;
  readonly lease: string;
  readonly modRevision: number;
  readonly layout: string;
  readonly service: string;
  readonly instance: string;
  readonly reason: string;
  readonly traceId: string;
  readonly time: string;
}

/** One eviction on its way. */
interface Eviction {
  readonly record: InstanceRecord;
  readonly version: RecordVersion;
  readonly key: Buffer;
  readonly undoKey: string;
  readonly fence: Fence;
}

/** What the registry holds of it. */
interface Look {
  readonly found: IKeyValue | undefined;
  /** Our record of having deleted exactly this version. */
  readonly undo: IKeyValue | undefined;
}

/** Everything the adapter writes into other people's keys: the guarded delete, and putting back. */
export class Writes {
  readonly #options: WritesOptions;
  readonly #undoLease: OwnLease;

  constructor(options: WritesOptions) {
    this.#options = options;
    this.#undoLease = new OwnLease({
      ttlSeconds: UNDO_TTL_SECONDS,
      renewAfterMs: UNDO_RENEW_AFTER,
      timeoutMs: options.callTimeout,
      clock: options.clock,
    });
  }

  /**
   * Deletes the key if it is still the version that was judged, and keeps it as an undo record, in one transaction. The
   * registrant's lease is left alone: other keys may hang on it.
   */
  async deregister(
    client: EtcdClient,
    record: InstanceRecord,
    fence: Fence,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    try {
      return await this.#attempt(client, record, fence, signal);
    } catch (error) {
      if (!(error instanceof RegistryError && error.code === "LeaseNotFound")) throw error;
      // Somebody revoked the lease of our records, and etcd refused the transaction whole.
      this.#undoLease.forget();
      return await this.#attempt(client, record, fence, signal);
    }
  }

  async #attempt(client: EtcdClient, record: InstanceRecord, fence: Fence, signal: AbortSignal): Promise<WriteResult> {
    const { table, keys, leases } = this.#options;
    const version = parseVersion(record.version);
    if (!table.stands(record)) return { outcome: "Changed" };
    if (!fence.isValid()) return { outcome: "Fenced" };
    const undoKey = keys.undo(fence.clusterUid, record.id, version.modRevision);
    const eviction: Eviction = { record, version, key: Buffer.from(record.id), undoKey, fence };
    // Another connection may lead to another history: the next session finds out, and not this transaction.
    const { turn } = client;
    // Everything the transaction needs is fetched side by side; its guard makes up for the time that passes.
    const [look, ttlMs, undoLease] = await Promise.all([
      this.#look(client, eviction, signal),
      leases.grantedMs(client, record, signal),
      this.#undoLease.id(client),
    ]);
    const early = this.#outcomeOf(look, eviction);
    if (early !== undefined) return early;
    const value = look.found?.value ?? Buffer.alloc(0);
    const undo = this.#undoRecord(eviction, value, ttlMs);
    const beforeSend = (): boolean => fence.isValid() && client.turn === turn && table.stands(record);
    try {
      const call = { ...within(this.#options.callTimeout, signal), beforeSend };
      const outcome = await this.#transact(client, eviction, undo, undoLease, call);
      return outcome === "Done" ? { outcome, restore: this.#payload(eviction, value, ttlMs) } : { outcome };
    } catch (error) {
      if (error instanceof NotSent) return { outcome: fence.isValid() ? "Changed" : "Fenced" };
      if (!isLost(error)) throw error;
      // It may have happened or not, and may still happen. It is not sent again: what etcd holds tells, or nobody can.
      const outcome = this.#outcomeOf(await this.#look(client, eviction, signal), eviction);
      if (outcome === undefined) throw error;
      return outcome;
    }
  }

  /**
   * Puts a registration back if its key is free. A lease of its former length goes with it, which nobody of ours keeps
   * alive: an owner that lives must take it over, or it leaves again.
   */
  async put(client: EtcdClient, payload: RestorePayload, signal: AbortSignal): Promise<boolean> {
    const { callTimeout } = this.#options;
    const key = Buffer.from(payload.id);
    const value = Buffer.from(payload.value, payload.encoding);
    let lease = "0";
    if (payload.ttlMs > 0) {
      const granted = await client.lease.leaseGrant(
        { TTL: Math.ceil(payload.ttlMs / 1000) },
        within(callTimeout, signal),
      );
      lease = granted.ID;
    }
    try {
      const answer = await client.kv.txn(
        {
          compare: [{ key, target: "Create", result: "Equal", create_revision: 0 }],
          success: [{ request_put: { key, value, lease } }],
        },
        within(callTimeout, signal),
      );
      return answer.succeeded;
    } catch (error) {
      if (!isLost(error)) throw error;
      // The lease is ours alone, so that the key shows whether the lost answer was a yes.
      const { kvs } = await client.kv.range({ key }, within(callTimeout, signal));
      const found = kvs[0];
      if (found === undefined || lease === "0") throw error;
      return found.lease === lease;
    }
  }

  async #transact(
    client: EtcdClient,
    { key, version, undoKey }: Eviction,
    undo: Buffer,
    undoLease: string,
    call: EtcdCall,
  ): Promise<"Done" | "Changed" | "Gone"> {
    const answer = await client.kv.txn(
      {
        compare: [
          { key, target: "Mod", result: "Equal", mod_revision: version.modRevision },
          { key, target: "Lease", result: "Equal", lease: version.lease },
        ],
        success: [
          { request_delete_range: { key } },
          { request_put: { key: Buffer.from(undoKey), value: undo, lease: undoLease } },
        ],
        failure: [{ request_range: { key, keys_only: true } }],
      },
      call,
    );
    if (answer.succeeded) return "Done";
    return (answer.responses[0]?.response_range.kvs.length ?? 0) > 0 ? "Changed" : "Gone";
  }

  /** Both keys at one moment. */
  async #look(client: EtcdClient, { key, undoKey }: Eviction, signal: AbortSignal): Promise<Look> {
    const answer = await client.kv.txn(
      { success: [{ request_range: { key } }, { request_range: { key: Buffer.from(undoKey) } }] },
      within(this.#options.callTimeout, signal),
    );
    const [found, undo] = answer.responses.map((part) => part.response_range.kvs[0]);
    return { found, undo };
  }

  /** @returns undefined when the key is the version that was judged */
  #outcomeOf({ found, undo }: Look, eviction: Eviction): WriteResult | undefined {
    if (found !== undefined && isVersion(found, eviction.version)) return undefined;
    const done = undo === undefined ? undefined : undoRecordOf(undo.value);
    if (done?.traceId === eviction.fence.traceId) {
      // An earlier attempt of the same decision, whose answer was lost, did it.
      const restore = this.#payload(eviction, Buffer.from(done.value, "base64"), done.ttlSeconds * 1000);
      return { outcome: "Done", restore };
    }
    return { outcome: found === undefined ? "Gone" : "Changed" };
  }

  #payload({ record, version: { lease }, undoKey }: Eviction, value: Buffer, ttlMs: number): RestorePayload {
    const text = textOf(value);
    return {
      registry: this.#options.name,
      id: record.id,
      format: record.format,
      value: text ?? value.toString("base64"),
      encoding: text === undefined ? "base64" : "utf8",
      ttlMs,
      ...(lease === "0" ? {} : { lease }),
      undoKey,
    };
  }

  #undoRecord({ record, version, fence }: Eviction, value: Buffer, ttlMs: number): Buffer {
    const undo: UndoRecord = {
      registry: this.#options.name,
      key: record.id,
      value: value.toString("base64"),
      ttlSeconds: ttlMs / 1000,
      lease: version.lease,
      modRevision: version.modRevision,
      layout: record.format,
      service: record.service,
      instance: record.instance,
      reason: fence.reason,
      traceId: fence.traceId,
      time: this.#options.clock.wall().toISOString(),
    };
    return Buffer.from(JSON.stringify(undo));
  }
}

/** @returns undefined when somebody else wrote there */
function undoRecordOf(bytes: Buffer): UndoRecord | undefined {
  const record = jsonOf(bytes);
  if (!isObject(record) || typeof record["value"] !== "string" || typeof record["ttlSeconds"] !== "number")
    return undefined;
  return record as unknown as UndoRecord;
}

function isVersion(found: IKeyValue, version: RecordVersion): boolean {
  return Number(found.mod_revision) === version.modRevision && found.lease === version.lease;
}

/** Whether the request may have been carried out though no answer came. */
function isLost(error: unknown): boolean {
  return error instanceof RegistryError && ["TimedOut", "Unreachable", "NoLeader"].includes(error.code);
}
