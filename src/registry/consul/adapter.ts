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
import { Timeline } from "../timeline.ts";
import { AgentRemoval } from "./agent-removal.ts";
import { AgentRoutes } from "./agents.ts";
import { Canary } from "./canary.ts";
import { readEntry } from "./catalog.ts";
import { type ClientContext, ConsulClient, within } from "./client.ts";
import { EntryId } from "./entry-id.ts";
import { Follower } from "./follower.ts";
import { OwnKeys } from "./keys.ts";
import { heartbeatOf } from "./life.ts";
import { Lock } from "./lock.ts";
import { type ConsulAdapterOptions, type ConsulConnection, type ConsulTiming, DEFAULT_TIMING } from "./options.ts";
import { Publisher } from "../publisher.ts";
import { PuttingBack } from "./putting-back.ts";
import { CatalogTable } from "./table.ts";
import { scopeOf } from "./transaction.ts";
import { nextEra } from "./version.ts";
import { Writes } from "./writes.ts";

/** What is taken away at the end must not hold it up, milliseconds: it leaves by itself in a minute or two. */
const FAREWELL_MS = 300;

/** A read that found nobody is asked once more, elsewhere or a moment later; one that ran into its deadline is not. */
const askAgain = retry(
  handleWhen((error) => error instanceof RegistryError && ["Unreachable", "NoLeader"].includes(error.code)),
  { maxAttempts: 2, backoff: new ExponentialBackoff({ initialDelay: 50, maxDelay: 500 }) },
);

/**
 * Consul as a service registry: the whole catalog, watched, judged current by a canary of ours and consistent reads
 * (docs/decisions/consul-adapter.md), and evicted from by a transaction that compares service and checks, or at the
 * living agent that keeps an entry.
 */
export class ConsulAdapter implements RegistryAdapter {
  readonly name: string;
  readonly type = "Consul";
  readonly capabilities: Capabilities = {
    guardedDelete: true,
    // The same registered once more moves no index.
    exactGuard: false,
    undoInTransaction: true,
    quarantine: false,
  };
  readonly #options: ConsulAdapterOptions;
  readonly #timing: ConsulTiming;
  readonly #context: ClientContext;
  readonly #table: CatalogTable;
  readonly #canary: Canary;
  readonly #lock: Lock;
  readonly #publisher: Publisher;
  readonly #follower: Follower;
  readonly #writes: Writes;
  readonly #routes: AgentRoutes;
  readonly #puttingBack: PuttingBack;
  #client: ConsulClient;

  constructor(options: ConsulAdapterOptions) {
    const { name, clock, random, metrics, holder, clusterUid, agentPort, servicePrefixes } = options;
    this.name = name;
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    const { callTimeout, canarySessionTtl: sessionTtlMs } = this.#timing;
    const keys = new OwnKeys(options.recordPrefix);
    const scope = scopeOf(options.scope);
    const breaker = new Breaker(options.breaker);
    const timeline = new Timeline();
    const routes = (this.#routes = new AgentRoutes({
      port: agentPort,
      serverName: options.agentServerName,
      clock,
      onChange: (node) => {
        this.#publisher.change(this.#table.reroute(node));
      },
    }));
    this.#table = new CatalogTable({
      name,
      servicePrefixes,
      timeline,
      era: nextEra(),
      routeTo: (node) => routes.routeTo(node),
    });
    this.#publisher = new Publisher(this.#table, breaker);
    this.#context = { clock, breaker, metrics };
    this.#client = new ConsulClient(options.connection, options.scope, this.#context);
    const own = { holder, timeoutMs: callTimeout, clock, random, scope };
    this.#canary = new Canary({ ...own, sessionTtlMs, key: keys.canary(clusterUid, holder) });
    this.#lock = new Lock({ ...own, key: keys.lock(clusterUid, name) });
    const agents = new AgentRemoval({ routes, clock, callTimeout, scope });
    this.#writes = new Writes({
      name,
      table: this.#table,
      keys,
      lock: this.#lock,
      agents,
      clock,
      callTimeout,
      scope,
      onDeleted: (id, version, index) => {
        if (this.#table.deletedByUs(id, version, index)) this.#publisher.change(new Map([[id, undefined]]));
      },
    });
    this.#puttingBack = new PuttingBack({ routes, callTimeout, scope });
    const { namespace, partition } = options.scope;
    this.#follower = new Follower(
      {
        table: this.#table,
        timeline,
        canary: this.#canary,
        publisher: this.#publisher,
        routes,
        clock,
        random,
        metrics,
        timing: this.#timing,
        listsServers: namespace === undefined && partition === undefined,
        onNewData: () => {
          this.#writes.forget();
        },
      },
      () => this.#client,
    );
  }

  /** Goes on with other endpoints, certificates or another token. Calls under way end on the old connection. */
  reconfigure(connection: ConsulConnection): void {
    const old = this.#client;
    this.#client = new ConsulClient(connection, this.#options.scope, this.#context);
    this.#follower.restart();
    old.close();
  }

  async run(sink: RegistrySink, signal: AbortSignal): Promise<void> {
    await this.#follower.run(sink, signal);
  }

  async read(id: string, signal: AbortSignal): Promise<InstanceRecord | undefined> {
    const entry = await this.#read(id, signal);
    return entry === undefined ? undefined : this.#table.peek(entry, this.#options.clock.monotonic());
  }

  async readLife(record: InstanceRecord, signal: AbortSignal): Promise<LifeReading> {
    const { clock } = this.#options;
    const startedAt = clock.monotonic();
    const entry = await this.#read(record.id, signal, record.service);
    const endedAt = clock.monotonic();
    const heartbeat = entry === undefined ? undefined : heartbeatOf(entry);
    if (heartbeat === undefined) return { kind: "None" };
    const { source, expired } = heartbeat;
    const silentSince = expired ? (this.#table.expiredSince(record.id, source) ?? endedAt) : undefined;
    // The catalog does not tell a check's TTL: a heartbeat that is not missed may be as young as the reading.
    return { kind: "Heartbeat", source, grantedMs: 0, silentSince, startedAt, endedAt };
  }

  async deregister(record: InstanceRecord, fence: Fence, signal: AbortSignal): Promise<WriteResult> {
    return await this.#writes.deregister(this.#client, record, fence, signal);
  }

  async put(payload: RestorePayload, signal: AbortSignal): Promise<boolean> {
    return await this.#puttingBack.put(this.#client, payload, signal);
  }

  async close(): Promise<void> {
    const { clock } = this.#options;
    const farewell = new AbortController();
    const timer = clock.setTimer(() => {
      farewell.abort(new RegistryError("TimedOut", "no answer to our farewell"));
    }, FAREWELL_MS);
    const { signal } = farewell;
    await Promise.allSettled([this.#canary.end(this.#client, signal), this.#lock.end(this.#client, signal)]);
    timer.cancel();
    this.#routes.close();
    this.#client.close();
  }

  async #read(id: string, signal: AbortSignal, service = this.#table.serviceOf(id)): ReturnType<typeof readEntry> {
    const call = within(this.#timing.callTimeout, signal);
    return await askAgain.execute(() => readEntry(this.#client, EntryId.parse(id), service, call), signal);
  }
}
