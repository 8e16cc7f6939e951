import { mayI } from "../../kube/access.ts";
import { KubeError } from "../../kube/http-errors.ts";
import type { KubeTransport } from "../../kube/transport.ts";
import { ADMISSION_LABEL, type Sysctl } from "../types.ts";

/** Through all admission, webhooks of others included, each of which may take its time. */
const DEADLINE_MS = 10_000;
/** What is kept of a refusal. */
const MESSAGE_LIMIT = 300;

export type DryRunAnswer =
  /** The pod as it would have been created. */
  | { readonly result: "Accepted"; readonly annotations: Readonly<Record<string, string>> }
  | { readonly result: "Refused"; readonly message: string }
  /** The API server could not say. */
  | { readonly result: "Unknown" };

export interface DryRunPod {
  readonly sysctls?: readonly Sysctl[];
  readonly annotations?: Readonly<Record<string, string>>;
  /** Whether our own webhook may see it. */
  readonly admission: "Enabled" | "Disabled";
}

/**
 * Asks the API server what it would say to a pod, without creating one (`dryRun=All`). The pod is as small as can be and
 * fits the restricted Pod Security Standard. Needs the right to create pods, which is given separately.
 */
export class PodDryRun {
  readonly #transport: Pick<KubeTransport, "request">;

  constructor(transport: Pick<KubeTransport, "request">) {
    this.#transport = transport;
  }

  /** Whether the operator was given the right to create pods in every namespace; asking needs no right. */
  async isAllowed(signal: AbortSignal): Promise<boolean> {
    return await mayI(this.#transport, { verb: "create", group: "", resource: "pods" }, signal);
  }

  /** @throws the signal's reason when it aborts; no failure of a server */
  async create(namespace: string, pod: DryRunPod, signal: AbortSignal): Promise<DryRunAnswer> {
    try {
      const { body } = await this.#transport.request({
        method: "POST",
        path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`,
        query: { dryRun: "All" },
        body: objectOf(pod),
        deadlineMs: DEADLINE_MS,
        signal,
      });
      const { metadata } = body as { metadata?: { annotations?: Readonly<Record<string, string>> } };
      return { result: "Accepted", annotations: metadata?.annotations ?? {} };
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof KubeError)) throw error;
      const isRefusal = error.status >= 400 && error.status < 500 && !error.isTooManyRequests && !error.isUnauthorized;
      if (!isRefusal) return { result: "Unknown" };
      return { result: "Refused", message: error.message.slice(0, MESSAGE_LIMIT) };
    }
  }
}

function objectOf({ sysctls, annotations = {}, admission }: DryRunPod): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      generateName: "hygeia-dry-run-",
      labels: admission === "Disabled" ? { [ADMISSION_LABEL]: "Disabled" } : {},
      annotations,
    },
    spec: {
      automountServiceAccountToken: false,
      restartPolicy: "Never",
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 65_532,
        seccompProfile: { type: "RuntimeDefault" },
        ...(sysctls === undefined ? {} : { sysctls }),
      },
      containers: [
        {
          name: "none",
          image: "registry.k8s.io/pause:3.10",
          resources: { requests: { cpu: "1m", memory: "1Mi" }, limits: { cpu: "1m", memory: "1Mi" } },
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ["ALL"] },
          },
        },
      ],
    },
  };
}
