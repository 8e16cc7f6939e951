import { describe, expect, it } from "vitest";

import { ClusterViewFixture, rawPod, type PodSpec } from "../../test/support/cluster-view-fixture.ts";
import { ServiceIndex, type NamingRule, type ServicePolicy } from "./service-index.ts";

const byApp: NamingRule = { from: "Label", key: "app", port: undefined };
const fixed: NamingRule = { from: "Fixed", value: "all", port: 8080 };

function policy(name: string, naming: NamingRule, matches: ServicePolicy["matches"] = () => true): ServicePolicy {
  return { name, naming, matches };
}

function setUp(...pods: PodSpec[]): { cluster: ClusterViewFixture; index: ServiceIndex } {
  const cluster = new ClusterViewFixture();
  for (const pod of pods) cluster.pods.set(rawPod(pod));
  return { cluster, index: new ServiceIndex(cluster.view) };
}

const names = (index: ServiceIndex, policyName: string, service: string): string[] =>
  index.podsOf(policyName, service).map((pod) => pod.name);

describe("the service index", () => {
  it("finds the pods that were there before the policy, and those that come after", () => {
    const { cluster, index } = setUp({ name: "a" }, { name: "b", labels: { app: "db" } });
    index.setPolicy(policy("p", byApp));
    cluster.pods.set(rawPod({ name: "c" }));
    expect(names(index, "p", "web")).toEqual(["a", "c"]);
    expect(names(index, "p", "db")).toEqual(["b"]);
    expect(index.servicesOf("uid-a")).toEqual([{ policy: "p", service: "web", port: undefined }]);
  });

  it("follows a pod's labels and forgets a pod that ended", () => {
    const { cluster, index } = setUp({ name: "a" }, { name: "b" });
    index.setPolicy(policy("p", byApp));
    cluster.pods.set(rawPod({ name: "a", labels: { app: "db" } }));
    cluster.pods.set(rawPod({ name: "b", phase: "Failed", container: "terminated" }));
    expect(names(index, "p", "web")).toEqual([]);
    expect(names(index, "p", "db")).toEqual(["a"]);
    expect(index.servicesOf("uid-b")).toEqual([]);
  });

  it("takes the name from an annotation, or the policy itself, and skips pods without one", () => {
    const { cluster, index } = setUp();
    cluster.projector.keepAnnotations(["service"]);
    cluster.pods.set(rawPod({ name: "a", annotations: { service: "orders" } }));
    cluster.pods.set(rawPod({ name: "b", annotations: { service: "" } }));
    cluster.pods.set(rawPod({ name: "c" }));
    index.setPolicy(policy("p", { from: "Annotation", key: "service", port: undefined }));
    index.setPolicy(policy("q", fixed));
    index.setPolicy(policy("r", { from: "Label", key: "constructor", port: undefined }));
    expect(names(index, "p", "orders")).toEqual(["a"]);
    expect(index.servicesOf("uid-b")).toEqual([{ policy: "q", service: "all", port: 8080 }]);
    expect(names(index, "q", "all")).toEqual(["a", "b", "c"]);
  });

  it("finds a port by its name in the pod", () => {
    const { index } = setUp({ name: "a", ports: [{ name: "grpc", containerPort: 9000 }] }, { name: "b", ports: [] });
    index.setPolicy(policy("p", { ...fixed, port: "grpc" }));
    expect(index.servicesOf("uid-a")).toMatchObject([{ port: 9000 }]);
    expect(index.servicesOf("uid-b")).toMatchObject([{ port: undefined }]);
  });

  it("is rebuilt when a policy changes, and forgets a policy that is removed", () => {
    const { index } = setUp({ name: "a" }, { name: "b", labels: { app: "db" } });
    index.setPolicy(policy("p", byApp));
    index.setPolicy(policy("q", byApp));
    index.setPolicy(policy("p", fixed, (pod) => pod.name === "a"));
    expect(names(index, "p", "web")).toEqual([]);
    expect(names(index, "p", "all")).toEqual(["a"]);
    index.removePolicy("p");
    index.removePolicy("unknown");
    expect(names(index, "p", "all")).toEqual([]);
    expect(names(index, "q", "db")).toEqual(["b"]);
  });

  it("asks a policy again when a namespace's labels change", () => {
    const { cluster, index } = setUp({ name: "a" }, { name: "b", namespace: "other" });
    const team = (pod: { namespace: string }): boolean => cluster.view.namespaceLabels(pod.namespace)["team"] === "x";
    index.setPolicy(policy("p", byApp, team));
    cluster.namespace("shop", "u", { team: "x" });
    expect(names(index, "p", "web")).toEqual(["a"]);
    cluster.namespace("shop", "u", {});
    expect(names(index, "p", "web")).toEqual([]);
  });

  it("stops following when it is closed", () => {
    const { cluster, index } = setUp();
    index.setPolicy(policy("p", byApp));
    index.close();
    cluster.pods.set(rawPod({ name: "a" }));
    expect(names(index, "p", "web")).toEqual([]);
  });
});
