/** A pod's process, as it really is: what Kubernetes or a registry says about it may come later, or never. */
export type PodState = "Alive" | "Terminating" | "Dead";

/** What the log knows of one pod. Times are monotonic milliseconds (`performance.now()`). */
export interface PodTruth {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** The addresses its process listens on, whether Kubernetes shows them yet or not. */
  readonly addresses: readonly string[];
  /** It was asked to end; Infinity until then. */
  readonly terminatingSince: number;
  /** Its process ended; Infinity until then. */
  readonly deadSince: number;
}

/** What became of a pod by a moment. */
export function stateAt(pod: PodTruth, at: number): PodState {
  if (at >= pod.deadSince) return "Dead";
  return at >= pod.terminatingSince ? "Terminating" : "Alive";
}

/** A process that writes its registration. */
export interface Writer {
  /** The pod it runs in; undefined for a process outside the cluster, which is always alive. */
  readonly podUid: string | undefined;
  /** The framework, for messages. */
  readonly framework: string;
  /**
   * Monotonic milliseconds (`performance.now()`) until which the registry owes it its place, by the last renewal that
   * was acknowledged; Infinity without a lease.
   */
  heldUntil(): number;
}

/** One write of a key; see {@link TruthLog.writing}. */
export interface PendingWrite {
  /** The registry has acknowledged the write at this revision. */
  committed(revision: number): void;
  /** The registry has not answered: nobody knows whether it was written. */
  unknown(): void;
}

/** A write that is known to have happened. */
interface Write {
  readonly writer: Writer;
  readonly revision: number;
}

interface KeyHistory {
  readonly writes: Write[];
  /** Writes whose answer is awaited. */
  readonly pending: Set<Promise<void>>;
  /** Its own writer took it away, or is about to, after the last write. */
  removed: boolean;
}

/**
 * What is really so in a test, told by those who make it so: the fixture that plays the kubelet, and the registrants
 * that play the services. An entry that ends something is made before the API or the registry hears of it, so nobody
 * can have acted rightly on an end that is not in the log.
 */
export class TruthLog {
  readonly #pods = new Map<string, PodTruth>();
  readonly #keys = new Map<string, KeyHistory>();

  podBorn(pod: Omit<PodTruth, "terminatingSince" | "deadSince">): void {
    this.#pods.set(pod.uid, { ...pod, terminatingSince: Infinity, deadSince: Infinity });
  }

  /** The pod has been asked to end, and may still serve. */
  podTerminating(uid: string): void {
    this.#update(uid, (pod) => ({ ...pod, terminatingSince: Math.min(pod.terminatingSince, performance.now()) }));
  }

  /** The pod's process is about to end, before anybody can know. */
  podDead(uid: string): void {
    this.#update(uid, (pod) => ({ ...pod, deadSince: Math.min(pod.deadSince, performance.now()) }));
  }

  /** What is known of a pod; undefined for one that the fixture did not make. */
  pod(uid: string): PodTruth | undefined {
    return this.#pods.get(uid);
  }

  /** A writer is about to write this key. */
  writing(key: string, writer: Writer): PendingWrite {
    const history = this.#history(key);
    const { promise, resolve } = Promise.withResolvers<undefined>();
    history.pending.add(promise);
    history.removed = false;
    const settle = (): void => {
      history.pending.delete(promise);
      resolve(undefined);
    };
    return {
      committed: (revision) => {
        history.writes.push({ writer, revision });
        settle();
      },
      unknown: settle,
    };
  }

  /** The key's own writer is about to remove it. */
  removing(key: string): void {
    this.#history(key).removed = true;
  }

  /** Whether a writer of this log ever wrote the key. */
  knows(key: string): boolean {
    return this.#keys.has(key);
  }

  /** Whether the key's own writer has removed it since it was last written. */
  isRemoved(key: string): boolean {
    return this.#keys.get(key)?.removed ?? false;
  }

  /**
   * Who wrote a key at a revision; undefined when no writer of this log did. Waits for writes whose answer is awaited.
   */
  async writerOf(key: string, revision: number): Promise<Writer | undefined> {
    const history = this.#keys.get(key);
    if (history === undefined) return undefined;
    const find = (): Writer | undefined => history.writes.find((write) => write.revision === revision)?.writer;
    while (find() === undefined && history.pending.size > 0) await Promise.race(history.pending);
    return find();
  }

  /** The last known write of each key that its own writer has not removed. */
  standing(): Map<string, Write> {
    const standing = new Map<string, Write>();
    for (const [key, { writes, removed }] of this.#keys) {
      const last = writes.at(-1);
      if (last !== undefined && !removed) standing.set(key, last);
    }
    return standing;
  }

  /** The test itself took the registry's data away: nothing written so far is expected there any more. */
  registryLost(): void {
    this.#keys.clear();
  }

  /**
   * The test itself put the registry back to what it held at this revision.
   * @param keys all that are there
   */
  registryRestored(revision: number, keys: ReadonlySet<string>): void {
    for (const [key, history] of this.#keys) {
      const kept = history.writes.filter((write) => write.revision <= revision);
      history.writes.splice(0, Infinity, ...kept);
      history.removed = !keys.has(key);
    }
  }

  #history(key: string): KeyHistory {
    let history = this.#keys.get(key);
    if (history === undefined) {
      history = { writes: [], pending: new Set(), removed: false };
      this.#keys.set(key, history);
    }
    return history;
  }

  #update(uid: string, change: (pod: PodTruth) => PodTruth): void {
    const pod = this.#pods.get(uid);
    if (pod !== undefined) this.#pods.set(uid, change(pod));
  }
}
