/** The table of cases through both ways, webhook and MutatingAdmissionPolicy, on a real API server: they must agree. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { mutatingPolicy } from "../../src/admission/cel/objects.ts";
import { webhookOnlyReasons } from "../../src/admission/cel/types.ts";
import { mutatePod } from "../../src/admission/mutate.ts";
import type { AdmissionSnapshot } from "../../src/admission/types.ts";
import { APPLIED_ANNOTATION, SET_ANNOTATION, SKIPPED_ANNOTATION } from "../../src/admission/types.ts";
import { admissionCases } from "../support/admission-cases.ts";
import type { AdmissionCase } from "../support/admission-cases/case.ts";
import { CaseNamespaces, compiledCase, installCompiled } from "../support/compiled-case.ts";
import type { KubeObject } from "../support/kube-client.ts";
import { mapBounded } from "../support/concurrency.ts";
import { eventually } from "../support/operator-wait.ts";
import { WebhookStage } from "../support/webhook-stage.ts";

/** How a pod is changed: by label `way` on it. */
type Way = "webhook" | "policy" | "both";

interface Pod extends KubeObject {
  readonly spec: Readonly<Record<string, unknown>>;
}

let stage: WebhookStage;
const namespaces = new CaseNamespaces();
const cases = Object.entries(admissionCases).map(([sentence, row], i) => ({ sentence, row, id: `case-${i}` }));

async function install(id: string, row: AdmissionCase): Promise<void> {
  const podSelector = {
    matchLabels: { case: id },
    matchExpressions: [{ key: "way", operator: "In", values: ["policy", "both"] }],
  };
  await installCompiled(stage.client, compiledCase(mutatingPolicy, id, row, podSelector));
}

/** A dry run; the pod as it would be stored. */
async function create(id: string, way: Way | "none", pod: object, namespace: string): Promise<Pod> {
  const { metadata, spec } = pod as { metadata?: { labels?: object }; spec: object };
  const labels = { ...metadata?.labels, case: id, way };
  return await stage.client.create<Pod>(
    `/api/v1/namespaces/${namespace}/pods`,
    { apiVersion: "v1", kind: "Pod", metadata: { ...metadata, name: "case", labels }, spec },
    { dryRun: "All", fieldValidation: "Strict" },
  );
}

function told({ metadata: { annotations = {} } }: Pod): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(
    [APPLIED_ANNOTATION, SKIPPED_ANNOTATION, SET_ANNOTATION].map((name) => [name, annotations[name]]),
  );
}

beforeAll(async () => {
  stage = await WebhookStage.start();
  await stage.client.create("/apis/node.k8s.io/v1/runtimeclasses", { metadata: { name: "kata" }, handler: "kata" });
  for (const { row } of cases) namespaces.nameOf(row.site);
  await namespaces.create(stage.client);
  const byId = new Map(cases.map(({ id, row }) => [id, row]));
  const snapshot: AdmissionSnapshot = {
    inChargeOf: (_, { case: id = "", way }) => {
      const row = byId.get(id);
      return row === undefined || way === "policy" || way === "none" ? undefined : row;
    },
  };
  await stage.configure();
  const replica = await stage.startReplica({ snapshot: () => snapshot, mutate: mutatePod });
  await replica.untilReady();
  await mapBounded(cases, 4, async ({ id, row }) => install(id, row));
  const { "the default grace period is raised": last } = admissionCases;
  if (last === undefined) throw new Error("the cases have other names");
  // The API server reads its policies in the order in which they were made.
  await install("last", last);
  await eventually("the API server has read the last of the policies", async () => {
    const { spec } = await create("last", "policy", last.pod, namespaces.nameOf(last.site));
    return spec["terminationGracePeriodSeconds"] === 60;
  });
  const asked = cases.find(({ row }) => row === last);
  await eventually("the API server asks the webhook", async () => {
    const { spec } = await create(asked?.id ?? "", "webhook", last.pod, namespaces.nameOf(last.site));
    return spec["terminationGracePeriodSeconds"] === 60;
  });
}, 180_000);

afterAll(async () => {
  await stage.clear();
  await stage.stop();
});

describe("both ways do the same", () => {
  test.each(cases.map(({ sentence, ...rest }) => [sentence, rest] as const))("%s", async (_, { id, row }) => {
    const namespace = namespaces.nameOf(row.site);
    const untouched = await create(id, "none", row.pod, namespace);
    const byWebhook = await create(id, "webhook", row.pod, namespace);
    const byPolicy = await create(id, "policy", row.pod, namespace);
    if (row.byPolicy !== undefined) {
      expect(webhookOnlyReasons).toContain(row.skipped[0]?.[1]);
      expect(byWebhook.spec).toEqual(untouched.spec);
      const wanted = await create(id, "none", row.byPolicy.expected, namespace);
      expect(byPolicy.spec).toEqual(wanted.spec);
      return;
    }
    expect(byPolicy.spec).toEqual(byWebhook.spec);
    expect(told(byPolicy)).toEqual(told(byWebhook));
    // One after the other, in the API server's own order, they come to the same.
    const byBoth = await create(id, "both", row.pod, namespace);
    expect(byBoth.spec).toEqual(byWebhook.spec);
    expect(told(byBoth)).toEqual(told(byWebhook));
    // And once more, on a pod that obeys already.
    const again = await create(
      id,
      "policy",
      {
        metadata: { annotations: byPolicy.metadata.annotations, labels: row.pod.metadata.labels },
        spec: byPolicy.spec,
      },
      namespace,
    );
    expect(again.spec).toEqual(byPolicy.spec);
    expect(told(again)).toEqual(told(byPolicy));
  });
});
