/** What no rule can tell, and so what a history may do wrong without a violation: docs/how-it-works.md names each. */
import type { InstanceRecord } from "../../../src/registry/port.ts";
import type { Verdict } from "../../../src/verdict/types.ts";
import type { StoredKey } from "./etcd-server.ts";
import type { Machine } from "./machine.ts";

/**
 * Why nobody could know that a process runs: its pod's object was gone before the operator started, or came and went
 * between two looks at the pods.
 * - `NothingLeft`: no pod, no Node and no lease tells of it.
 * - `SameHostName`: another pod bore its DNS name, and died by its kubelet's word, or on a node that is out of service.
 * - `SameNodePort`: another pod was reached at its node's address and port, and died by its kubelet's word.
 * - `NobodySaw`: a former owner of its address was still shown there by a kubelet that reports late, and died by its word.
 */
export type Unknowable = "NothingLeft" | "SameHostName" | "SameNodePort" | "NobodySaw";

/** How often each was met. */
export type UnknowableCounts = Readonly<Record<Unknowable, number>>;

/** None of any kind. */
export function noneUnknowable(): Record<Unknowable, number> {
  return { NothingLeft: 0, SameHostName: 0, SameNodePort: 0, NobodySaw: 0 };
}

/** A process that runs, and whose registration was removed. */
export interface Removed {
  readonly record: InstanceRecord;
  readonly stored: StoredKey;
  readonly verdict: Verdict;
  /** Where the process runs. */
  readonly machine: Machine | undefined;
  /** Its pod's object was gone before the operator could have seen it. */
  readonly podGoneBefore: boolean;
  /** Its pod's object is gone, and the operator never had it in its view. */
  readonly podGoneBetween: boolean;
}

/** @returns undefined where somebody could have known */
export function unknowable(removed: Removed): Unknowable | undefined {
  const { record, stored, verdict, machine, podGoneBefore, podGoneBetween } = removed;
  if (!podGoneBefore && !podGoneBetween) return undefined;
  // Without a lease it gives no sign, and a machine without a Node object is out of the pod network.
  const isSilent = stored.lease === "0" && machine?.node === undefined;
  if (podGoneBefore && isSilent && verdict.reason === "NoPodAtAddress") return "NothingLeft";
  const isDeath = verdict.reason === "DeathConfirmed";
  const [endpoint] = record.endpoints;
  // A name or a port of a node can be a later pod's as well.
  if (endpoint?.isIp === false)
    return podGoneBefore && (isDeath || verdict.reason === "NodeOutOfService") ? "SameHostName" : undefined;
  if (endpoint?.host.startsWith("192.168.") === true) return podGoneBefore && isDeath ? "SameNodePort" : undefined;
  // A pod address is one process's at a time, but not in what kubelets report late.
  return isDeath ? "NobodySaw" : undefined;
}
