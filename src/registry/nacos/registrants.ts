import type { NacosApi } from "./api.ts";
import { mapBounded } from "./bounded.ts";
import type { NacosCall } from "./client.ts";
import { type NacosInstance, type Publisher, serviceKey, type ServiceRef } from "./model.ts";
import { presumedWriter, type Writers, writersOf } from "./writers.ts";

/** Services asked for side by side. */
const PARALLEL = 8;
/** More new connections than these are not asked one by one: all services are. */
const MANY_CLIENTS = 64;
/** So long a new connection is asked what has been registered through it, milliseconds. */
const YOUNG_MS = 10_000;
/** Services that are asked again in one round though nothing of them is known to have changed. */
const RECHECKED_AT_ONCE = 50;

/** What is known of who registered in one service. */
interface Known {
  readonly ref: ServiceRef;
  /** Of what was listed when it was asked. */
  readonly content: string;
  /** Undefined when the server can not tell. */
  readonly publishers: readonly Publisher[] | undefined;
  /** When each persistent client registered last. */
  readonly stamps: ReadonlyMap<string, number>;
  readonly askedAt: number;
  /** When it was asked before; a change was made after that. */
  readonly askedBefore: number;
  /** Nobody registered something that was listed: it leaves the list, or is registered again and the list stays as it is. */
  readonly isIncomplete: boolean;
}

/** A service as it is listed. */
interface ListedService {
  readonly ref: ServiceRef;
  /** Differs when anything that a registrant writes does. */
  readonly content: string;
  readonly listed: readonly NacosInstance[];
}

const NOTHING: ListedService = { ref: { group: "", service: "" }, content: "", listed: [] };

export interface RefreshOptions {
  readonly api: Pick<NacosApi, "publishers" | "published" | "client">;
  readonly instances: readonly NacosInstance[];
  readonly clients: ReadonlySet<string> | undefined;
  readonly call: NacosCall;
  /** Local monotonic milliseconds. */
  readonly now: () => number;
}

/**
 * Knows who registered each instance. Lists do not say it, and to ask for each service every time would cost too much; so a
 * service is asked when its list changed, when a client came or went that has something in it, when told so, as long as
 * something is listed that nobody registered, and now and then. What lies between these is why the adapter does not claim an exact guard.
 */
export class Registrants {
  readonly #recheckEvery: number;
  #known = new Map<string, Known>();
  #listed = groupsOf([]);
  #clients: ReadonlySet<string> | undefined;
  /** Connections that came a while ago at most, by when: a connection is there before anything is registered through it. */
  readonly #young = new Map<string, number>();
  readonly #doubted = new Set<string>();

  constructor(recheckEvery: number) {
    this.#recheckEvery = recheckEvery;
  }

  /** Nothing of it holds any more. */
  clear(): void {
    this.#known.clear();
    this.#clients = undefined;
    this.#young.clear();
  }

  /** Asked anew in the next round. */
  doubt(service: ServiceRef): void {
    this.#doubted.add(serviceKey(service));
  }

  /** @returns whether anything that was known is different now @throws RegistryError */
  async refresh(options: RefreshOptions): Promise<boolean> {
    const { api, instances, clients, call, now } = options;
    if (this.#listed.instances !== instances) this.#listed = groupsOf(instances);
    const { services } = this.#listed;
    const due = await this.#due(services, options);
    const answers = await mapBounded([...due], PARALLEL, async (key): Promise<readonly [string, Known]> => {
      const { ref, content, listed } = services.get(key) ?? NOTHING;
      const known = this.#known.get(key);
      const askedAt = now();
      const publishers = await api.publishers(ref, listed, call);
      const stamps = await this.#stamps(api, publishers ?? [], call);
      const askedBefore = known?.askedAt ?? Number.POSITIVE_INFINITY;
      const isIncomplete = listed.some((instance) => writersIn(instance, publishers, stamps) === undefined);
      return [key, { ref, content, publishers, stamps, askedAt, askedBefore, isIncomplete }];
    });
    let changed = false;
    for (const [key, answer] of answers) {
      const before = this.#known.get(key);
      changed ||= before === undefined || factsOf(before) !== factsOf(answer);
      this.#known.set(key, answer);
      this.#doubted.delete(key);
    }
    for (const key of this.#known.keys()) if (!services.has(key)) this.#known.delete(key);
    this.#clients = clients;
    return changed;
  }

  /** Undefined when nobody keeps it listed any more: it leaves with the next renewal of the list. */
  of(instance: NacosInstance): { readonly writers: Writers; readonly knownAt: number } | undefined {
    const known = this.#known.get(serviceKey(instance));
    if (known === undefined) return undefined;
    const writers = writersIn(instance, known.publishers, known.stamps);
    return writers === undefined ? undefined : { writers, knownAt: known.askedBefore };
  }

  async #due(services: ReadonlyMap<string, ListedService>, options: RefreshOptions): Promise<Set<string>> {
    const { api, clients, call, now } = options;
    const due = new Set<string>();
    const old: Known[] = [];
    const forgotten = now() - this.#recheckEvery;
    for (const [key, { content }] of services) {
      const known = this.#known.get(key);
      if (known?.content !== content || this.#doubted.has(key) || this.#lostOne(known, clients)) due.add(key);
      else if (known.isIncomplete || known.askedAt < forgotten) old.push(known);
    }
    for (const { ref } of old.toSorted((a, b) => a.askedAt - b.askedAt).slice(0, RECHECKED_AT_ONCE))
      due.add(serviceKey(ref));
    const before = this.#clients;
    if (clients === undefined || before === undefined) return due;
    for (const id of clients) {
      if (before.has(id)) continue;
      const address = addressOf(id);
      if (address === undefined) this.#young.set(id, now());
      else for (const key of this.#listed.byAddress.get(address) ?? []) due.add(key);
    }
    for (const [id, at] of this.#young) if (!clients.has(id) || now() - at > YOUNG_MS) this.#young.delete(id);
    const came = [...this.#young.keys()];
    if (came.length > MANY_CLIENTS) return new Set(services.keys());
    const published = await mapBounded(came, PARALLEL, (id) => api.published(id, call));
    for (const key of published.flat().map(serviceKey)) if (services.has(key)) due.add(key);
    return due;
  }

  #lostOne({ publishers }: Known, clients: ReadonlySet<string> | undefined): boolean {
    return clients !== undefined && (publishers?.some(({ clientId }) => !clients.has(clientId)) ?? false);
  }

  async #stamps(
    api: Pick<NacosApi, "client">,
    publishers: readonly Publisher[],
    call: NacosCall,
  ): Promise<ReadonlyMap<string, number>> {
    const stamps = new Map<string, number>();
    for (const { clientId } of publishers) {
      if (!isPersistent(clientId)) continue;
      const state = await api.client(clientId, call);
      if (state?.lastUpdated !== undefined) stamps.set(clientId, state.lastUpdated);
    }
    return stamps;
  }
}

/** Who keeps an instance listed, by what a server says of a service; undefined when nobody does. */
export function writersIn(
  instance: NacosInstance,
  publishers: readonly Publisher[] | undefined,
  stamps: ReadonlyMap<string, number>,
): Writers | undefined {
  if (publishers === undefined) return { ids: [presumedWriter(instance)], stamp: undefined };
  const ids = writersOf(instance, publishers);
  if (ids.length === 0) return undefined;
  const times = ids.map((id) => stamps.get(id)).filter((time) => time !== undefined);
  return { ids, stamp: times.length === 0 ? undefined : Math.max(...times) };
}

/** What does not move with heartbeats. */
export function isPersistent(clientId: string): boolean {
  return clientId.endsWith("#false");
}

/**
 * Over HTTP the server makes a client of an address at the moment something is registered at it, so that what is listed
 * there is all that the client has. A connection says nothing of the kind.
 */
function addressOf(clientId: string): string | undefined {
  return /^(.*)#(?:true|false)$/.exec(clientId)?.[1];
}

function groupsOf(instances: readonly NacosInstance[]): {
  readonly instances: readonly NacosInstance[];
  readonly services: ReadonlyMap<string, ListedService>;
  /** Services in which something is listed at an address and port. */
  readonly byAddress: ReadonlyMap<string, ReadonlySet<string>>;
} {
  const services = new Map<string, ListedService>();
  const byAddress = new Map<string, Set<string>>();
  for (const [key, listed] of Map.groupBy(instances, serviceKey)) {
    const { group = "", service = "" } = listed[0] ?? {};
    services.set(key, { ref: { group, service }, content: contentOf(listed), listed });
    for (const { ip, port } of listed) {
      const address = `${ip}:${String(port)}`;
      const there = byAddress.get(address);
      if (there === undefined) byAddress.set(address, new Set([key]));
      else there.add(key);
    }
  }
  return { instances, services, byAddress };
}

function contentOf(listed: readonly NacosInstance[]): string {
  return JSON.stringify(
    listed.map(({ cluster, ip, port, ephemeral, metadata }) => [cluster, ip, port, ephemeral, metadata]),
  );
}

function factsOf({ publishers, stamps }: Known): string {
  return JSON.stringify([publishers, [...stamps]]);
}
