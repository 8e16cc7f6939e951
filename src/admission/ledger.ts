import { SET_ANNOTATION } from "./types.ts";

/**
 * The single values of a pod that we set ourselves, as SET_ANNOTATION keeps them. Anybody can write an annotation: an
 * entry says no more than that this value under this name may be set anew by a policy that is in charge of the pod.
 */
export class Ledger {
  readonly #entries: ReadonlyMap<string, string>;

  constructor(annotations: Readonly<Record<string, string>> | undefined) {
    const entries = new Map<string, string>();
    for (const entry of (annotations?.[SET_ANNOTATION] ?? "").split(",")) {
      const sign = entry.indexOf("=");
      if (sign > 0) entries.set(entry.slice(0, sign), entry.slice(sign + 1));
    }
    this.#entries = entries;
  }

  /** The value is the one that we set; an author's, or another webhook's, is not. */
  isOurs(name: string, value: string): boolean {
    return this.#entries.get(name) === value;
  }

  /** The text of the annotation once these are set too. */
  with(set: readonly (readonly [name: string, value: string])[]): string {
    return [...new Map([...this.#entries, ...set])].map(([name, value]) => `${name}=${value}`).join(",");
  }
}
