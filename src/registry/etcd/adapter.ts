import { ExponentialBackoff, handleWhen, retry } from "cockatiel";

import { Breaker } from "../breaker.ts";
import { RegistryError } from "../errors.ts";
import type {
  Capabilities,
  Fence,
  InstanceRecord,
  LifeReading,
  RegistryAdapter,
  RegistrySink,
  RestorePayload,
  WriteResult,
} from "../port.ts";
import { Canary } from "./canary.ts";
import { type ClientContext, EtcdClient, within } from "./client.ts";
import { Follower } from "./follower.ts";
import { KeyTable } from "./key-table.ts";
import { OwnKeys } from "./keys.ts";
import { LayoutSet } from "./layouts/layout-set.ts";
import { Leases } from "./leases.ts";
import { DEFAULT_TIMING, type EtcdAdapterOptions, type EtcdConnection, type EtcdTiming } from "./options.ts";
import { Proof } from "./proof.ts";
import { type EtcdState, Publisher } from "./publisher.ts";
import { ordersProgress } from "./server-version.ts";
import { Timeline } from "../timeline.ts";
import { nextEra } from "./version.ts";
import { Writes } from "./writes.ts";

/** A read that found nobody is asked once more, elsewhere or a moment later; one that ran into its deadline is not. */
const askAgain = retry(
  handleWhen((error) => error instanceof RegistryError && ["Unreachable", "NoLeader"].includes(error.code)),
  { maxAttempts: 2, backoff: new ExponentialBackoff({ initialDelay: 50, maxDelay: 500 }) },
);

/**
 * etcd as a service registry: instances as Go frameworks write them (layouts/), watched, judged current by a canary of
 * ours (docs/decisions/etcd-adapter.md), and evicted by a transaction that compares revision and lease.
 */
export class EtcdAdapter implements RegistryAdapter {
  readonly name: string;
  readonly type = "Etcd";
  readonly capabilities: Capabilities = {
    guardedDelete: true,
    // Every write moves mod_revision.
    exactGuard: true,
    undoInTransaction: true,
    quarantine: false,
  };
  readonly #options: EtcdAdapterOptions;
  readonly #timing: EtcdTiming;
  readonly #context: ClientContext;
  readonly #state: EtcdState;
  readonly #publisher: Publisher;
  readonly #follower: Follower;
  readonly #leases: Leases;
  readonly #writes: Writes;
  #client: EtcdClient;

  /** @throws RangeError when a layout without a default has no prefix */
  constructor(options: EtcdAdapterOptions) {
    const { name, clock, random, metrics, holder } = options;
    this.name = name;
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    const { callTimeout } = this.#timing;
    const layouts = new LayoutSet(options.layouts);
    const keys = new OwnKeys(options.recordPrefix);
    const canaryKey = keys.canary(options.clusterUid, holder);
    const timeline = new Timeline();
    const table = new KeyTable(name, layouts, timeline, nextEra());
    const breaker = new Breaker(options.breaker);
    const canary = new Canary({ key: canaryKey, holder, timeoutMs: callTimeout, clock, random });
    this.#state = { table, timeline, proof: new Proof(), canary, breaker };
    this.#context = { clock, breaker, metrics };
    this.#client = new EtcdClient(options.connection, this.#context);
    this.#publisher = new Publisher(this.#state);
    this.#follower = new Follower(
      {
        state: this.#state,
        publisher: this.#publisher,
        prefixes: layouts.prefixes,
        canaryKey,
        clock,
        random,
        metrics,
        timing: this.#timing,
        ordersProgress: options.ordersProgress ?? ordersProgress,
      },
      () => this.#client,
    );
    this.#leases = new Leases({
      clock,
      callTimeout,
      onLearned: (record, lease, grantedMs) => {
        this.#learned(record, lease, grantedMs);
      },
    });
    this.#writes = new Writes({ name, table, keys, leases: this.#leases, clock, callTimeout });
  }

  /** Goes on with other endpoints, certificates or credentials. Calls under way end on the old connection. */
  reconfigure(connection: EtcdConnection): void {
    const old = this.#client;
    this.#client = new EtcdClient(connection, this.#context);
    this.#follower.restart();
    old.close();
  }

  async run(sink: RegistrySink, signal: AbortSignal): Promise<void> {
    await this.#follower.run(sink, signal);
  }

  async read(id: string, signal: AbortSignal): Promise<InstanceRecord | undefined> {
    const answer = await askAgain.execute(
      () => this.#client.kv.range({ key: Buffer.from(id) }, within(this.#timing.callTimeout, signal)),
      signal,
    );
    const found = answer.kvs[0];
    return found === undefined ? undefined : this.#state.table.peek(found, this.#options.clock.monotonic());
  }

  async readLife(record: InstanceRecord, signal: AbortSignal): Promise<LifeReading> {
    return await askAgain.execute(() => this.#leases.read(this.#client, record, signal), signal);
  }

  async deregister(record: InstanceRecord, fence: Fence, signal: AbortSignal): Promise<WriteResult> {
    return await this.#writes.deregister(this.#client, record, fence, signal);
  }

  async put(payload: RestorePayload, signal: AbortSignal): Promise<boolean> {
    return await this.#writes.put(this.#client, payload, signal);
  }

  close(): Promise<void> {
    this.#client.close();
    return Promise.resolve();
  }

  #learned(record: InstanceRecord, lease: string, grantedMs: number): void {
    const corrected = this.#state.table.learnTtl(record.id, lease, grantedMs);
    if (corrected !== undefined) this.#publisher.change(new Map([[record.id, corrected]]));
  }
}
