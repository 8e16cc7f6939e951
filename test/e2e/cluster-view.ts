import { expect } from "vitest";

import { systemClock } from "../../src/clock/system.ts";
import type { ClusterView } from "../../src/cluster/cluster-view.ts";
import { watchCluster } from "../../src/cluster/reflectors.ts";
import { KubeTransport, loadKubeConfig } from "../../src/kube/transport.ts";
import type { ControlPlane } from "../env/index.ts";

/** The operator's own view of a cluster. */
export interface WatchedCluster {
  readonly view: ClusterView;
  stop(): Promise<void>;
}

/** Starts to watch; a handler that fails fails the test. */
export async function watch({ kubeconfig }: ControlPlane): Promise<WatchedCluster> {
  const transport = new KubeTransport({ config: await loadKubeConfig(kubeconfig), clock: systemClock });
  const cluster = watchCluster({
    transport,
    clock: systemClock,
    random: Math.random,
    metrics: () => ({
      listed: () => undefined,
      listFailed: () => undefined,
      watchEnded: () => undefined,
      events: () => undefined,
      handlerFailed: (handler) => expect.unreachable(`${handler} failed`),
    }),
    relistEveryMs: 300_000,
    freshForMs: 15_000,
    clusterDomain: "cluster.local",
  });
  const abort = new AbortController();
  const running = cluster.run(abort.signal);
  const stop = async (): Promise<void> => {
    abort.abort();
    await running;
    await transport.close();
  };
  return { view: cluster.view, stop };
}
