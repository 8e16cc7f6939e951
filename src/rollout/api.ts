/** The requests of a roll-out to the API server. All reads are quorum reads, so that nothing rests on an old view. */
import { PodProjector } from "../cluster/project-pod.ts";
import type { PodRecord } from "../cluster/types.ts";
import { applyObject } from "../kube/apply.ts";
import { KubeError } from "../kube/http-errors.ts";
import type { KubeTransport } from "../kube/transport.ts";
import { keyOfWorkload, ROLLOUT_ANNOTATION, type WorkloadKind, type WorkloadReference } from "./types.ts";
import { readWorkload, selectorText, type Workload } from "./workload.ts";

/** Owns our annotation on pod templates. */
const FIELD_MANAGER = "hygeia-rollout";
const DEADLINE_MS = 10_000;
/** What the eviction API asks for when it says nothing. */
const RETRY_AFTER_MS = 10_000;
const plurals: Readonly<Record<WorkloadKind, string>> = { Deployment: "deployments", StatefulSet: "statefulsets" };

/** What became of the wish to evict a pod. */
export type Evicted =
  | { readonly kind: "Evicted" }
  /** It is gone, or is another one by now. */
  | { readonly kind: "Changed" }
  /** A PodDisruptionBudget allows it not now. */
  | { readonly kind: "Refused"; readonly retryAfterMs: number; readonly message: string };

/** A pod of a workload, with when it was created by the API server's clock. */
export type WorkloadPod = PodRecord & { readonly createdAt: Date };

export class RolloutApi {
  readonly #transport: Pick<KubeTransport, "request">;
  readonly #project = new PodProjector().project;

  constructor(transport: Pick<KubeTransport, "request">) {
    this.#transport = transport;
  }

  /** Undefined when there is no such workload. @throws KubeError */
  async workload(reference: WorkloadReference, signal: AbortSignal): Promise<Workload | undefined> {
    try {
      const { body } = await this.#transport.request({
        method: "GET",
        path: pathOf(reference),
        deadlineMs: DEADLINE_MS,
        signal,
      });
      return readWorkload(reference.kind, body);
    } catch (error) {
      if (error instanceof KubeError && error.isNotFound) return undefined;
      throw error;
    }
  }

  /**
   * Sets our annotation on the pod template, if the workload is as it was read: its controller rolls it out.
   * @throws KubeError `Conflict` when it has changed or is another object
   */
  async annotate(workload: Workload, fingerprint: string, signal: AbortSignal): Promise<void> {
    const { kind, name, namespace, uid, resourceVersion } = workload;
    await applyObject(this.#transport, {
      path: pathOf(workload),
      fieldManager: FIELD_MANAGER,
      // The key is ours alone: whoever else wrote it meant us.
      force: true,
      deadlineMs: DEADLINE_MS,
      signal,
      object: {
        apiVersion: "apps/v1",
        kind,
        metadata: { name, namespace, uid, resourceVersion },
        spec: { template: { metadata: { annotations: { [ROLLOUT_ANNOTATION]: fingerprint } } } },
      },
    });
  }

  /** Pods of the workload that exist, terminating ones too. @throws KubeError */
  async pods(workload: Workload, signal: AbortSignal): Promise<readonly WorkloadPod[]> {
    const key = keyOfWorkload(workload);
    const pods: WorkloadPod[] = [];
    let next: string | undefined;
    do {
      const { body } = await this.#transport.request({
        method: "GET",
        path: `/api/v1/namespaces/${encodeURIComponent(workload.namespace)}/pods`,
        query: { labelSelector: selectorText(workload), limit: 500, continue: next },
        deadlineMs: DEADLINE_MS,
        signal,
      });
      const { items = [], metadata } = body as { items?: readonly unknown[]; metadata?: { continue?: string } };
      pods.push(...items.map((raw) => this.#podOf(raw)).filter((pod) => pod.workload === key));
      next = metadata?.continue === "" ? undefined : metadata?.continue;
    } while (next !== undefined);
    return pods;
  }

  #podOf(raw: unknown): WorkloadPod {
    const { metadata } = raw as { metadata?: { creationTimestamp?: string } };
    return { ...this.#project(raw), createdAt: new Date(metadata?.creationTimestamp ?? 0) };
  }

  /** Evicts exactly this pod. @throws KubeError */
  async evict({ namespace, name, uid }: PodRecord, signal: AbortSignal): Promise<Evicted> {
    try {
      await this.#transport.request({
        method: "POST",
        path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}/eviction`,
        body: {
          apiVersion: "policy/v1",
          kind: "Eviction",
          metadata: { name, namespace },
          // By its UID: a StatefulSet gives the next pod the same name.
          deleteOptions: { preconditions: { uid } },
        },
        deadlineMs: DEADLINE_MS,
        signal,
      });
      return { kind: "Evicted" };
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      if (error.isNotFound || error.isConflict) return { kind: "Changed" };
      // 500: more than one PodDisruptionBudget selects the pod, and the API server goes by none then.
      const isRefusal =
        error.isTooManyRequests || (error.status === 500 && error.message.includes("PodDisruptionBudget"));
      if (!isRefusal) throw error;
      return { kind: "Refused", retryAfterMs: error.retryAfterMs ?? RETRY_AFTER_MS, message: error.message };
    }
  }
}

function pathOf({ namespace, kind, name }: WorkloadReference): string {
  return `/apis/apps/v1/namespaces/${encodeURIComponent(namespace)}/${plurals[kind]}/${encodeURIComponent(name)}`;
}
