import { MultiIndex } from "../multi-index.ts";
import { parseCidr } from "../net/address.ts";

/**
 * Networks by the node that has them. They come in a handful of prefix lengths, so a look-up masks the address once
 * for each length in use and looks the result up, however many nodes there are.
 */
export class PodNetwork<Node extends object> {
  /** By canonical network. */
  readonly #holders = new MultiIndex<Node>();
  /** Prefix length -> how many entries have it; one map for each address family. */
  readonly #lengths = { v4: new Map<string, number>(), v6: new Map<string, number>() };

  /** @param networks in canonical form, host bits cleared; not yet added for this node */
  add(networks: readonly string[], node: Node): void {
    for (const network of networks) {
      this.#holders.add(network, node);
      const lengths = this.#lengthsOf(network);
      lengths.set(lengthOf(network), (lengths.get(lengthOf(network)) ?? 0) + 1);
    }
  }

  /** Takes back one add() with the same arguments. */
  remove(networks: readonly string[], node: Node): void {
    for (const network of networks) {
      this.#holders.delete(network, node);
      const lengths = this.#lengthsOf(network);
      const left = (lengths.get(lengthOf(network)) ?? 1) - 1;
      if (left > 0) lengths.set(lengthOf(network), left);
      else lengths.delete(lengthOf(network));
    }
  }

  /**
   * Nodes with a network that holds the address; one that has several such networks can be listed twice.
   * @param ip a canonical address; anything else is in no network
   */
  holders(ip: string): Node[] {
    const found: Node[] = [];
    for (const length of this.#lengthsOf(ip).keys()) {
      const network = parseCidr(`${ip}/${length}`);
      if (network !== undefined) found.push(...this.#holders.get(network.text));
    }
    return found;
  }

  #lengthsOf(text: string): Map<string, number> {
    return text.includes(":") ? this.#lengths.v6 : this.#lengths.v4;
  }
}

function lengthOf(network: string): string {
  return network.slice(network.indexOf("/") + 1);
}
