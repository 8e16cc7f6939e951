import type { EventNote, ObjectReference } from "../../kube/event-recorder.ts";
import { keyOfWorkload, type RolloutEntry } from "../../rollout/types.ts";
import { policyReference } from "../policy/events.ts";
import type { CompiledPolicy } from "../types.ts";

const notes: Readonly<Record<RolloutEntry["result"], Pick<EventNote, "type" | "reason"> & { readonly text: string }>> =
  {
    Started: {
      type: "Normal",
      reason: "RolloutStarted",
      text: "has its pods replaced, because some differ from the policy",
    },
    Done: { type: "Normal", reason: "RolloutDone", text: "is available, and its pods are as the policy wants them" },
    Failed: { type: "Warning", reason: "RolloutStopped", text: "failed, nothing further is rolled out" },
    Blocked: { type: "Warning", reason: "RolloutBlocked", text: "keeps its pods" },
    Gone: { type: "Normal", reason: "RolloutGone", text: "was deleted meanwhile" },
  };

/** What happened to a workload, told to whoever looks at the policy and to whoever looks at the workload. */
export function rolloutEvents(policy: CompiledPolicy, entry: RolloutEntry): readonly EventNote[] {
  const { type, reason, text } = notes[entry.result];
  const { kind, namespace, name, uid, strategy, fingerprint, message } = entry;
  const workload: ObjectReference = { apiVersion: "apps/v1", kind, namespace, name, uid };
  const note = `${keyOfWorkload(entry)} ${text}${message === undefined ? "" : `: ${message}`} (${strategy}, ${fingerprint})`;
  const about = policyReference(policy);
  const common = { type, reason, action: "RollOut", note, dedupeValues: [uid, fingerprint] };
  return [
    { ...common, regarding: about, related: workload },
    { ...common, regarding: workload, related: about },
  ];
}
