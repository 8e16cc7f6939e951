import { KubeError } from "./http-errors.ts";
import type { KubeTransport } from "./transport.ts";

/** What a Lease says of who leads. Its times are another machine's: written for people, never compared. */
export interface LeaseRecord {
  /** The empty string when nobody leads. */
  readonly holder: string;
  readonly durationMs: number;
  /** RFC 3339 with six digits. */
  readonly acquireTime: string;
  readonly renewTime: string;
  /** How often the holder has changed. */
  readonly transitions: number;
}

/** A Lease as the API server returned it. */
export interface StoredLease {
  readonly record: LeaseRecord;
  /** The whole object, so that a write keeps what is not ours, such as labels. */
  readonly object: LeaseObject;
}

interface LeaseObject {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly spec?: Readonly<Record<string, unknown>> | undefined;
}

/** True when the holder has not written between the two. */
export function sameRecord(a: LeaseRecord, b: LeaseRecord): boolean {
  return (
    a.holder === b.holder &&
    a.renewTime === b.renewTime &&
    a.acquireTime === b.acquireTime &&
    a.transitions === b.transitions &&
    a.durationMs === b.durationMs
  );
}

/** Reads and writes one `coordination.k8s.io/v1` Lease. Every method raises KubeError. */
export class LeaseClient {
  readonly #transport: Pick<KubeTransport, "request">;
  readonly #collection: string;
  readonly #path: string;
  readonly #name: string;
  readonly #namespace: string;

  constructor(transport: Pick<KubeTransport, "request">, namespace: string, name: string) {
    this.#transport = transport;
    this.#namespace = namespace;
    this.#name = name;
    this.#collection = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases`;
    this.#path = `${this.#collection}/${encodeURIComponent(name)}`;
  }

  /** A quorum read; undefined when there is no such Lease. */
  async get(deadlineMs: number, signal?: AbortSignal): Promise<StoredLease | undefined> {
    try {
      const call = {
        method: "GET",
        path: this.#path,
        deadlineMs,
        ...(signal === undefined ? {} : { signal }),
      } as const;
      return parseLease((await this.#transport.request(call)).body);
    } catch (error) {
      if (error instanceof KubeError && error.isNotFound) return undefined;
      throw error;
    }
  }

  /** Raises a KubeError `Conflict` when somebody else was first. */
  async create(record: LeaseRecord, deadlineMs: number): Promise<StoredLease> {
    const body = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { namespace: this.#namespace, name: this.#name },
      spec: specOf(record),
    };
    const { body: created } = await this.#transport.request({
      method: "POST",
      path: this.#collection,
      body,
      deadlineMs,
    });
    return parseLease(created);
  }

  /** Raises a KubeError `Conflict` when the Lease was written after `stored` was read. */
  async update(stored: StoredLease, record: LeaseRecord, deadlineMs: number): Promise<StoredLease> {
    const body = { ...stored.object, spec: specOf(record) };
    const { body: updated } = await this.#transport.request({ method: "PUT", path: this.#path, body, deadlineMs });
    return parseLease(updated);
  }
}

function specOf(record: LeaseRecord): Record<string, unknown> {
  return {
    holderIdentity: record.holder,
    leaseDurationSeconds: record.durationMs / 1000,
    acquireTime: record.acquireTime,
    renewTime: record.renewTime,
    leaseTransitions: record.transitions,
  };
}

/** @throws KubeError `BadResponse` for an object without resourceVersion: writing it back would overwrite blindly */
function parseLease(body: unknown): StoredLease {
  const object = body as Partial<LeaseObject> | null | undefined;
  const version = object?.metadata?.["resourceVersion"];
  if (typeof version !== "string" || version === "" || object?.metadata === undefined)
    throw new KubeError("BadResponse", "the API server answered with a Lease that has no resourceVersion");
  const spec = object.spec ?? {};
  const text = (field: string): string => (typeof spec[field] === "string" ? spec[field] : "");
  const count = (field: string): number => (typeof spec[field] === "number" ? spec[field] : 0);
  return {
    object: { ...object, metadata: object.metadata },
    record: {
      holder: text("holderIdentity"),
      durationMs: count("leaseDurationSeconds") * 1000,
      acquireTime: text("acquireTime"),
      renewTime: text("renewTime"),
      transitions: count("leaseTransitions"),
    },
  };
}
