import type { WatchedCluster } from "../../cluster/reflectors.ts";
import type { Policies } from "./policy-set.ts";

/**
 * Has the annotations kept that policies take service names from. Where one is new, pods are listed again: those that
 * run already may have it, and what is kept of them lacks it.
 */
export function keepNamingAnnotations(
  policies: Pick<Policies, "subscribe" | "values">,
  { projector, requestPodList }: Pick<WatchedCluster, "projector" | "requestPodList">,
): () => void {
  return policies.subscribe(() => {
    const keys = Iterator.from(policies.values()).flatMap(({ naming }) =>
      naming?.from === "Annotation" ? [naming.key] : [],
    );
    if (projector.keepAnnotations(keys)) requestPodList();
  });
}
