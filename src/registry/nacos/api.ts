import type { NacosCall } from "./client.ts";
import type { NacosInstance, Publisher, ServiceRef } from "./model.ts";
import type { InstanceRef } from "./record-id.ts";

/** What one server lists. */
export interface Listing {
  /** Equal when the same was listed. */
  readonly digest: string;
  readonly instances: readonly NacosInstance[];
}

/** Where something may be registered. */
export interface Address {
  readonly ip: string;
  readonly port: number;
  /** Undefined when it is not known. */
  readonly ephemeral: boolean | undefined;
}

/** What one server says of a client. */
export interface ClientState {
  /**
   * When it last registered something or gave a sign of life, by the server's clock, milliseconds; undefined of a connection
   * to another server of the cluster.
   */
  readonly lastUpdated: number | undefined;
  /** That clock when it answered, rounded down to the second; undefined when it did not say. */
  readonly serverTime: number | undefined;
}

/** The servers of a cluster by the addresses under which they know one another. */
export interface Membership {
  /** The one that says it. */
  readonly self: string;
  /** All that are not known to be down. */
  readonly members: readonly string[];
}

/**
 * One server's HTTP API, whatever its generation, for one namespace. The lists are the admin's: they show disabled instances
 * and are not rewritten by protectThreshold. They come out of a cache that is renewed half a second after a change; what
 * is said of publishers and clients is as it is now. Every method raises RegistryError.
 */
export interface NacosApi {
  /** As the server says it. */
  readonly version: string;
  /** @param known digest of the list before: where it is the same, that list is returned */
  list(known: Listing | undefined, call: NacosCall): Promise<Listing>;
  /** Instances of one cluster of one service; none when there is no such service or cluster. */
  cluster(ref: InstanceRef, call: NacosCall): Promise<readonly NacosInstance[]>;
  /**
   * Who registered what in a service, at these addresses at least; undefined when the server can not tell.
   * @param ephemeral of an address where it is known
   */
  publishers(
    service: ServiceRef,
    addresses: readonly Address[],
    call: NacosCall,
  ): Promise<readonly Publisher[] | undefined>;
  /** Ids of all clients; undefined when the server can not tell. */
  clients(call: NacosCall): Promise<ReadonlySet<string> | undefined>;
  /** Services in which a client registered something. */
  published(clientId: string, call: NacosCall): Promise<readonly ServiceRef[]>;
  /** Undefined when there is no such client, or the server can not tell. */
  client(clientId: string, call: NacosCall): Promise<ClientState | undefined>;
  /** Undefined when the server can not tell. */
  membership(call: NacosCall): Promise<Membership | undefined>;
  /**
   * Which server of the cluster keeps what HTTP registers at an address: any other one takes a write for done that only
   * changes its own copy. Undefined where each server passes on what is another's.
   */
  keeper(address: Pick<Address, "ip" | "port">, call: NacosCall): Promise<string | undefined>;
  /**
   * Whether metadata that {@link update} writes lie over the registrant's own, key by key, so that an update without any
   * shows the registrant's own again (2.0 and newer); else they take their place.
   */
  readonly overlaysMetadata: boolean;
  /** Writes weight, enabled and metadata, whole. Never to be called for what is not listed. */
  update(instance: NacosInstance, call: NacosCall): Promise<void>;
  /** Takes away what HTTP registered, at its {@link keeper}; does nothing, without a word, to what gRPC registered. */
  remove(instance: NacosInstance, call: NacosCall): Promise<void>;
  /** Registers over HTTP, at its {@link keeper}. */
  register(instance: NacosInstance, call: NacosCall): Promise<void>;
}

/** What writes and removals send: all that names the instance and all that is set of it. */
export function formOf(namespace: string, instance: NacosInstance): Readonly<Record<string, string>> {
  const { weight, enabled, healthy, metadata } = instance;
  return {
    ...namesOf(namespace, instance),
    weight: String(weight),
    enabled: String(enabled),
    healthy: String(healthy),
    metadata: JSON.stringify(metadata),
  };
}

export function namesOf(namespace: string, instance: NacosInstance): Readonly<Record<string, string>> {
  const { group, service, cluster, ip, port, ephemeral } = instance;
  return {
    namespaceId: namespace,
    groupName: group,
    serviceName: service,
    clusterName: cluster,
    ip,
    port: String(port),
    ephemeral: String(ephemeral),
  };
}
