import { noop } from "cockatiel";
import { Etcd3, type IKeyValue, type ILeaseKeepAliveRequest, type ILeaseKeepAliveResponse } from "etcd3";

import { EtcdWatch, type WatchHandler } from "./watch.ts";

/** How to reach an etcd. */
export interface EtcdAccess {
  readonly endpoints: readonly string[];
  /** PEM; needed for `https` endpoints. */
  readonly ca?: string;
  /** PEM, of the client. */
  readonly certificate?: string;
  readonly key?: string;
  readonly username?: string;
  readonly password?: string;
}

/** A key as etcd holds it. */
export interface StoredKey {
  readonly key: string;
  readonly value: string;
  readonly modRevision: number;
  /** `0` without a lease. */
  readonly lease: string;
}

/** How long one call may take, in milliseconds: a process that waits for a stopped etcd gives up and tries again. */
const DEADLINE = 5_000;

/** Told what etcd answered to one renewal: the lease's new life in seconds (0: it is gone), and when we had asked. */
type OnRenewal = (ttl: number, askedAt: number) => void;

interface RenewalStream {
  write(request: ILeaseKeepAliveRequest): void;
  on(event: "data", handler: (answer: ILeaseKeepAliveResponse) => void): unknown;
  on(event: "error" | "end", handler: () => void): unknown;
  cancel(): void;
}

/**
 * One connection to an etcd, shared by the registrants of a test. It has nothing in common with the operator's own
 * client, so that neither's faults hide the other's.
 */
export class EtcdSession {
  readonly #client: Etcd3;
  readonly #renewals = new Map<string, { readonly askedAt: number; readonly onAnswer: OnRenewal }[]>();
  readonly #deletions = new Map<string, () => void>();
  #renewalStream: Promise<RenewalStream | undefined> | undefined;
  #deletionWatch: EtcdWatch | undefined;

  constructor(access: EtcdAccess) {
    const { endpoints, ca, certificate, key, username, password } = access;
    this.#client = new Etcd3({
      hosts: [...endpoints],
      // A test may fill the registry, and the oracle reads all of it at once.
      grpcOptions: { "grpc.max_receive_message_length": -1 },
      ...(ca !== undefined && {
        credentials: {
          rootCertificate: Buffer.from(ca),
          ...(key !== undefined && { privateKey: Buffer.from(key) }),
          ...(certificate !== undefined && { certChain: Buffer.from(certificate) }),
        },
      }),
      ...(username !== undefined && { auth: { username, password: password ?? "" } }),
      // A breaker that stays open for five seconds would make every test wait for it.
      faultHandling: { host: () => noop, global: noop },
      defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: Date.now() + DEADLINE }),
    });
  }

  /** Grants a lease of `ttl` seconds and returns its id. */
  async grant(ttl: number): Promise<string> {
    return (await this.#client.leaseClient.leaseGrant({ TTL: ttl })).ID;
  }

  /** Ends a lease and its keys. */
  async revoke(lease: string): Promise<void> {
    await this.#client.leaseClient.leaseRevoke({ ID: lease });
  }

  /** What is left of a lease in seconds; -1 when it is gone. */
  async remaining(lease: string): Promise<number> {
    return Number((await this.#client.leaseClient.leaseTimeToLive({ ID: lease })).TTL);
  }

  /** Writes a key and returns the revision of the write. */
  async put(key: string, value: string, lease = "0"): Promise<number> {
    const answer = await this.#client.kv.put({ key: Buffer.from(key), value: Buffer.from(value), lease });
    return Number(answer.header.revision);
  }

  /** Deletes a key. */
  async delete(key: string): Promise<void> {
    await this.#client.kv.deleteRange({ key: Buffer.from(key) });
  }

  /** A key as it is now, by a linearizable read. */
  async get(key: string): Promise<StoredKey | undefined> {
    const { kvs } = await this.#client.kv.range({ key: Buffer.from(key) });
    return kvs.map(storedKey)[0];
  }

  /** All keys with a prefix, and the revision they were read at. */
  async list(prefix: string): Promise<{ readonly revision: number; readonly keys: StoredKey[] }> {
    const { kvs, header } = await this.#client.kv.range(prefixRange(prefix));
    return { revision: Number(header.revision), keys: kvs.map(storedKey) };
  }

  /** Watches all keys with a prefix, from a revision on, until the watch is closed. */
  watch(prefix: string, startRevision: number, handler: WatchHandler): EtcdWatch {
    return new EtcdWatch(this.#client.watchClient, prefixRange(prefix), startRevision, handler);
  }

  /** Asks to renew a lease; `onAnswer` is not called when the connection breaks first. */
  async renew(lease: string, onAnswer: OnRenewal): Promise<void> {
    this.#renewalStream ??= this.#openRenewals();
    const stream = await this.#renewalStream;
    if (stream === undefined) return;
    const waiting = this.#renewals.get(lease) ?? [];
    waiting.push({ askedAt: performance.now(), onAnswer });
    this.#renewals.set(lease, waiting);
    stream.write({ ID: lease });
  }

  /** Calls `callback` whenever the key is deleted, and if it is missing now, until {@link ignoreDeletion}. */
  async onDeletion(key: string, callback: () => void): Promise<void> {
    this.#deletions.set(key, callback);
    const { revision, keys } = await this.list(key);
    if (!keys.some((stored) => stored.key === key)) this.#deletions.get(key)?.();
    this.#deletionWatch ??= this.watch("", revision + 1, {
      put: () => undefined,
      deleted: (deleted) => this.#deletions.get(deleted)?.(),
      gap: () => undefined,
    });
  }

  ignoreDeletion(key: string): void {
    this.#deletions.delete(key);
  }

  /** Ends the connection. Leases are left to end by themselves. */
  async close(): Promise<void> {
    this.#deletionWatch?.close();
    (await this.#renewalStream)?.cancel();
    this.#client.close();
  }

  async #openRenewals(): Promise<RenewalStream | undefined> {
    const broken = (): void => {
      this.#renewalStream = undefined;
      this.#renewals.clear();
    };
    try {
      const stream = (await this.#client.leaseClient.leaseKeepAlive()) as unknown as RenewalStream;
      stream.on("data", ({ ID, TTL }) => {
        const answered = this.#renewals.get(ID)?.shift();
        answered?.onAnswer(Number(TTL), answered.askedAt);
      });
      stream.on("error", broken);
      stream.on("end", broken);
      return stream;
    } catch {
      broken();
      return undefined;
    }
  }
}

function storedKey({ key, value, mod_revision, lease }: IKeyValue): StoredKey {
  return { key: key.toString(), value: value.toString(), modRevision: Number(mod_revision), lease };
}

/** etcd's way to say "all keys with this prefix"; all keys for an empty one. */
function prefixRange(prefix: string): { key: Buffer; range_end: Buffer } {
  if (prefix === "") return { key: Buffer.from([0]), range_end: Buffer.from([0]) };
  const end = Buffer.from(prefix);
  end.writeUInt8(end.readUInt8(end.length - 1) + 1, end.length - 1);
  return { key: Buffer.from(prefix), range_end: end };
}
