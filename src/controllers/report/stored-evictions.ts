import {
  GROUP,
  PLURALS,
  VERSION,
  type RegistrationReport,
  type RegistrationReportEviction,
} from "../../api/v1alpha1/index.ts";
import { KubeError } from "../../kube/http-errors.ts";
import type { KubeTransport } from "../../kube/transport.ts";
import type { StoredEvictions } from "../instance/seeding.ts";
import type { EvictionEntry } from "../types.ts";

const READ_DEADLINE_MS = 10_000;

/** Reads back what earlier leaders wrote into reports. */
export function storedEvictions(transport: Pick<KubeTransport, "request">): Pick<StoredEvictions, "read"> {
  return {
    async read({ name, uid }, signal) {
      const path = `/apis/${GROUP}/${VERSION}/${PLURALS.RegistrationReport}/${encodeURIComponent(name)}`;
      try {
        const { body } = await transport.request({ method: "GET", path, deadlineMs: READ_DEADLINE_MS, signal });
        return evictionsIn(body as RegistrationReport, uid);
      } catch (error) {
        if (error instanceof KubeError && error.isNotFound) return [];
        throw error;
      }
    },
  };
}

/** None where the report is another policy's that had the same name. */
export function evictionsIn({ metadata, status }: RegistrationReport, policyUid: string): EvictionEntry[] {
  const { ownerReferences = [] } = metadata as { readonly ownerReferences?: readonly { readonly uid: string }[] };
  if (!ownerReferences.some(({ uid }) => uid === policyUid)) return [];
  return (status?.evictions ?? []).map(entryOf);
}

/** Without what restores it: that is in the report and stays there. */
function entryOf(eviction: RegistrationReportEviction): EvictionEntry {
  const { instance = "", address = "", reason = "", traceId = "", pod } = eviction;
  const { registry, service, id, evidence, result, time } = eviction;
  return {
    time: new Date(time),
    registry,
    service,
    instance,
    id,
    address,
    evidence,
    reason,
    pod: { namespace: pod?.namespace ?? "", name: pod?.name ?? "", uid: pod?.uid ?? "" },
    traceId,
    result,
    restore: undefined,
  };
}
