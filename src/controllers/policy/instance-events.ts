import type { EventRecorder } from "../../kube/event-recorder.ts";
import type { InstanceEvents } from "../instance/events.ts";
import {
  instanceCameBack,
  instanceContested,
  instanceEvicted,
  instanceQuarantined,
  instanceReleased,
  instanceResurrected,
  policyReference,
  zombieDetected,
} from "./events.ts";

/** Tells of single instances by Events on the policy in charge, related to the pod where one is known. */
export function instanceEvents(recorder: Pick<EventRecorder, "publish">): InstanceEvents {
  return {
    evicted(policy, entry, message) {
      const regarding = policyReference(policy);
      if (entry.result === "Resurrected") recorder.publish(instanceResurrected(regarding, entry));
      else if (entry.result === "Quarantined") recorder.publish(instanceQuarantined(regarding, entry, message));
      else recorder.publish(instanceEvicted(regarding, entry, message));
    },
    released(policy, entry, note) {
      recorder.publish(instanceReleased(policyReference(policy), entry, note));
    },
    judged(policy, judgement, before, decision) {
      const { kind } = judgement.verdict;
      if (kind === before && kind !== "Zombie") return;
      const regarding = policyReference(policy);
      if (kind === "Resurrected") recorder.publish(instanceCameBack(regarding, judgement));
      if (kind === "Contested") recorder.publish(instanceContested(regarding, judgement));
      const isReportOnly =
        decision?.act === "None" && (decision.underAudit === true || decision.blockedBy === "ReportOnly");
      if (kind === "Zombie" && isReportOnly) recorder.publish(zombieDetected(regarding, judgement));
    },
  };
}
