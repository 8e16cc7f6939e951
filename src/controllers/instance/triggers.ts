import type { Clock } from "../../clock/clock.ts";
import type { ClusterEvent } from "../../cluster/changes.ts";
import type { ClusterView } from "../../cluster/cluster-view.ts";
import type { Controller, Trigger } from "../../kube/controller.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { TraceIds } from "../../telemetry/tracing.ts";
import type { RegistryChange, RegistrySet } from "../types.ts";
import { keysAt, keysBeside } from "./fast-path.ts";
import { keyOf } from "./keys.ts";

export interface TriggersParts {
  readonly cluster: Pick<ClusterView, "subscribe">;
  readonly registries: RegistrySet;
  readonly controller: Pick<Controller<string>, "enqueue">;
  readonly newTraceId: TraceIds;
  /** Whether it is a record that we took out of rotation: where its pod lives again, that comes before all else. */
  readonly isOurs: (key: string) => boolean;
  /** Asks for a sweep before long. */
  readonly sweepSoon: () => void;
  readonly log: Logger;
  readonly clock: Clock;
}

/**
 * The fast path: brings the records that a change of a pod or of a record concerns into the queue at once. What comes of
 * one event carries one trace id. @returns what ends it
 */
export function followChanges(parts: TriggersParts): () => void {
  const ends = [
    parts.cluster.subscribe((events) => {
      for (const event of events) followCluster(event, parts);
    }),
    parts.registries.subscribe((change) => followRegistry(change, parts)),
  ];
  return () => {
    for (const end of ends) end();
  };
}

/** A trigger whose id is made when somebody first asks: most of what is looked at leaves no trace. */
export function lazyTrigger(newTraceId: TraceIds, seenAt: number): Trigger {
  let id: string | undefined;
  return {
    get traceId() {
      return (id ??= newTraceId());
    },
    seenAt,
  };
}

function followCluster(event: ClusterEvent, parts: TriggersParts): void {
  const { registries, controller, newTraceId, isOurs, log } = parts;
  const views = Iterator.from(registries.values()).map(({ view }) => view);
  const keys = keysAt(event, views);
  if (event.kind !== "Pod" || keys.length === 0) return;
  const trace = { traceId: newTraceId(), seenAt: event.seenAt };
  const { pod, change, reason } = event;
  const what = change === "Ended" ? "ended" : pod.deleting ? "is being deleted" : "changed";
  const level = what === "changed" ? "debug" : "info";
  log[level](
    {
      step: "event",
      traceId: trace.traceId,
      pod: { namespace: pod.namespace, name: pod.name, uid: pod.uid, addresses: pod.addresses },
      change,
      death: reason,
      instances: keys.length,
    },
    `a pod with registrations ${what}`,
  );
  for (const key of keys) controller.enqueue(key, { priority: isOurs(key) ? "Urgent" : "High", trace });
}

function followRegistry(
  { registry, upserted, removed, whole }: RegistryChange,
  { registries, controller, newTraceId, isOurs, sweepSoon, clock }: TriggersParts,
): void {
  const trace = lazyTrigger(newTraceId, clock.monotonic());
  if (whole) sweepSoon();
  else {
    for (const key of keysBeside(registry, upserted, registries)) {
      controller.enqueue(key, { priority: isOurs(key) ? "Urgent" : "High", trace });
    }
  }
  for (const id of removed) controller.enqueue(keyOf(registry, id), { priority: "Low", trace });
}
