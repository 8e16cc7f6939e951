import { API_VERSION } from "../../api/v1alpha1/index.ts";
import type { EventNote, ObjectReference } from "../../kube/event-recorder.ts";
import type { ViewProblem } from "../../kube/types.ts";
import type { ConditionChange } from "../status/conditions.ts";

/** The Registry an Event is about. */
export function registryReference({ name, uid }: { readonly name: string; readonly uid: string }): ObjectReference {
  return { apiVersion: API_VERSION, kind: "Registry", name, uid };
}

/** The registry can not be asked; `reason` is one of condition Reachable. */
function registryNotReachable(regarding: ObjectReference, reason: string, message: string): EventNote {
  return warning(regarding, `Registry${reason}`, "Connect", message, []);
}

/** It answers, but not all that it holds is known; `reason` is one of condition Synced. */
function registryNotSynced(regarding: ObjectReference, reason: string, message: string): EventNote {
  return warning(regarding, `Registry${reason}`, "Read", message, []);
}

/** It answers again. */
function registryReachable(regarding: ObjectReference): EventNote {
  const note = "The registry answers again and lets the operator in.";
  return { regarding, type: "Normal", reason: "RegistryReachable", action: "Connect", note, dedupeValues: [] };
}

/** The breaker opened. */
function registryFallback(regarding: ObjectReference, message: string): EventNote {
  return warning(regarding, "RegistryFallback", "Connect", message, []);
}

/** It runs on with credentials that its Secrets no longer hold. */
function registryCredentialsOutdated(regarding: ObjectReference, message: string): EventNote {
  return warning(regarding, "RegistryCredentialsOutdated", "ReadSecret", message, []);
}

/** Its data is not a continuation of what we knew: it was wiped, restored or exchanged. */
export function registryViewReset(regarding: ObjectReference, { reason, message }: ViewProblem): EventNote {
  return warning(regarding, "RegistryViewReset", "Read", `${reason}: ${message}. It is read anew.`, [reason]);
}

function certificateExpiring(regarding: ObjectReference, message: string): EventNote {
  return warning(regarding, "CertificateExpiring", "CheckTLS", message);
}

function certificateExpired(regarding: ObjectReference, message: string): EventNote {
  return warning(regarding, "CertificateExpired", "CheckTLS", message);
}

/** No trust in the registry's certificate, or none of the registry in ours. */
function tlsFailed(regarding: ObjectReference, reason: string, message: string): EventNote {
  return warning(regarding, "TLSFailed", "CheckTLS", `${reason}: ${message}`);
}

/** Reasons of condition Synced with an Event of their own: of condition Reachable, or {@link registryViewReset}. */
const toldElsewhere: ReadonlySet<string> = new Set(["Disconnected", "WentBack", "ClusterChanged"]);

/** The Events for what is news in a Registry's conditions. */
export function registryEvents(regarding: ObjectReference, changes: readonly ConditionChange[]): readonly EventNote[] {
  return changes.map((change) => eventOf(regarding, change)).filter((event) => event !== undefined);
}

function eventOf(regarding: ObjectReference, { type, before, after }: ConditionChange): EventNote | undefined {
  const { status, reason, message } = after;
  switch (type) {
    case "Reachable":
      if (status === "False") return registryNotReachable(regarding, reason, message);
      return status === "True" && before?.status === "False" ? registryReachable(regarding) : undefined;
    case "Synced":
      return status === "False" && !toldElsewhere.has(reason)
        ? registryNotSynced(regarding, reason, message)
        : undefined;
    case "Ready":
      if (reason === "Fallback") return registryFallback(regarding, message);
      return reason === "CredentialsOutdated" ? registryCredentialsOutdated(regarding, message) : undefined;
    case "TLSHealthy":
      if (status !== "False") return undefined;
      if (reason === "ExpiresSoon") return certificateExpiring(regarding, message);
      return reason === "Expired" ? certificateExpired(regarding, message) : tlsFailed(regarding, reason, message);
    default:
      return undefined;
  }
}

function warning(
  regarding: ObjectReference,
  reason: string,
  action: string,
  note: string,
  dedupeValues: readonly string[] = [note],
): EventNote {
  return { regarding, type: "Warning", reason, action, note, dedupeValues };
}
