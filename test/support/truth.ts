/** A pod's process, as it really is: what Kubernetes or a registry says about it may come later, or never. */
export type PodState = "Alive" | "Terminating" | "Dead";

/** What the log knows of one pod. */
export interface PodTruth {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** The addresses its process listens on, whether Kubernetes shows them yet or not. */
  readonly addresses: readonly string[];
  readonly state: PodState;
}

/** A registration, by whoever wrote it last. */
export interface RegistrationTruth {
  /** The pod whose process wrote it. */
  readonly podUid: string;
  /** The framework, for messages. */
  readonly writer: string;
  /** Monotonic time until which the registry owes it its place, after the last renewal it acknowledged; Infinity
   * without a lease. */
  readonly heldUntil: () => number;
}

/**
 * What is really so in a test, told by those who make it so: the fixture that plays the kubelet, and the registrants
 * that play the services. An entry that ends something is made before the API or the registry hears of it, so nobody
 * can have acted rightly on an end that is not in the log.
 */
export class TruthLog {
  readonly #pods = new Map<string, PodTruth>();
  readonly #registrations = new Map<string, RegistrationTruth>();

  podBorn(pod: Omit<PodTruth, "state">): void {
    this.#pods.set(pod.uid, { ...pod, state: "Alive" });
  }

  /** The pod has been asked to end, and may still serve. */
  podTerminating(uid: string): void {
    this.#set(uid, "Terminating");
  }

  /** The pod's process is about to end, before anybody can know. */
  podDead(uid: string): void {
    this.#set(uid, "Dead");
  }

  /** What is known of a pod; undefined for one that the fixture did not make. */
  pod(uid: string): PodTruth | undefined {
    return this.#pods.get(uid);
  }

  /** A registrant is about to write this key. */
  registered(key: string, registration: RegistrationTruth): void {
    this.#registrations.set(key, registration);
  }

  /** A registrant is about to remove its own key. */
  deregistered(key: string): void {
    this.#registrations.delete(key);
  }

  /** Who wrote a key last; undefined when nobody did, or its writer removed it. */
  registration(key: string): RegistrationTruth | undefined {
    return this.#registrations.get(key);
  }

  /** Every key that its writer has not removed. */
  registrations(): ReadonlyMap<string, RegistrationTruth> {
    return this.#registrations;
  }

  #set(uid: string, state: PodState): void {
    const pod = this.#pods.get(uid);
    if (pod !== undefined) this.#pods.set(uid, { ...pod, state });
  }
}
