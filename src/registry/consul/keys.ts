import { hash } from "node:crypto";

import type { EntryId } from "./entry-id.ts";

/** The operator's own keys: `<recordPrefix>/<cluster uid>/...`. */
export class OwnKeys {
  readonly #root: string;

  /** @param recordPrefix without the slashes at both ends */
  constructor(recordPrefix: string) {
    this.#root = recordPrefix.replace(/^\/+|\/+$/g, "");
  }

  /** Written every few seconds by one adapter. */
  canary(clusterUid: string, holder: string): string {
    return `${this.#root}/${clusterUid}/canary/${holder}`;
  }

  /** Held by whoever may evict from this Registry. */
  lock(clusterUid: string, registry: string): string {
    return `${this.#root}/${clusterUid}/lock/${registry}`;
  }

  /** One for each eviction: the version evicted is part of it, so that a later one does not overwrite it. */
  undo(clusterUid: string, id: EntryId, version: string): string {
    const text = [id.toString(), version].map((part) => hash("sha256", part, "hex")).join("/");
    return `${this.#root}/${clusterUid}/undo/${text}`;
  }
}
