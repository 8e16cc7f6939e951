import type { Change } from "../kube/types.ts";
import { MultiIndex } from "../multi-index.ts";
import type { SliceRecord } from "./project-slice.ts";
import type { SliceWitness } from "./types.ts";

/** EndpointSlices by the addresses in them. */
export class Slices {
  readonly #byUid = new Map<string, SliceRecord>();
  readonly #byAddress = new MultiIndex<SliceRecord>();

  apply(change: Change<SliceRecord>): void {
    const { object } = change;
    const before = this.#byUid.get(object.uid);
    for (const address of addressesOf(before)) if (before !== undefined) this.#byAddress.delete(address, before);
    this.#byUid.delete(object.uid);
    if (change.type === "Deleted") return;
    this.#byUid.set(object.uid, object);
    for (const address of addressesOf(object)) this.#byAddress.add(address, object);
  }

  /** Every endpoint with this address. */
  at(address: string): readonly SliceWitness[] {
    return this.#byAddress
      .get(address)
      .flatMap((slice) => slice.endpoints.filter((endpoint) => endpoint.addresses.includes(address)));
  }
}

function addressesOf(slice: SliceRecord | undefined): string[] {
  return slice === undefined ? [] : slice.endpoints.flatMap((endpoint) => endpoint.addresses);
}
