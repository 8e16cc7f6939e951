import type { Fence, InstanceRecord, RestorePayload } from "../port.ts";

/** Decisions remembered; the oldest is forgotten. */
const CAPACITY = 10_000;

/**
 * Remembers which decision did what, for as long as this process lives: Nacos' naming service has no place for an undo
 * record. So the same decision that asks again, its answer having got lost, is told that it was done.
 */
export class Claims {
  readonly #done = new Map<string, RestorePayload>();

  note(record: InstanceRecord, fence: Fence, restore: RestorePayload): void {
    const key = keyOf(record, fence);
    this.#done.delete(key);
    this.#done.set(key, restore);
    const [oldest] = this.#done.keys();
    if (this.#done.size > CAPACITY && oldest !== undefined) this.#done.delete(oldest);
  }

  find(record: InstanceRecord, fence: Fence): RestorePayload | undefined {
    return this.#done.get(keyOf(record, fence));
  }
}

function keyOf({ id, version }: InstanceRecord, { traceId }: Fence): string {
  return JSON.stringify([id, version, traceId]);
}
