/** Which addresses a node's pods get. */
export type Families = "IPv4" | "IPv6" | "DualStack";

/** Nodes' pod CIDRs are /20 parts of 10.64.0.0/10, and the /64 networks of fd00:10:64::/48 of the same number. */
export const BLOCK_COUNT = 1024;
const ADDRESSES_PER_BLOCK = 4094;

/** The addresses of one node and its pods. */
export class AddressBlock {
  readonly #index: number;
  readonly #families: Families;
  #used = 0;

  /** @param index from 0 to {@link BLOCK_COUNT} - 1 */
  constructor(index: number, families: Families) {
    this.#index = index;
    this.#families = families;
  }

  /** Values of a node's `spec.podCIDRs`. */
  get podCidrs(): string[] {
    return this.#choose(`${this.#v4(0)}/20`, `${this.#v6(0)}/64`);
  }

  /** The node's own address. */
  get nodeAddress(): string {
    const [high, low] = [Math.floor(this.#index / 250), this.#index % 250];
    return `172.21.${high}.${low + 1}`;
  }

  /**
   * A pod's addresses that no pod of the node has had.
   * @throws Error when all are used
   */
  next(): string[] {
    if (this.#used >= ADDRESSES_PER_BLOCK) throw new Error(`all ${ADDRESSES_PER_BLOCK} addresses of the node are used`);
    this.#used++;
    return this.#choose(this.#v4(this.#used), this.#v6(this.#used));
  }

  #choose(v4: string, v6: string): string[] {
    if (this.#families === "DualStack") return [v4, v6];
    return [this.#families === "IPv4" ? v4 : v6];
  }

  #v4(host: number): string {
    const offset = this.#index * 4096 + host;
    return `10.${64 + Math.floor(offset / 65536)}.${Math.floor(offset / 256) % 256}.${offset % 256}`;
  }

  #v6(host: number): string {
    const network = `fd00:10:64:${(this.#index + 1).toString(16)}::`;
    return host === 0 ? network : `${network}${host.toString(16)}`;
  }
}
