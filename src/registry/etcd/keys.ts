import { hash } from "node:crypto";

/** The operator's own keys: `<recordPrefix>/<cluster uid>/...`. */
export class OwnKeys {
  readonly #root: string;

  /** @param recordPrefix without the slash at the end */
  constructor(recordPrefix: string) {
    this.#root = recordPrefix.replace(/\/+$/, "");
  }

  /** Written every few seconds by one adapter, read back through its watch. */
  canary(clusterUid: string, holder: string): Buffer {
    return Buffer.from(`${this.#root}/${clusterUid}/canary/${holder}`);
  }

  /** One for each eviction: the version evicted is part of it, so that a later one does not overwrite it. */
  undo(clusterUid: string, id: string, modRevision: number): string {
    return `${this.#root}/${clusterUid}/undo/${hash("sha256", id, "hex")}/${String(modRevision)}`;
  }
}

/** End of the range that holds exactly the keys with this prefix: the prefix with its last byte raised. */
export function rangeEnd(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  for (let i = end.length - 1; i >= 0; i--) {
    const byte = end[i] ?? 0;
    if (byte < 0xff) {
      end[i] = byte + 1;
      return end.subarray(0, i + 1);
    }
  }
  // Nothing but 0xff: etcd reads a single zero byte as "to the end".
  return Buffer.from([0]);
}

/** The smallest key after this one: where the next page begins. */
export function keyAfter(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.from([0])]);
}
