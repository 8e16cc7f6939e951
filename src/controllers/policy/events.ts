import { API_VERSION } from "../../api/v1alpha1/index.ts";
import type { EventNote, ObjectReference } from "../../kube/event-recorder.ts";
import type { Judgement } from "../../verdict/types.ts";
import type { ReleaseNote } from "../instance/events.ts";
import type { EvictionEntry } from "../types.ts";
import type { ConditionChange } from "../status/conditions.ts";

/** The RegistrationPolicy an Event is about. */
export function policyReference({ name, uid }: { readonly name: string; readonly uid: string }): ObjectReference {
  return { apiVersion: API_VERSION, kind: "RegistrationPolicy", name, uid };
}

/** An entry was removed. */
export function instanceEvicted(regarding: ObjectReference, entry: EvictionEntry, message: string): EventNote {
  const note = `Removed ${describe(entry, "from")}: ${message} (evidence ${entry.evidence}, trace ${entry.traceId})`;
  return aboutEntry(regarding, entry, "Normal", "InstanceEvicted", "Evict", note);
}

/** An entry was taken out of rotation. */
export function instanceQuarantined(regarding: ObjectReference, entry: EvictionEntry, message: string): EventNote {
  const note = `Took ${describe(entry, "in")} out of rotation: ${message} (evidence ${entry.evidence}, trace ${entry.traceId})`;
  return aboutEntry(regarding, entry, "Normal", "InstanceQuarantined", "Quarantine", note);
}

/** An entry that we took out of rotation was put back: a pod lives at its address. Related to that pod. */
export function instanceReleased(regarding: ObjectReference, entry: EvictionEntry, note: ReleaseNote): EventNote {
  const { owner, message, traceId } = note;
  const text = `Put ${describe(entry, "in")} back into rotation: ${message} (trace ${traceId})`;
  return aboutEntry(regarding, { ...entry, pod: owner, traceId }, "Normal", "InstanceReleased", "Release", text);
}

/** An entry was there again right after it was removed: somebody lives. It is left alone from now on. */
export function instanceResurrected(regarding: ObjectReference, entry: EvictionEntry): EventNote {
  const note = `Removed ${describe(entry, "from")}, and it was registered again: a sign of life. It is left alone from now on (trace ${entry.traceId})`;
  return aboutEntry(regarding, entry, "Warning", "InstanceResurrected", "Evict", note);
}

/** An entry that was removed earlier was found again. */
export function instanceCameBack(regarding: ObjectReference, judgement: Judgement): EventNote {
  return aboutJudgement(regarding, judgement, "Warning", "InstanceResurrected");
}

/** Its pod is gone, and somebody renews it. */
export function instanceContested(regarding: ObjectReference, judgement: Judgement): EventNote {
  return aboutJudgement(regarding, judgement, "Warning", "InstanceContested");
}

/** Its pod is dead, and the policy asks for a report only. */
export function zombieDetected(regarding: ObjectReference, judgement: Judgement): EventNote {
  return aboutJudgement(regarding, judgement, "Normal", "ZombieInstanceDetected");
}

/** Something other than the policy's own wish holds evictions back; `cause` is a reason of condition EvictionBlocked. */
function evictionBlocked(regarding: ObjectReference, cause: string, message: string): EventNote {
  const reason = `EvictionBlockedBy${cause}`;
  return { regarding, type: "Warning", reason, action: "Evict", note: message, dedupeValues: [] };
}

function evictionsResumed(regarding: ObjectReference, cause: string): EventNote {
  const note = `Evictions are no longer held back by ${cause}.`;
  return { regarding, type: "Normal", reason: "EvictionsResumed", action: "Evict", note };
}

function policyNotAccepted(regarding: ObjectReference, cause: string, message: string): EventNote {
  const note = `The policy is not in force: ${cause}: ${message}`;
  return { regarding, type: "Warning", reason: "PolicyNotAccepted", action: "Accept", note };
}

function policyRegistryNotFound(regarding: ObjectReference, message: string): EventNote {
  return { regarding, type: "Warning", reason: "RegistryNotFound", action: "Accept", note: message };
}

function policySuperseded(regarding: ObjectReference, message: string): EventNote {
  return { regarding, type: "Warning", reason: "PolicySuperseded", action: "Match", note: message, dedupeValues: [] };
}

function keepaliveNotNested(regarding: ObjectReference, message: string): EventNote {
  return { regarding, type: "Warning", reason: "KeepaliveNotNested", action: "Accept", note: message };
}

/** `cause` is a reason of condition DNSSafe. */
function dnsNotSafe(regarding: ObjectReference, cause: string, message: string): EventNote {
  const note = `${cause}: ${message}`;
  return { regarding, type: "Warning", reason: "DNSNotSafe", action: "Accept", note };
}

/** What the policy itself asks for is no news. */
const ownWish: ReadonlySet<string> = new Set([
  "NotBlocked",
  "NotAccepted",
  "Audit",
  "Paused",
  "ReportOnly",
  "NotConfigured",
  "Deleting",
]);

/** The Events for what is news in a policy's conditions. */
export function policyEvents(regarding: ObjectReference, changes: readonly ConditionChange[]): readonly EventNote[] {
  return changes.flatMap((change) => eventsOf(regarding, change));
}

function eventsOf(regarding: ObjectReference, { type, before, after }: ConditionChange): readonly EventNote[] {
  const { reason, status, message } = after;
  switch (type) {
    case "Accepted":
      return status === "False" ? [policyNotAccepted(regarding, reason, message)] : [];
    case "Ready":
      return reason === "RegistryNotFound" ? [policyRegistryNotFound(regarding, message)] : [];
    case "Superseded":
      return status === "True" ? [policySuperseded(regarding, message)] : [];
    case "KeepaliveNested":
      return status === "False" ? [keepaliveNotNested(regarding, message)] : [];
    case "DNSSafe":
      return status === "False" ? [dnsNotSafe(regarding, reason, message)] : [];
    case "EvictionBlocked":
      if (!ownWish.has(reason)) return [evictionBlocked(regarding, reason, message)];
      if (reason !== "NotBlocked" || before === undefined || ownWish.has(before.reason)) return [];
      return [evictionsResumed(regarding, before.reason)];
    default:
      return [];
  }
}

function aboutEntry(
  regarding: ObjectReference,
  entry: EvictionEntry,
  type: EventNote["type"],
  reason: string,
  action: string,
  note: string,
): EventNote {
  const { namespace, name, uid } = entry.pod;
  const dedupeValues = [entry.registry, entry.id, entry.traceId];
  return { regarding, ...related(namespace, name, uid), type, reason, action, note, dedupeValues };
}

function aboutJudgement(
  regarding: ObjectReference,
  { record, verdict }: Judgement,
  type: EventNote["type"],
  reason: string,
): EventNote {
  const { podNamespace = "", podName = "", podUid = "" } = verdict.evidence ?? {};
  const note = `${record.service} ${record.id} in registry ${record.registry}: ${verdict.message}`;
  const dedupeValues = [record.registry, record.id];
  return { regarding, ...related(podNamespace, podName, podUid), type, reason, action: "Judge", note, dedupeValues };
}

function related(namespace: string, name: string, uid: string): { readonly related?: ObjectReference } {
  return name === "" ? {} : { related: { apiVersion: "v1", kind: "Pod", namespace, name, uid } };
}

function describe({ service, id, address, registry }: EvictionEntry, preposition: "from" | "in"): string {
  return `${service} ${id} at ${address} ${preposition} registry ${registry}`;
}
