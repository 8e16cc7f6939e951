/** Pods that exist, judged by their policy: what status, report and metrics of an operator that runs as a process say. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { RegistrationPolicyStatus, RegistrationReport } from "../../src/api/v1alpha1/index.ts";
import { type ControlPlane, startControlPlane } from "../env/index.ts";
import { ClusterFixture } from "../support/cluster-fixture.ts";
import { nodeObject } from "../support/cluster-fixture-objects.ts";
import { type Operator, startOperator } from "../support/operator.ts";
import { findReport, getPolicy } from "../support/operator-objects.ts";
import { eventually } from "../support/operator-wait.ts";

const POLICIES = "/apis/hygeia.dev/v1alpha1/registrationpolicies";
const WITHIN = 60_000;
const KEEPALIVE = { time: "600s", interval: "30s", probes: 3 };
const OBEYS = {
  dnsConfig: { options: [{ name: "ndots", value: "2" }] },
  securityContext: {
    sysctls: [
      { name: "net.ipv4.tcp_keepalive_probes", value: "3" },
      { name: "net.ipv4.tcp_keepalive_time", value: "600" },
      { name: "net.ipv4.tcp_keepalive_intvl", value: "30" },
    ],
  },
};

let controlPlane: ControlPlane;
let fixture: ClusterFixture;
let operator: Operator;

beforeAll(async () => {
  controlPlane = await startControlPlane({});
  fixture = new ClusterFixture(controlPlane);
  await fixture.node();
  operator = await startOperator({ cluster: controlPlane });
});

afterAll(async () => {
  await operator.stop();
  await fixture.close();
  await controlPlane.stop();
});

/** A policy over one namespace of its own. */
async function setUp(name: string) {
  const namespace = await fixture.namespace();
  const match = { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } } };
  const registration = { registries: [{ name: "absent" }] };
  const policy = async (spec: object): Promise<void> => {
    const body = {
      apiVersion: "hygeia.dev/v1alpha1",
      kind: "RegistrationPolicy",
      metadata: { name },
      spec: { match, registration, ...spec },
    };
    const query = { fieldManager: "test", force: true, fieldValidation: "Strict" };
    await fixture.client.patch(`${POLICIES}/${name}`, body, "application/apply-patch+yaml", query);
  };
  const pod = async (pod: string, spec: object = {}, metadata: object = {}): Promise<void> => {
    const containers = [{ name: "app", image: "registry.invalid/app:1" }];
    await fixture.client.create(`/api/v1/namespaces/${namespace}/pods`, {
      metadata: { name: pod, ...metadata },
      spec: { containers, automountServiceAccountToken: false, ...spec },
    });
  };
  const untilPods = async (pods: object): Promise<RegistrationPolicyStatus> => {
    let last: RegistrationPolicyStatus | undefined;
    return await eventually(
      `policy ${name} counts ${JSON.stringify(pods)}`,
      async () => {
        const { status, metadata } = await getPolicy(fixture.client, name);
        last = status;
        const isCurrent = status?.observedGeneration === metadata.generation;
        return isCurrent && JSON.stringify(sorted(status.pods ?? {})) === JSON.stringify(sorted(pods))
          ? status
          : undefined;
      },
      WITHIN,
    ).catch((error: unknown) => {
      throw new Error(`last seen: ${JSON.stringify(last)}\n${operator.tail()}`, { cause: error });
    });
  };
  const untilReport = async (what: string, wanted: (status: RegistrationReport["status"]) => boolean) =>
    await eventually(
      `the report of policy ${name} ${what}`,
      async () => {
        const report = await findReport(fixture.client, name);
        return report !== undefined && wanted(report.status) ? report.status : undefined;
      },
      WITHIN,
    );
  const remove = (): Promise<void> => fixture.client.delete(`${POLICIES}/${name}`);
  return { namespace, policy, pod, untilPods, untilReport, remove };
}

function sorted(object: object): [string, unknown][] {
  return Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1));
}

function conditionOf({ conditions }: RegistrationPolicyStatus) {
  return conditions?.find(({ type }) => type === "PodsCompliant");
}

describe("pods that were created without a policy", () => {
  test("are counted by how they stand to it, also where it only audits", async () => {
    const { namespace, policy, pod, untilPods, untilReport, remove } = await setUp("drift-counted");
    const owner = { apiVersion: "apps/v1", kind: "StatefulSet", name: "web", uid: "1b8c", controller: true };
    await pod("web-0", {}, { ownerReferences: [owner] });
    await pod("web-1", {}, { ownerReferences: [owner] });
    await pod("obeys", OBEYS);
    await pod("host", { hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet", dnsConfig: OBEYS.dnsConfig });
    await policy({ mode: "Audit", dns: { ndots: 2 }, keepalive: KEEPALIVE });

    const status = await untilPods({ matched: 4, compliant: 1, drifted: 2, exempt: 1, compliance: "1/3" });
    expect(conditionOf(status)).toMatchObject({
      status: "False",
      reason: "PodsDrifted",
      message:
        `2 pods of 3 differ: ${namespace}/web-0 and 1 like it: spec.dnsConfig.options[ndots] is not 2, ` +
        "spec.securityContext.sysctls[net.ipv4.tcp_keepalive_time] is not 600, " +
        "spec.securityContext.sysctls[net.ipv4.tcp_keepalive_intvl] is not 30 and 1 more; " +
        "1 pod exempt (keepalive: HostNetwork)",
    });
    expect(await fixture.kubectl("get", "rpol", "drift-counted")).toMatch(/^NAME .* COMPLIANT .*\n.* 1\/3 /);

    const report = await untilReport("tells of pods", (seen) => seen?.summary?.podsDrifted === 2);
    expect(report.summary).toMatchObject({ podsDrifted: 2, podsExempt: 1, podsOmitted: 0 });
    expect(report.podFindings).toMatchObject([
      {
        namespace,
        kind: "StatefulSet",
        name: "web",
        pods: 2,
        example: "web-0",
        state: "Drifted",
        differences: [
          { field: "spec.dnsConfig.options[ndots]", want: "2" },
          { field: "spec.securityContext.sysctls[net.ipv4.tcp_keepalive_time]", want: "600" },
          { field: "spec.securityContext.sysctls[net.ipv4.tcp_keepalive_intvl]", want: "30" },
          { field: "spec.securityContext.sysctls[net.ipv4.tcp_keepalive_probes]", want: "3" },
        ],
      },
      {
        namespace,
        kind: "Pod",
        name: "host",
        pods: 1,
        state: "Exempt",
        exemptions: [{ part: "keepalive", reason: "HostNetwork" }],
      },
    ]);

    const metrics = await operator.metrics();
    const counted = (state: string) => metrics.sum("hygeia_policy_pods", { policy: "drift-counted", state });
    expect([counted("Compliant"), counted("Drifted"), counted("Exempt"), counted("Unknown")]).toEqual([1, 2, 1, 0]);
    await remove();
  });

  test("are all judged anew when the policy changes", async () => {
    const { policy, pod, untilPods, untilReport, remove } = await setUp("drift-changed");
    await pod("authors", { dnsConfig: OBEYS.dnsConfig });
    // As an earlier generation of the policy made it.
    await pod("made", { dnsConfig: OBEYS.dnsConfig }, { annotations: { "hygeia.dev/set": "ndots=2" } });
    await policy({ mode: "Enforce", dns: { ndots: 2 } });
    const first = await untilPods({ matched: 2, compliant: 2, drifted: 0, exempt: 0, compliance: "2/2" });
    expect(conditionOf(first)).toMatchObject({ status: "True", reason: "AllCompliant", message: "2 pods obey" });

    await policy({ mode: "Enforce", dns: { ndots: 3 } });
    const second = await untilPods({ matched: 2, compliant: 0, drifted: 1, exempt: 1, compliance: "0/1" });
    expect(conditionOf(second)?.message).toMatch(
      /^1 pod of 1 differ: .*\/made: spec.dnsConfig.options\[ndots\] is 2, not 3; 1 pod exempt \(dns: SetByAuthor\)$/,
    );

    await policy({ mode: "Enforce", dns: { ndots: 3, onConflict: "Override" } });
    await untilPods({ matched: 2, compliant: 0, drifted: 2, exempt: 0, compliance: "0/2" });

    await policy({ mode: "Enforce" });
    const last = await untilPods({ matched: 2 });
    expect(conditionOf(last)).toMatchObject({ status: "True", reason: "NothingWanted" });
    await untilReport("tells nothing of pods", (seen) => seen !== undefined && seen.podFindings === undefined);
    await remove();
  });

  test("are exempt from sysctls as long as a node could not run them", async () => {
    const { policy, pod, untilPods, remove } = await setUp("drift-nodes");
    await pod("web");
    await policy({ mode: "Enforce", keepalive: KEEPALIVE });
    await untilPods({ matched: 1, compliant: 0, drifted: 1, exempt: 0, compliance: "0/1" });
    const old = nodeObject("drift-old", "10.254.0.1", ["10.253.0.0/24"]) as { status: { nodeInfo: object } };
    Object.assign(old.status.nodeInfo, { kernelVersion: "4.4.0-210-generic" });
    await fixture.client.create("/api/v1/nodes", old);
    try {
      const status = await untilPods({ matched: 1, compliant: 0, drifted: 0, exempt: 1, compliance: "0/0" });
      expect(conditionOf(status)?.message).toBe("0 pods obey; 1 pod exempt (keepalive: NodeTooOld)");
    } finally {
      await fixture.client.delete("/api/v1/nodes/drift-old");
    }
    await untilPods({ matched: 1, compliant: 0, drifted: 1, exempt: 0, compliance: "0/1" });
    await remove();
  });
});
