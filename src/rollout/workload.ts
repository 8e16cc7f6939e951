/** A Deployment or StatefulSet as the API server has it: what a roll-out needs to know, and whether it may begin. Pure. */
import { compileSelector, type Selector } from "../cluster/selector.ts";
import type { WorkloadKind } from "./types.ts";

export interface Workload {
  readonly kind: WorkloadKind;
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly resourceVersion: string;
  readonly generation: number;
  readonly deleting: boolean;
  readonly paused: boolean;
  readonly replicas: number;
  /** `spec.strategy.type` or `spec.updateStrategy.type`. */
  readonly strategy: string;
  /** Of a Deployment, in pods. */
  readonly maxUnavailable: number;
  /** Of a StatefulSet: pods below it are not updated. */
  readonly partition: number;
  readonly selector: Selector;
  /** The pod that it makes, as a Pod object. */
  readonly podTemplate: PodTemplateObject;
  readonly status: WorkloadStatus;
}

interface WorkloadStatus {
  readonly observedGeneration: number;
  readonly replicas: number;
  readonly updated: number;
  readonly available: number;
  /** Condition Progressing of a Deployment is False for this: it gave up. */
  readonly deadlineExceeded: boolean;
}

interface PodTemplateObject {
  readonly metadata: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: object;
}

/** Why a workload is not rolled out as it is now. */
export interface Obstacle {
  readonly reason:
    | "NotRolledOutByKind"
    | "NotFound"
    | "NotItsPods"
    | "BeingDeleted"
    | "OnDelete"
    | "Recreate"
    | "Partitioned"
    | "DeploymentPaused"
    | "NoSpareReplica"
    | "RollingAlready"
    | "NotAvailable"
    | "ScaledToZero"
    | "PolicyNotInCharge"
    | "TemplateExempt"
    | "NotPermitted";
  readonly message: string;
}

interface RawWorkload {
  readonly metadata?: {
    readonly uid?: string;
    readonly namespace?: string;
    readonly name?: string;
    readonly resourceVersion?: string;
    readonly generation?: number;
    readonly deletionTimestamp?: string | null;
  };
  readonly spec?: {
    readonly replicas?: number;
    readonly paused?: boolean;
    readonly selector?: Selector;
    readonly template?: Partial<PodTemplateObject>;
    readonly strategy?: {
      readonly type?: string;
      readonly rollingUpdate?: { readonly maxUnavailable?: number | string; readonly maxSurge?: number | string };
    };
    readonly updateStrategy?: { readonly type?: string; readonly rollingUpdate?: { readonly partition?: number } };
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly availableReplicas?: number;
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly reason?: string }[];
  };
}

/** @param raw parsed JSON, as the API server answers; what is missing reads as its default */
export function readWorkload(kind: WorkloadKind, raw: unknown): Workload {
  const { metadata = {}, spec = {}, status = {} } = raw as RawWorkload;
  const { replicas = 1, strategy, updateStrategy, template = {} } = spec;
  return {
    kind,
    uid: metadata.uid ?? "",
    namespace: metadata.namespace ?? "",
    name: metadata.name ?? "",
    resourceVersion: metadata.resourceVersion ?? "",
    generation: metadata.generation ?? 0,
    deleting: (metadata.deletionTimestamp ?? null) !== null,
    paused: spec.paused === true,
    replicas,
    strategy: (kind === "Deployment" ? strategy?.type : updateStrategy?.type) ?? "RollingUpdate",
    maxUnavailable: maxUnavailableOf(strategy?.rollingUpdate, replicas),
    partition: updateStrategy?.rollingUpdate?.partition ?? 0,
    selector: spec.selector ?? {},
    podTemplate: { metadata: template.metadata ?? {}, spec: template.spec ?? {} },
    status: {
      observedGeneration: status.observedGeneration ?? 0,
      replicas: status.replicas ?? 0,
      updated: status.updatedReplicas ?? 0,
      available: status.availableReplicas ?? 0,
      deadlineExceeded:
        status.conditions?.some(
          ({ type, status: holds, reason }) =>
            type === "Progressing" && holds === "False" && reason === "ProgressDeadlineExceeded",
        ) ?? false,
    },
  };
}

/** As the Deployment controller reckons: surge is rounded up, the other down, and not both are 0. */
function maxUnavailableOf(
  { maxUnavailable = "25%", maxSurge = "25%" }: { maxUnavailable?: number | string; maxSurge?: number | string } = {},
  replicas: number,
): number {
  const unavailable = Math.floor(podsOf(maxUnavailable, replicas));
  return unavailable === 0 && Math.ceil(podsOf(maxSurge, replicas)) === 0 ? 1 : unavailable;
}

function podsOf(value: number | string, replicas: number): number {
  return typeof value === "number" ? value : (Number.parseInt(value, 10) * replicas) / 100;
}

/** The controller has seen the present spec, every replica is of it, and all are available. */
export function isSettled({ generation, replicas, status }: Workload): boolean {
  return (
    status.observedGeneration >= generation &&
    status.updated === replicas &&
    status.replicas === replicas &&
    status.available === replicas
  );
}

/** Why a workload must not be begun; undefined when it may, as far as it itself decides. */
export function obstacleTo(workload: Workload, strategy: "Template" | "Evict"): Obstacle | undefined {
  const { kind, deleting, paused, replicas, partition, status, maxUnavailable } = workload;
  if (deleting) return { reason: "BeingDeleted", message: "it is being deleted" };
  if (workload.strategy !== "RollingUpdate") {
    const reason = workload.strategy === "Recreate" ? "Recreate" : "OnDelete";
    return { reason, message: `its strategy is ${workload.strategy}: replace its pods by hand` };
  }
  if (kind === "StatefulSet" && partition > 0) {
    return { reason: "Partitioned", message: `its partition is ${partition}: pods below it would not be updated` };
  }
  if (paused) return { reason: "DeploymentPaused", message: "its roll-outs are paused" };
  if (replicas === 0) return { reason: "ScaledToZero", message: "it has no replicas" };
  const isSpared = kind === "Deployment" && strategy === "Template" ? maxUnavailable < replicas : replicas >= 2;
  if (!isSpared) {
    return {
      reason: "NoSpareReplica",
      message: "no replica would be left while it rolls out: replace its pods by hand",
    };
  }
  if (status.observedGeneration < workload.generation || status.updated !== replicas || status.replicas !== replicas) {
    return { reason: "RollingAlready", message: "it is rolling out already, or being scaled" };
  }
  if (status.available !== replicas) {
    return { reason: "NotAvailable", message: `${status.available} of its ${replicas} replicas are available` };
  }
  return undefined;
}

/** Whether the workload selects pods with these labels, and so is what its pods' owner is named after. */
export function selects({ selector }: Pick<Workload, "selector">, labels: Readonly<Record<string, string>>): boolean {
  if (selectorText({ selector }) === "") return false;
  return compileSelector(selector)(labels);
}

/** The selector as the query of a list takes it. */
export function selectorText({ selector }: Pick<Workload, "selector">): string {
  const equal = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  const others = (selector.matchExpressions ?? []).map(({ key, operator, values = [] }) => {
    if (operator === "Exists") return key;
    if (operator === "DoesNotExist") return `!${key}`;
    return `${key} ${operator === "In" ? "in" : "notin"} (${values.join(",")})`;
  });
  return [...equal, ...others].join(",");
}
