import { KubeError } from "../../kube/http-errors.ts";
import type { KubeTransport } from "../../kube/transport.ts";

/** One answer for one small object. */
const DEADLINE_MS = 5_000;

/** The Secret as it was read; {@link AuthoritySecret.write} goes through only if nobody wrote it since. */
export interface StoredSecret {
  /** Decoded values by key. */
  readonly data: ReadonlyMap<string, string>;
  /** The whole object, so that a write keeps what is not ours, such as labels; undefined when there is none. */
  readonly object: { readonly metadata: Readonly<Record<string, unknown>> } | undefined;
}

/** Reads and writes the one Secret with the webhook's certificate authorities. No message holds a value of it. */
export class AuthoritySecret {
  readonly #transport: Pick<KubeTransport, "request">;
  readonly #namespace: string;
  readonly #name: string;
  readonly #collection: string;
  readonly #path: string;

  constructor(transport: Pick<KubeTransport, "request">, namespace: string, name: string) {
    this.#transport = transport;
    this.#namespace = namespace;
    this.#name = name;
    this.#collection = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets`;
    this.#path = `${this.#collection}/${encodeURIComponent(name)}`;
  }

  /** A quorum read. @throws KubeError */
  async read(signal: AbortSignal): Promise<StoredSecret> {
    try {
      const call = { method: "GET", path: this.#path, deadlineMs: DEADLINE_MS, signal } as const;
      const object = (await this.#transport.request(call)).body as StoredSecret["object"] & {
        data?: Record<string, string>;
      };
      if (typeof object.metadata["resourceVersion"] !== "string")
        throw new KubeError("BadResponse", "the API server answered with a Secret that has no resourceVersion");
      const entries = Object.entries(object.data ?? {});
      return {
        object,
        data: new Map(entries.map(([key, value]) => [key, Buffer.from(value, "base64").toString("utf8")])),
      };
    } catch (error) {
      if (error instanceof KubeError && error.isNotFound) return { object: undefined, data: new Map() };
      throw error;
    }
  }

  /**
   * Creates the Secret, or replaces its values. False when somebody else was first: then read again.
   * @throws KubeError
   */
  async write(before: StoredSecret, values: ReadonlyMap<string, string>, signal: AbortSignal): Promise<boolean> {
    const data = Object.fromEntries([...values].map(([key, value]) => [key, Buffer.from(value).toString("base64")]));
    const { object } = before;
    try {
      if (object === undefined) {
        const metadata = {
          namespace: this.#namespace,
          name: this.#name,
          labels: { "app.kubernetes.io/name": "hygeia" },
        };
        const body = { apiVersion: "v1", kind: "Secret", metadata, type: "Opaque", data };
        await this.#transport.request({
          method: "POST",
          path: this.#collection,
          body,
          deadlineMs: DEADLINE_MS,
          signal,
        });
      } else {
        const body = { ...object, data };
        await this.#transport.request({ method: "PUT", path: this.#path, body, deadlineMs: DEADLINE_MS, signal });
      }
      return true;
    } catch (error) {
      if (error instanceof KubeError && (error.isConflict || error.isAlreadyExists || error.isNotFound)) return false;
      throw error;
    }
  }
}
