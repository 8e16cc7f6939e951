import type { Clock } from "../../clock/clock.ts";
import { RegistryError } from "../errors.ts";
import type { Fence, InstanceRecord, WriteResult } from "../port.ts";
import type { AgentRemoval } from "./agent-removal.ts";
import { readEntry } from "./catalog.ts";
import { type ConsulClient, NotSent, within } from "./client.ts";
import { EntryId } from "./entry-id.ts";
import type { OwnKeys } from "./keys.ts";
import { modifyIndexIn, readKey } from "./kv.ts";
import type { Lock } from "./lock.ts";
import type { CatalogEntry } from "./model.ts";
import { OwnSession } from "./own-session.ts";
import { keeperOf } from "./ownership.ts";
import { type UndoRecord, undoRecordIn } from "./restore.ts";
import { isLost } from "./status.ts";
import { type CatalogTable, versionOf } from "./table.ts";
import { type Operation, transact, valueOf } from "./transaction.ts";
import { formatVersion, parseVersion } from "./version.ts";

/** Consul forgets an undo record one to two days after the eviction: the longest life it gives a session. */
const UNDO_TTL_SECONDS = 24 * 3600;
/** For so long one session serves new undo records, milliseconds. */
const UNDO_RENEW_AFTER = 3_600_000;
/** Consul takes 128 operations in one transaction; lock, service and undo record are three. */
const MAX_CHECKS = 125;
/** A lock or a session of ours that was gone is made anew, and the write tried again. */
const ATTEMPTS = 3;

export interface WritesOptions {
  readonly name: string;
  readonly table: CatalogTable;
  readonly keys: OwnKeys;
  readonly lock: Lock;
  readonly agents: AgentRemoval;
  readonly clock: Clock;
  readonly callTimeout: number;
  /** Names the part of Consul our keys and the entries are in. */
  readonly scope: Readonly<Record<string, string>>;
  /** An entry was deleted; the transaction had this index. */
  readonly onDeleted: (id: string, version: string, index: number) => void;
}

/** One eviction on its way. */
export interface Eviction {
  readonly record: InstanceRecord;
  readonly id: EntryId;
  readonly undoKey: string;
  readonly fence: Fence;
  /** Session of our lock. */
  readonly session: string;
  /** Session the undo record hangs on. */
  readonly undoSession: string;
  readonly mayBeSent: () => boolean;
  /** Whether an entry, as it was just read, is the one that was judged. */
  readonly isJudged: (entry: CatalogEntry) => boolean;
}

type Finished = WriteResult | "Again";

/** The guarded delete: everything the adapter removes goes through here. */
export class Writes {
  readonly #options: WritesOptions;
  readonly #undoSession: OwnSession;

  constructor(options: WritesOptions) {
    this.#options = options;
    this.#undoSession = new OwnSession({
      name: `hygeia undo records of ${options.name}`,
      ttlSeconds: UNDO_TTL_SECONDS,
      refreshAfterMs: UNDO_RENEW_AFTER,
      isKeptAlive: false,
      timeoutMs: options.callTimeout,
      clock: options.clock,
    });
  }

  /**
   * Removes the entry if service and checks are the ones that were judged, and keeps it as an undo record. What nobody, or
   * a dead agent, keeps is deleted from the catalog in one transaction; what a living agent keeps, at that agent.
   */
  async deregister(
    client: ConsulClient,
    record: InstanceRecord,
    fence: Fence,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    const { checks } = parseVersion(record.version);
    if (checks.length > MAX_CHECKS)
      throw new RegistryError(
        "RequestTooLong",
        `${record.id} has ${String(checks.length)} checks: too many to compare`,
      );
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const result = await this.#attempt(client, record, fence, signal);
      if (result !== "Again") return result;
    }
    throw new RegistryError("NotUnderstood", `${record.id}: our lock or session is gone again and again`);
  }

  /** The data is another one: nothing we held in it is there. */
  forget(): void {
    this.#undoSession.forget();
    this.#options.lock.forget();
  }

  async #attempt(client: ConsulClient, record: InstanceRecord, fence: Fence, signal: AbortSignal): Promise<Finished> {
    const { table, keys, lock, callTimeout } = this.#options;
    if (!table.stands(record)) return { outcome: "Changed" };
    if (!fence.isValid()) return { outcome: "Fenced" };
    const id = EntryId.parse(record.id);
    const undoKey = keys.undo(fence.clusterUid, id, record.version);
    // Another connection may lead to another history: the next stretch finds out, and not this transaction.
    const { turn } = client;
    // Everything the write needs is fetched side by side; its guard makes up for the time that passes.
    const [entry, session, undoSession] = await Promise.all([
      readEntry(client, id, record.service, within(callTimeout, signal)),
      lock.hold(client, fence, signal),
      this.#undoSession.id(client, signal),
    ]);
    if (entry === undefined || !this.#isJudged(entry, record)) {
      return await this.#unwritten(client, { record, undoKey, fence }, entry !== undefined, signal);
    }
    if (session === undefined) return { outcome: "Fenced" };
    const mayBeSent = (): boolean => fence.isValid() && client.turn === turn && table.stands(record);
    const isJudged = (now: CatalogEntry): boolean => this.#isJudged(now, record);
    const eviction: Eviction = { record, id, undoKey, fence, session, undoSession, mayBeSent, isJudged };
    try {
      return await this.#remove(client, eviction, entry, signal);
    } catch (error) {
      if (error instanceof NotSent) return { outcome: fence.isValid() ? "Changed" : "Fenced" };
      if (!isLost(error)) throw error;
      // It may have happened or not, and may still happen. It is not sent again: what Consul holds tells, or nobody can.
      const now = await readEntry(client, id, record.service, within(callTimeout, signal));
      if (now !== undefined && this.#isJudged(now, record)) throw error;
      return await this.#unwritten(client, eviction, now !== undefined, signal);
    }
  }

  async #remove(client: ConsulClient, eviction: Eviction, entry: CatalogEntry, signal: AbortSignal): Promise<Finished> {
    const keeper = keeperOf(entry);
    if (keeper.kind === "Agent" && keeper.alive) {
      const undo = this.#undoOf(eviction, entry, true);
      const noted = await this.#transact(client, eviction, entry, [this.#noteOf(eviction, undo)], signal);
      if (typeof noted !== "number") return noted;
      const outcome = await this.#options.agents.remove(client, eviction, signal);
      if (outcome === "Done") return this.#done(eviction, undo);
      // The agent knows of no such entry: nobody keeps it, and it goes as any other.
      if (outcome !== "Unknown") return { outcome };
    }
    const undo = this.#undoOf(eviction, entry, false);
    const operations = [...this.#deletions(eviction, entry), this.#noteOf(eviction, undo)];
    const index = await this.#transact(client, eviction, entry, operations, signal);
    if (typeof index !== "number") return index;
    this.#options.onDeleted(eviction.record.id, eviction.record.version, index);
    return this.#done(eviction, undo);
  }

  /** @returns the transaction's index, or what came of it instead */
  async #transact(
    client: ConsulClient,
    eviction: Eviction,
    entry: CatalogEntry,
    operations: readonly Operation[],
    signal: AbortSignal,
  ): Promise<number | Finished> {
    const { lock, scope, callTimeout } = this.#options;
    const held = { KV: { ...scope, Verb: "check-session", Key: lock.key, Session: eviction.session } };
    const call = { ...within(callTimeout, signal), beforeSend: eviction.mayBeSent };
    const outcome = await transact(client, [held, ...operations], call);
    if (outcome.applied) return modifyIndexIn(outcome.results.at(-1)?.["KV"]) ?? 0;
    const failed = new Set(outcome.conflicts.map(({ operation }) => operation));
    if (failed.has(0)) {
      lock.lost();
      return "Again";
    }
    // The undo record comes last.
    if (failed.has(operations.length)) {
      this.#undoSession.forget();
      return "Again";
    }
    const now = await readEntry(client, eviction.id, entry.service.Service, within(callTimeout, signal));
    return await this.#unwritten(client, eviction, now !== undefined, signal);
  }

  /** Checks first: the service takes along those that are left, and compares none. */
  #deletions({ id }: Eviction, { service, checks }: CatalogEntry): readonly Operation[] {
    const { scope } = this.#options;
    const operations: Operation[] = checks.map(({ CheckID, ModifyIndex }) => ({
      Check: {
        Verb: "delete-cas",
        Check: { ...scope, Node: id.node, CheckID, ServiceID: id.service, ModifyIndex },
      },
    }));
    const { Service: name, ModifyIndex } = service;
    const Service = { ...scope, ID: id.service, Service: name, ModifyIndex };
    return [...operations, { Service: { Verb: "delete-cas", Node: id.node, Service } }];
  }

  /** Hangs on a session, and leaves with it. */
  #noteOf({ undoKey, undoSession }: Eviction, undo: UndoRecord): Operation {
    const Value = valueOf(JSON.stringify(undo));
    return { KV: { ...this.#options.scope, Verb: "lock", Key: undoKey, Session: undoSession, Value } };
  }

  #undoOf({ record, fence }: Eviction, entry: CatalogEntry, atAgent: boolean): UndoRecord {
    return {
      registry: this.#options.name,
      id: record.id,
      version: record.version,
      entry,
      atAgent,
      reason: fence.reason,
      traceId: fence.traceId,
      time: this.#options.clock.wall().toISOString(),
    };
  }

  #done({ record, undoKey }: Pick<Eviction, "record" | "undoKey">, undo: UndoRecord): WriteResult {
    const { entry, atAgent } = undo;
    return {
      outcome: "Done",
      restore: {
        registry: this.#options.name,
        id: record.id,
        format: record.format,
        value: JSON.stringify({ entry, atAgent }),
        encoding: "utf8",
        ttlMs: 0,
        undoKey,
      },
    };
  }

  #isJudged(entry: CatalogEntry, record: InstanceRecord): boolean {
    return formatVersion(versionOf(entry, parseVersion(record.version).era)) === record.version;
  }

  /** The entry is not the version that was judged: an earlier attempt of the same decision did it, or others did. */
  async #unwritten(
    client: ConsulClient,
    eviction: Pick<Eviction, "record" | "undoKey" | "fence">,
    isListed: boolean,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    const call = within(this.#options.callTimeout, signal);
    const undo = undoRecordIn((await readKey(client, eviction.undoKey, call))?.value ?? "");
    if (undo?.traceId === eviction.fence.traceId) return this.#done(eviction, undo);
    return { outcome: isListed ? "Changed" : "Gone" };
  }
}
