import { Breaker } from "../breaker.ts";
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
import { Publisher } from "../publisher.ts";
import type { ClientContext } from "./client.ts";
import { Fleet, type Quorum } from "./fleet.ts";
import { Follower } from "./follower.ts";
import { look, type LookOptions, type Seen, wasWrittenJustNow } from "./look.ts";
import { DEFAULT_TIMING, type NacosAdapterOptions, type NacosConnection, type NacosTiming } from "./options.ts";
import { parseId } from "./record-id.ts";
import { Registrants } from "./registrants.ts";
import type { NacosServer } from "./server.ts";
import { InstanceTable } from "./table.ts";
import { kindOf } from "./writers.ts";
import { Writes } from "./writes.ts";

/** What one server shows of an instance. */
interface Look {
  readonly server: NacosServer;
  readonly seen: Seen | undefined;
}

/** The server does not call its heartbeat missed. */
function isHeard({ seen }: Look): boolean {
  return seen?.instance.healthy === true;
}

/**
 * Nacos as a service registry: every server's whole list, again and again, judged current by the lists themselves
 * (docs/decisions/nacos-adapter.md). What HTTP registered is deleted; what hangs on a gRPC connection can only be taken
 * out of rotation.
 */
export class NacosAdapter implements RegistryAdapter {
  readonly name: string;
  readonly type = "Nacos";
  readonly capabilities: Capabilities = {
    // Nacos compares nothing.
    guardedDelete: false,
    // The same registered once more over HTTP leaves no trace in the record.
    exactGuard: false,
    undoInTransaction: false,
    quarantine: true,
  };
  readonly #options: NacosAdapterOptions;
  readonly #timing: NacosTiming;
  readonly #context: ClientContext;
  readonly #table: InstanceTable;
  readonly #publisher: Publisher;
  readonly #follower: Follower;
  readonly #writes: Writes;
  #fleet: Fleet;

  constructor(options: NacosAdapterOptions) {
    const { name, clock, random, metrics, scope } = options;
    this.name = name;
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    const breaker = new Breaker(options.breaker);
    const registrants = new Registrants(this.#timing.recheckEvery);
    this.#context = { clock, breaker, metrics };
    this.#table = new InstanceTable({ name, scope });
    this.#publisher = new Publisher(this.#table, breaker);
    this.#fleet = this.#makeFleet(options.connection);
    this.#follower = new Follower(
      {
        namespace: scope.namespace,
        table: this.#table,
        registrants,
        publisher: this.#publisher,
        clock,
        random,
        metrics,
        timing: this.#timing,
      },
      () => this.#fleet,
    );
    this.#writes = new Writes({
      name,
      table: this.#table,
      ...this.#looking,
      onRemoved: (record) => {
        if (this.#table.removedByUs(record, clock.monotonic()))
          this.#publisher.change(new Map([[record.id, undefined]]));
      },
      onWritten: (ref) => {
        registrants.doubt(ref);
        this.#follower.hurry();
      },
    });
  }

  /** Goes on with other endpoints, certificates or another login. Calls under way fail. */
  reconfigure(connection: NacosConnection): void {
    const old = this.#fleet;
    this.#fleet = this.#makeFleet(connection);
    this.#follower.restart();
    old.close();
  }

  async run(sink: RegistrySink, signal: AbortSignal): Promise<void> {
    await this.#follower.run(sink, signal);
  }

  async read(id: string, signal: AbortSignal): Promise<InstanceRecord | undefined> {
    const [{ seen }] = await this.#look(id, signal);
    return seen === undefined
      ? undefined
      : this.#table.peek(seen.instance, seen.writers, this.#options.clock.monotonic());
  }

  /**
   * Only what registered over HTTP beats, and every server must be asked: a process beats where it gets through. A gRPC
   * connection is its own sign of life, and stands as long as the kernel answers for a process that does not: nothing can
   * be said of it. Of what is persistent nobody is heard.
   */
  async readLife(record: InstanceRecord, signal: AbortSignal): Promise<LifeReading> {
    const { clock } = this.#options;
    const startedAt = clock.monotonic();
    const looks = await this.#look(record.id, signal, "All");
    const [{ seen }] = looks;
    if (seen === undefined || kindOf(seen.writers) !== "HTTP") return { kind: "None" };
    const { instance, writers } = seen;
    const isSilent = await this.#areSilent(looks, record.id, signal);
    const endedAt = clock.monotonic();
    const silentSince = isSilent ? (this.#table.unhealthySince(record.id, writers) ?? endedAt) : undefined;
    const source = writers.ids.join(" ");
    return { kind: "Heartbeat", source, grantedMs: instance.beatTimeout, silentSince, startedAt, endedAt };
  }

  async deregister(record: InstanceRecord, fence: Fence, signal: AbortSignal): Promise<WriteResult> {
    return await this.#writes.deregister(this.#fleet, record, fence, signal);
  }

  async quarantine(record: InstanceRecord, fence: Fence, signal: AbortSignal): Promise<WriteResult> {
    return await this.#writes.quarantine(this.#fleet, record, fence, signal);
  }

  async release(record: InstanceRecord, fence: Fence, signal: AbortSignal): Promise<WriteResult> {
    return await this.#writes.release(this.#fleet, record, fence, signal);
  }

  async put(payload: RestorePayload, signal: AbortSignal): Promise<boolean> {
    return await this.#writes.put(this.#fleet, payload, signal);
  }

  close(): Promise<void> {
    this.#fleet.close();
    return Promise.resolve();
  }

  get #looking(): LookOptions {
    return { clock: this.#options.clock, timing: this.#timing };
  }

  async #look(id: string, signal: AbortSignal, quorum?: Quorum): Promise<readonly [Look, ...Look[]]> {
    const ref = parseId(id);
    const lookAt = async (server: NacosServer): Promise<Look> => {
      return { server, seen: await look(server, ref, this.#looking, signal) };
    };
    return await this.#fleet.ask(lookAt, signal, quorum);
  }

  /** Whether all servers that list it call its heartbeat missed. */
  async #areSilent(looks: readonly Look[], id: string, signal: AbortSignal): Promise<boolean> {
    if (looks.some(isHeard)) return false;
    const isYoung = async ({ server, seen }: Look): Promise<boolean> =>
      seen !== undefined && (await wasWrittenJustNow(server, seen, this.#looking, signal));
    if (!(await Promise.all(looks.map(isYoung))).some(Boolean)) return true;
    // The list may still call a heartbeat missed that has come by now. In a cluster what looks like one may also be a server
    // that tells the others whom it keeps.
    await this.#options.clock.sleep(this.#timing.listLag, signal);
    return !(await this.#look(id, signal, "All")).some(isHeard);
  }

  #makeFleet(connection: NacosConnection): Fleet {
    const { namespace } = this.#options.scope;
    return new Fleet({ connection, namespace, context: this.#context, timing: this.#timing });
  }
}
