import type { KeyTable, KeyValue } from "./key-table.ts";
import { idOf } from "./layouts/layout-set.ts";
import type { Batch } from "./publisher.ts";

/**
 * Sets the table right by a list that was read while the watch went on. What the watch changed after the list's revision
 * is newer than the list and stays.
 */
export class Compare {
  readonly #table: KeyTable;
  readonly #listed = new Set<string>();
  /** Only what differs is kept until the end. */
  readonly #differing: KeyValue[] = [];
  readonly #touched = new Map<string, number>();

  constructor(table: KeyTable) {
    this.#table = table;
  }

  /** The watch changed this id at this revision. */
  touch(id: string, revision: number): void {
    this.#touched.set(id, revision);
  }

  page(entries: readonly KeyValue[]): void {
    for (const entry of entries) {
      this.#listed.add(idOf(entry.key));
      if (!this.#table.holds(entry)) this.#differing.push(entry);
    }
  }

  /** @param revision the list's */
  apply(revision: number, batch: Batch): void {
    const isOlder = (id: string): boolean => (this.#touched.get(id) ?? 0) <= revision;
    for (const entry of this.#differing) {
      if (isOlder(idOf(entry.key))) batch.put(entry);
    }
    for (const id of [...this.#table.ids()]) {
      if (!this.#listed.has(id) && isOlder(id)) batch.remove(id);
    }
  }
}
