import type { Trigger } from "../../kube/controller.ts";

/**
 * Keeps work that waits long for a server from taking every worker, so that a death that was seen never waits behind
 * it. Who is not let in is called again when somebody leaves; should it need nothing by then, a sweep calls the rest.
 */
export class Crowd {
  readonly #limit: number;
  readonly #callAgain: (key: string, trigger: Trigger) => void;
  /** By group, here a registry: one that answers slowly holds up no other. */
  readonly #inside = new Map<string, number>();
  readonly #waiting = new Map<string, Map<string, Trigger>>();

  /** @param limit for each group */
  constructor(limit: number, callAgain: (key: string, trigger: Trigger) => void) {
    this.#limit = limit;
    this.#callAgain = callAgain;
  }

  /** @returns false when it is full; else leave() is owed */
  enter(group: string, key: string, trigger: Trigger): boolean {
    const inside = this.#inside.get(group) ?? 0;
    if (inside < this.#limit) {
      this.#inside.set(group, inside + 1);
      return true;
    }
    let waiting = this.#waiting.get(group);
    if (waiting === undefined) this.#waiting.set(group, (waiting = new Map<string, Trigger>()));
    waiting.set(key, trigger);
    return false;
  }

  leave(group: string): void {
    const inside = (this.#inside.get(group) ?? 0) - 1;
    if (inside > 0) this.#inside.set(group, inside);
    else this.#inside.delete(group);
    const waiting = this.#waiting.get(group);
    for (const [key, trigger] of waiting ?? []) {
      waiting?.delete(key);
      this.#callAgain(key, trigger);
      break;
    }
    if (waiting?.size === 0) this.#waiting.delete(group);
  }
}
