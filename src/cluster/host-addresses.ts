/** How long an address stays known as a node's after the node left, milliseconds: as long as tombstones are kept. */
const rememberMs = 24 * 3_600_000;
/** Former addresses remembered; a cluster has at most 5,000 nodes with a few addresses each. */
const rememberCount = 20_000;

/**
 * Which nodes an address belongs to, by Node objects and by the hostIPs of pods. An address of a node that left is
 * remembered: whoever ran there on the host network may run on.
 */
export class HostAddresses {
  /** address -> node -> how many objects say so. */
  readonly #nodes = new Map<string, Map<string, number>>();
  /** address -> when its last node left, oldest first. */
  readonly #former = new Map<string, number>();

  add(node: string, addresses: readonly string[]): void {
    for (const address of addresses) {
      const counts = this.#nodes.get(address) ?? new Map<string, number>();
      counts.set(node, (counts.get(node) ?? 0) + 1);
      this.#nodes.set(address, counts);
      this.#former.delete(address);
    }
  }

  /** Takes back one add() with the same arguments. */
  remove(node: string, addresses: readonly string[], now: number): void {
    for (const address of addresses) {
      const counts = this.#nodes.get(address);
      const count = counts?.get(node);
      if (counts === undefined || count === undefined) continue;
      if (count > 1) {
        counts.set(node, count - 1);
        continue;
      }
      counts.delete(node);
      if (counts.size > 0) continue;
      this.#nodes.delete(address);
      this.#former.set(address, now);
    }
    this.#prune(now);
  }

  /** Names of the nodes that have the address now. */
  nodesAt(address: string): readonly string[] {
    const counts = this.#nodes.get(address);
    return counts === undefined ? [] : [...counts.keys()];
  }

  isCurrent(address: string): boolean {
    return this.#nodes.has(address);
  }

  isFormer(address: string): boolean {
    return this.#former.has(address);
  }

  #prune(now: number): void {
    for (const [address, leftAt] of this.#former) {
      if (this.#former.size <= rememberCount && now - leftAt <= rememberMs) return;
      this.#former.delete(address);
    }
  }
}
