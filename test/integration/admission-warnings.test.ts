/**
 * Who creates a pod that escaped is told what it lacks: the table of cases through the ValidatingAdmissionPolicy that a policy
 * is compiled to, on a real API server on which nothing changes pods, against judgePod.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { validatingPolicy } from "../../src/admission/cel/objects.ts";
import { judgePod } from "../../src/admission/compliance.ts";
import { applyPatch } from "../../src/admission/json-patch.ts";
import { mutatePod } from "../../src/admission/mutate.ts";
import { podParts, type Site } from "../../src/admission/types.ts";
import { type ControlPlane, Scope, startControlPlane } from "../env/index.ts";
import { admissionCases } from "../support/admission-cases.ts";
import { expectedOf, toldBy } from "../support/admission-warnings.ts";
import { CaseNamespaces, compiledCase, factsOf, installCompiled } from "../support/compiled-case.ts";
import { mapBounded } from "../support/concurrency.ts";
import { KubeClient, type KubeObject } from "../support/kube-client.ts";
import { eventually } from "../support/operator-wait.ts";

interface Pod extends KubeObject {
  readonly spec: Readonly<Record<string, unknown>>;
}

const scope = new Scope();
const namespaces = new CaseNamespaces();
const cases = Object.entries(admissionCases).map(([sentence, row], i) => ({ sentence, row, id: `case-${i}` }));
let controlPlane: ControlPlane;
let client: KubeClient;
let auditLog: string;

beforeAll(async () => {
  const directory = scope.directory("audit");
  auditLog = join(directory, "audit.log");
  const auditPolicy = join(directory, "policy.yaml");
  writeFileSync(
    auditPolicy,
    JSON.stringify({
      apiVersion: "audit.k8s.io/v1",
      kind: "Policy",
      omitStages: ["RequestReceived"],
      rules: [{ level: "Metadata", resources: [{ group: "", resources: ["pods"] }] }],
    }),
  );
  controlPlane = await startControlPlane({
    scope,
    apiserverFlags: [
      "--disable-admission-plugins=ServiceAccount",
      `--audit-policy-file=${auditPolicy}`,
      `--audit-log-path=${auditLog}`,
    ],
  });
  client = new KubeClient(controlPlane);
  await client.create("/apis/node.k8s.io/v1/runtimeclasses", { metadata: { name: "kata" }, handler: "kata" });
  for (const { row } of cases) namespaces.nameOf(row.site);
  await namespaces.create(client);
  await mapBounded(cases, 4, async ({ id, row }) =>
    installCompiled(client, compiledCase(validatingPolicy, id, row, { matchLabels: { case: id } })),
  );
  const { "the default grace period is raised": last } = admissionCases;
  if (last === undefined) throw new Error("the cases have other names");
  await installCompiled(client, compiledCase(validatingPolicy, "last", last, { matchLabels: { case: "last" } }));
  await eventually("the API server has read the last of the policies", async () => {
    const warnings = await warningsOf("last", last.pod, namespaces.nameOf(last.site));
    return warnings.length > 0;
  });
}, 180_000);

afterAll(async () => {
  await client.close();
  await scope.stop();
});

function labelled(id: string, pod: object): object {
  const { metadata, spec } = pod as { metadata?: { labels?: object }; spec: object };
  const labels = { ...metadata?.labels, case: id };
  return { apiVersion: "v1", kind: "Pod", metadata: { ...metadata, name: "case", labels }, spec };
}

const podsOf = (namespace: string): string => `/api/v1/namespaces/${namespace}/pods`;

async function warningsOf(id: string, pod: object, namespace: string): Promise<string[]> {
  return client.warningsOf(podsOf(namespace), labelled(id, pod), { dryRun: "All" });
}

/** As the API server's own policies know it: how fresh the operator's view is they do not. */
async function siteSeenBy(site: Site, namespace: string): Promise<Site> {
  const { metadata } = await client.get(`/api/v1/namespaces/${namespace}`);
  return { ...site, sysctlObstacle: factsOf(site).sysctlObstacle, namespaceLabels: metadata.labels ?? {} };
}

describe("the warnings are what the pod would be given and does not have", () => {
  const seen = new Set<string>();

  test.each(cases.map(({ sentence, ...rest }) => [sentence, rest] as const))("%s", async (_, { id, row }) => {
    const namespace = namespaces.nameOf(row.site);
    const site = await siteSeenBy(row.site, namespace);
    // With the server's defaults, as the policy sees it.
    const stored = await client.create<Pod>(podsOf(namespace), labelled(id, row.pod), { dryRun: "All" });
    const { state, differences } = judgePod(stored, row.policy, site);
    const told = async (pod: object) => toldBy(id, row.policy.name, await warningsOf(id, pod, namespace));
    const escaped = await told(row.pod);
    expect(escaped).toEqual(expectedOf(differences));
    expect(escaped.length > 0).toBe(state === "Drifted");
    const { patch, changed } = mutatePod(stored, row.policy, site);
    for (const part of changed) seen.add(part);
    // Once it has them, and where a part is left out for it, nobody is warned.
    const { metadata, spec } = applyPatch(stored, patch);
    const obeying = { metadata: { annotations: metadata.annotations, labels: row.pod.metadata.labels }, spec };
    expect(await told(obeying)).toEqual([]);
  });

  test("every part has been warned of", () => {
    expect([...seen].toSorted()).toEqual([...podParts].toSorted());
  });
});

test("the audit log tells the same of who does not see warnings", async () => {
  const found = await eventually("the audit log has it", () => {
    const lines = readFileSync(auditLog, "utf8").split("\n");
    return lines.find((line) => line.includes("validation.policy.admission.k8s.io/validation_failure"));
  });
  const { annotations } = JSON.parse(found) as { annotations: Readonly<Record<string, string>> };
  const [failure] = JSON.parse(annotations["validation.policy.admission.k8s.io/validation_failure"] ?? "[]") as {
    readonly message: string;
    readonly validationActions: readonly string[];
  }[];
  expect(failure?.message).toMatch(/^RegistrationPolicy \S+ wants, and the pod does not have: spec\./);
  expect(failure?.validationActions).toEqual(["Warn", "Audit"]);
});
