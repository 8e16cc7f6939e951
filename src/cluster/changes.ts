import type { DeathReason, PodRecord } from "./types.ts";

/** Something that can change a verdict. `seenAt` is when it was applied, local monotonic milliseconds. */
export type ClusterEvent =
  | {
      readonly kind: "Pod";
      /** `Ended` once for each death, whether or not the object still exists. */
      readonly change: "Appeared" | "Changed" | "Ended";
      /** Why it ended; undefined for the other changes. */
      readonly reason: DeathReason | undefined;
      readonly uid: string;
      readonly pod: PodRecord;
      /** Every address at which something may have changed: the pod's, before and after, and its node's for node ports. */
      readonly addresses: readonly string[];
      /** Its names in DNS, in every spelling that lookupHost() takes (without the dot at the end). */
      readonly hosts: readonly string[];
      readonly seenAt: number;
    }
  /** Readiness, addresses, networks, versions or the out-of-service taint changed, or the node came or went. */
  | { readonly kind: "Node"; readonly name: string; readonly seenAt: number }
  /** Its labels changed, or it came or went. */
  | { readonly kind: "Namespace"; readonly name: string; readonly seenAt: number };

/** Receives what one apply() changed, after the view holds it. Must not throw and must not block. */
export type ClusterListener = (events: readonly ClusterEvent[]) => void;
