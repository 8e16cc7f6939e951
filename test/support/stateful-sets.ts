import type { ClusterFixture } from "./cluster-fixture.ts";
import type { OwnerReference } from "./cluster-fixture-objects.ts";

/** Creates a StatefulSet that no controller looks after. @returns what its pods name as their owner */
export async function createStatefulSet(
  fixture: ClusterFixture,
  namespace: string,
  name: string,
): Promise<OwnerReference> {
  const labels = { app: name };
  const { metadata } = await fixture.client.create(`/apis/apps/v1/namespaces/${namespace}/statefulsets`, {
    metadata: { name },
    spec: {
      serviceName: name,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "app", image: "registry.invalid/app:1" }] } },
    },
  });
  return { apiVersion: "apps/v1", kind: "StatefulSet", name, uid: metadata.uid, controller: true };
}
