import type { PodManifest } from "./pods.ts";
import { type Stage, type StageOptions, startStage } from "./stage.ts";

/** What a policy asks for in these tests. */
export const NDOTS = "2";
export const SEARCHES: readonly string[] = ["shop.example", "dc1.shop.example"];
export const KEEPALIVE = {
  "net.ipv4.tcp_keepalive_time": "600",
  "net.ipv4.tcp_keepalive_intvl": "30",
  "net.ipv4.tcp_keepalive_probes": "3",
} as const;

/** How a pod comes by what a policy asks for. */
export interface Way {
  /** Stands in the tests' names. */
  readonly name: string;
  /** Starts a cluster with a real node in which it works. */
  start(options: StageOptions): Promise<Stage>;
  /** A namespace in which it works. */
  namespace(stage: Stage): Promise<string>;
  /** The pod as it is sent to the API server so that it gets NDOTS, SEARCHES and KEEPALIVE. */
  prepare(pod: PodManifest): PodManifest;
}

/** The pod's author writes it into the pod. */
export const writtenByAuthor: Way = {
  name: "written by the pod's author",
  start: startStage,
  namespace: ({ pods }) => pods.namespace(),
  prepare: ({ labels, spec }) => ({
    labels,
    spec: {
      ...spec,
      dnsConfig: {
        ...spec.dnsConfig,
        searches: [...(spec.dnsConfig?.searches ?? []), ...SEARCHES],
        options: [...(spec.dnsConfig?.options ?? []), { name: "ndots", value: NDOTS }],
      },
      securityContext: {
        sysctls: [
          ...(spec.securityContext?.sysctls ?? []),
          ...Object.entries(KEEPALIVE).map(([name, value]) => ({ name, value })),
        ],
      },
    },
  }),
};
