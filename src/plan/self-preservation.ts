/** Whether unexplained removals stop, and why: the reason is stable, the message is for a person. */
export type SelfPreservation =
  | { readonly active: false }
  | {
      readonly active: true;
      readonly reason: "TooManySuspects" | "PodsVanished" | "NodesNotReady";
      readonly message: string;
    };

/** What one complete list of pods said. */
export interface PodCount {
  readonly pods: number;
  /** Deaths seen, by events, between the list before and this one. */
  readonly witnessedDeaths: number;
}

export interface HealthSigns {
  /** Instances of the registry that policies look after, and those that look dead without a death that we saw. */
  readonly instances: number;
  readonly unexplained: number;
  /** The last two complete lists, older first; fewer before there were two. */
  readonly lists: readonly PodCount[];
  readonly nodes: { readonly total: number; readonly ready: number };
}

/** Karpenter stops its node repair above the same share, rounded up; percent of what policies look after in a registry. */
const SUSPECT_PERCENT = 20;
/** Percent of the pods that may be missing in the next list without a witnessed death. */
const VANISHED_PERCENT = 30;
/** Below this many percent of nodes ready, the node lifecycle controller too takes a zone for partly cut off (55 % not). */
const READY_PERCENT = 45;

/**
 * When much looks dead at once and nobody saw it die, the fault is rather in what we see. A function of the present
 * signs alone: it releases itself with its cause.
 */
export function selfPreservation(signs: HealthSigns): SelfPreservation {
  const { instances, unexplained, lists, nodes } = signs;
  if (unexplained > Math.max(1, Math.ceil((instances * SUSPECT_PERCENT) / 100))) {
    const message = `${unexplained} of ${instances} instances look dead without a death that was seen (limit ${SUSPECT_PERCENT} %)`;
    return { active: true, reason: "TooManySuspects", message };
  }
  const [before, latest] = lists.slice(-2);
  if (before !== undefined && latest !== undefined) {
    const vanished = before.pods - latest.pods - latest.witnessedDeaths;
    if (vanished > 0 && vanished * 100 >= before.pods * VANISHED_PERCENT) {
      const message = `${vanished} of ${before.pods} pods were missing in the last list without a death that was seen (limit ${VANISHED_PERCENT} %)`;
      return { active: true, reason: "PodsVanished", message };
    }
  }
  if (nodes.ready * 100 < nodes.total * READY_PERCENT) {
    const message = `only ${nodes.ready} of ${nodes.total} nodes are ready (at least ${READY_PERCENT} % must be)`;
    return { active: true, reason: "NodesNotReady", message };
  }
  return { active: false };
}
