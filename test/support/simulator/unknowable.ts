/** What no rule can tell, and so what a history may do wrong without a violation: docs/how-it-works.md names each. */
import type { InstanceRecord } from "../../../src/registry/port.ts";
import type { Verdict } from "../../../src/verdict/types.ts";
import type { StoredKey } from "./etcd-server.ts";
import type { Machine } from "./machine.ts";

/**
 * Why nobody could know that a process runs. In all of them its pod's object was gone before the operator started.
 * - `NothingLeft`: no pod, no Node and no lease tells of it.
 * - `SameHostName`: another pod bore its DNS name, and died by its kubelet's word.
 * - `SameNodePort`: another pod was reached at its node's address and port, and died by its kubelet's word.
 */
export type Unknowable = "NothingLeft" | "SameHostName" | "SameNodePort";

/** How often each was met. */
export type UnknowableCounts = Readonly<Record<Unknowable, number>>;

/** None of any kind. */
export function noneUnknowable(): Record<Unknowable, number> {
  return { NothingLeft: 0, SameHostName: 0, SameNodePort: 0 };
}

/** A process that runs, and whose registration was removed. */
interface Removed {
  readonly record: InstanceRecord;
  readonly stored: StoredKey;
  readonly verdict: Verdict;
  /** Where the process runs. */
  readonly machine: Machine | undefined;
  /** Its pod's object was gone before the operator could have seen it. */
  readonly podGoneBefore: boolean;
}

/** @returns undefined where somebody could have known */
export function unknowable({ record, stored, verdict, machine, podGoneBefore }: Removed): Unknowable | undefined {
  // Who starts later can not know of a pod whose object left before.
  if (!podGoneBefore) return undefined;
  // Without a lease it gives no sign, and a machine without a Node object is out of the pod network.
  if (stored.lease === "0" && machine?.node === undefined && verdict.reason === "NoPodAtAddress") return "NothingLeft";
  if (verdict.reason !== "DeathConfirmed") return undefined;
  // A pod address is one process's at a time; a name or a port of a node can be a later pod's as well.
  const [endpoint] = record.endpoints;
  if (endpoint?.isIp === false) return "SameHostName";
  return endpoint?.host.startsWith("192.168.") === true ? "SameNodePort" : undefined;
}
