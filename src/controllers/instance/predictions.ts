import { ServiceIndex, type PodSource, type PredictedService } from "../../cluster/service-index.ts";
import type { PolicySet } from "../types.ts";

/**
 * What pods are expected to register, by the naming rules of the policies in charge of them. A prediction only ever
 * protects: an entry of a predicted service is never taken for a stranger's at the pod's address.
 */
export class Predictions {
  readonly #index: ServiceIndex;
  readonly #policies: PolicySet;
  readonly #known = new Set<string>();
  readonly #unsubscribe: () => void;

  constructor(source: PodSource, policies: PolicySet) {
    this.#policies = policies;
    this.#index = new ServiceIndex(source);
    this.#unsubscribe = policies.subscribe(() => {
      this.#follow();
    });
    this.#follow();
  }

  /** Empty when nothing is predicted for the pod of this UID, or when it does not live. */
  servicesOf(uid: string): readonly PredictedService[] {
    return this.#index.servicesOf(uid);
  }

  /** Stops following pods and policies. */
  close(): void {
    this.#unsubscribe();
    this.#index.close();
  }

  #follow(): void {
    for (const name of this.#known) {
      if (this.#policies.get(name)?.naming !== undefined) continue;
      this.#known.delete(name);
      this.#index.removePolicy(name);
    }
    for (const { name, naming } of this.#policies.values()) {
      if (naming === undefined) continue;
      this.#known.add(name);
      this.#index.setPolicy({ name, naming, matches: (pod) => this.#policies.forPod(pod)?.name === name });
    }
  }
}
