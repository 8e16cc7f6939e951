import { RegistryError } from "../errors.ts";
import type { Fence, InstanceRecord, RestorePayload, WriteResult } from "../port.ts";
import type { NacosApi } from "./api.ts";
import { Claims } from "./claims.ts";
import { NotSent } from "./client.ts";
import type { Fleet, Quorum } from "./fleet.ts";
import { look, type LookOptions, type Seen, settledLook } from "./look.ts";
import type { NacosInstance } from "./model.ts";
import { formatId, type InstanceRef, parseId } from "./record-id.ts";
import { restorableIn, restoreOf } from "./restore.ts";
import type { NacosServer } from "./server.ts";
import { isLost } from "./status.ts";
import type { InstanceTable } from "./table.ts";
import { kindOf } from "./writers.ts";

/** Between two looks whether a write has arrived, milliseconds. */
const LOOK_EVERY_MS = 50;
/** A write that other servers do not show after so much more than the time they are allowed is not shown at all. */
const PATIENCE = 2;

export interface WritesOptions extends LookOptions {
  readonly name: string;
  readonly table: InstanceTable;
  /** A record was removed. */
  readonly onRemoved: (record: InstanceRecord) => void;
  /** Something was written in a service: its instances are to be looked at again. */
  readonly onWritten: (ref: InstanceRef) => void;
}

/** An instance that is on all servers as it was judged. */
interface Judged extends Seen {
  /** The one to write to. */
  readonly server: NacosServer;
}

/** One kind of write. */
interface Act {
  /** Whether only the server that keeps it can do it. */
  readonly isKeepers: boolean;
  /** Servers that must show what was judged before it, and the write after it. */
  readonly quorum: Quorum;
  /** What it writes stays for who registers at the address next, where it comes too late for the one it is about. */
  readonly isInherited: boolean;
  /** Whether there is anything to do to it. */
  isWanted(judged: Judged): boolean;
  send(judged: Judged, beforeSend: () => boolean): Promise<void>;
  /** Whether a server shows it. */
  isDone(seen: Seen | undefined): boolean;
  /** All servers show it. */
  finish(judged: Judged): Promise<"Done" | "Gone">;
}

/**
 * The writes. Nacos compares nothing: each one is preceded by a look at every server, with nothing between the last
 * look and the write but the question whether it is still wanted, and followed by another look at every server.
 */
export class Writes {
  readonly #options: WritesOptions;
  readonly #claims = new Claims();

  constructor(options: WritesOptions) {
    this.#options = options;
  }

  /** Removes what HTTP registered. @throws RegistryError when it hangs on a gRPC connection, which a delete does not reach */
  async deregister(fleet: Fleet, record: InstanceRecord, fence: Fence, signal: AbortSignal): Promise<WriteResult> {
    return await this.#write(fleet, record, fence, signal, {
      isKeepers: record.format === "HTTP",
      quorum: "All",
      isInherited: false,
      isWanted: () => true,
      send: async ({ server, instance, writers }, beforeSend) => {
        if (kindOf(writers) === "GRPC")
          throw new RegistryError("PermissionDenied", `${record.id}: Nacos removes no gRPC registration over HTTP`);
        const api = await server.api(signal);
        await api.remove(instance, { ...server.call(signal), beforeSend });
      },
      isDone: (seen) => seen === undefined,
      finish: () => {
        this.#options.onRemoved(record);
        return Promise.resolve("Done");
      },
    });
  }

  /** Takes it out of rotation, whoever registered it. */
  async quarantine(fleet: Fleet, record: InstanceRecord, fence: Fence, signal: AbortSignal): Promise<WriteResult> {
    return await this.#setEnabled(fleet, record, fence, signal, false);
  }

  /** Puts it back into rotation, if it is still out of it. */
  async release(fleet: Fleet, record: InstanceRecord, fence: Fence, signal: AbortSignal): Promise<WriteResult> {
    return await this.#setEnabled(fleet, record, fence, signal, true);
  }

  /**
   * Registers what is kept of an instance, if nobody is listed there. What was ephemeral then lives as long as any HTTP
   * registration without heartbeats does: its process, if it lives, is what keeps it.
   */
  async put(fleet: Fleet, payload: RestorePayload, signal: AbortSignal): Promise<boolean> {
    const ref = parseId(payload.id);
    const seen = await fleet.ask((server) => look(server, ref, this.#options, signal), signal);
    if (seen.some((one) => one !== undefined)) return false;
    const instance = restorableIn(payload.value);
    if (instance === undefined || !isAt(instance, ref))
      throw new RegistryError("NotUnderstood", `what is kept of ${payload.id} is no instance of that id`);
    if (payload.format === "GRPC")
      throw new RegistryError("NotUnderstood", `${payload.id}: only its own client can register it over gRPC again`);
    const keeper = payload.format === "HTTP" ? await fleet.keeperOf(ref, signal) : undefined;
    const [server] =
      keeper === undefined ? await fleet.ask((one) => one.api(signal).then(() => one), signal) : [keeper];
    const api = await server.api(signal);
    await api.register(instance, server.call(signal));
    this.#options.onWritten(ref);
    return true;
  }

  async #setEnabled(
    fleet: Fleet,
    record: InstanceRecord,
    fence: Fence,
    signal: AbortSignal,
    enabled: boolean,
  ): Promise<WriteResult> {
    const ref = parseId(record.id);
    return await this.#write(fleet, record, fence, signal, {
      isKeepers: false,
      // What goes back into rotation harms nobody who lives, and must not wait for a server that is gone.
      quorum: enabled ? "Most" : "All",
      isInherited: !enabled,
      isWanted: ({ instance }) => instance.enabled !== enabled,
      // The write replaces weight and metadata too: they are sent as they are.
      send: async ({ server, instance }, beforeSend) => {
        const api = await server.api(signal);
        const written = enabled ? releasedIn(api, instance) : { ...instance, enabled };
        await api.update(written, { ...server.call(signal), beforeSend });
      },
      isDone: (seen) => seen === undefined || seen.instance.enabled === enabled,
      finish: async ({ server, instance }) => {
        if (enabled || (await look(server, ref, this.#options, signal)) !== undefined) return "Done";
        // It left in the moment of the write: what Nacos now keeps for its address must not meet who comes there next.
        const api = await server.api(signal);
        await api.update(releasedIn(api, instance), server.call(signal));
        return "Gone";
      },
    });
  }

  async #write(
    fleet: Fleet,
    record: InstanceRecord,
    fence: Fence,
    signal: AbortSignal,
    act: Act,
  ): Promise<WriteResult> {
    const { table, name, onWritten } = this.#options;
    if (!table.stands(record)) return { outcome: "Changed" };
    if (!fence.isValid()) return { outcome: "Fenced" };
    const ref = parseId(record.id);
    const judged = await this.#judgedOn(fleet, record, ref, act, signal);
    if (judged === "Gone" || judged === "Changed") {
      const restore = this.#claims.find(record, fence);
      return restore === undefined ? { outcome: judged } : { outcome: "Done", restore };
    }
    if (!act.isWanted(judged)) return { outcome: "Changed" };
    const restore = restoreOf(name, record, judged.instance);
    try {
      await act.send(judged, () => fence.isValid() && table.stands(record));
    } catch (error) {
      if (error instanceof NotSent) return { outcome: fence.isValid() ? "Changed" : "Fenced" };
      if (!isLost(error)) throw error;
      onWritten(ref);
      // It is not sent again: whether it was carried out shows in what is listed, or nobody can tell.
      const seen = await settledLook(judged.server, ref, this.#options, signal);
      if (!act.isDone(seen)) throw error;
      if (seen === undefined && act.isInherited) {
        // It may also be on its way still: it stays open what an heir will find.
        await act.finish(judged);
        throw error;
      }
    }
    this.#claims.note(record, fence, restore);
    onWritten(ref);
    await this.#awaitEverywhere(fleet, ref, act, signal);
    return (await act.finish(judged)) === "Done" ? { outcome: "Done", restore } : { outcome: "Gone" };
  }

  /** The same on all servers, and the version that was judged. */
  async #judgedOn(
    fleet: Fleet,
    record: InstanceRecord,
    ref: InstanceRef,
    { isKeepers, quorum }: Act,
    signal: AbortSignal,
  ): Promise<Judged | "Gone" | "Changed"> {
    const { table, clock } = this.#options;
    if (quorum === "All") await fleet.requireAllNamed(signal);
    const keeper = isKeepers ? await fleet.keeperOf(ref, signal) : undefined;
    const settled = async (server: NacosServer) => {
      return { server, seen: await settledLook(server, ref, this.#options, signal) };
    };
    const looks = await fleet.ask(settled, signal, quorum);
    const { server, seen } = looks.find((one) => one.server === keeper) ?? looks[0];
    if (looks.every((one) => one.seen === undefined)) return "Gone";
    if (seen === undefined || table.peek(seen.instance, seen.writers, clock.monotonic())?.version !== record.version) {
      this.#options.onWritten(ref);
      return "Changed";
    }
    const isSplit = looks.some((other) => other.seen === undefined || contentOf(other.seen) !== contentOf(seen));
    return isSplit ? "Changed" : { server, ...seen };
  }

  /** @throws RegistryError when a server never showed it within a while */
  async #awaitEverywhere(fleet: Fleet, ref: InstanceRef, act: Act, signal: AbortSignal): Promise<void> {
    const { clock, timing } = this.#options;
    const until = clock.monotonic() + PATIENCE * (timing.listLag + timing.syncLag);
    // What shows the contrary a moment later was written by somebody else.
    const shown = new Set<NacosServer>();
    for (;;) {
      const isShown = async (server: NacosServer): Promise<boolean> => {
        if (!shown.has(server) && act.isDone(await look(server, ref, this.#options, signal))) shown.add(server);
        return shown.has(server);
      };
      const answers = await fleet.ask(isShown, signal, act.quorum);
      if (answers.every(Boolean)) return;
      if (clock.monotonic() > until)
        throw new RegistryError("NotUnderstood", `${formatId(ref)}: the write was answered with ok, and did not show`);
      await clock.sleep(LOOK_EVERY_MS, signal);
    }
  }
}

/** A quarantine left metadata for whoever registers there next: an heir is to be seen with its own again. */
function releasedIn({ overlaysMetadata }: NacosApi, instance: NacosInstance): NacosInstance {
  return { ...instance, enabled: true, ...(overlaysMetadata && { metadata: {} }) };
}

function isAt(instance: NacosInstance, ref: InstanceRef): boolean {
  const { group, service, cluster, ip, port } = instance;
  return (
    group === ref.group && service === ref.service && cluster === ref.cluster && ip === ref.ip && port === ref.port
  );
}

/** What servers must agree on: not health, which each judges, nor stamps, which each has of its own clock. */
function contentOf({ instance, writers }: Seen): string {
  const { weight, enabled, ephemeral, metadata } = instance;
  return JSON.stringify([weight, enabled, ephemeral, metadata, writers.ids]);
}
