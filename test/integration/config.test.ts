import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";

import { createMetrics } from "../../src/telemetry/metrics.ts";
import { type Cluster, eventually, ROOT, startCluster } from "./crds-cluster.ts";

const OPERATOR = "system:serviceaccount:hygeia-system:hygeia-controller-manager";

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly Rule[];
  readonly spec?: unknown;
}

let cluster: Cluster;

beforeAll(async () => {
  // With its controllers: they fill the aggregated roles.
  cluster = await startCluster({ controllerManager: true });
});

afterAll(async () => {
  await cluster.stop();
});

async function build(folder: string): Promise<Manifest[]> {
  const { code, stdout, stderr } = await cluster.kubectl("kustomize", folder);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return parseAllDocuments(stdout).map((document) => document.toJS() as Manifest);
}

/** Rows of a Markdown page's tables, cells trimmed and without backticks. */
function tableRows(page: string): string[][] {
  const lines = readFileSync(join(ROOT, page), "utf8").split("\n");
  return lines
    .filter((line) => line.startsWith("|"))
    .map((line) => line.slice(1, -1).split("|"))
    .map((cells) => cells.map((cell) => cell.trim().replaceAll("`", "")));
}

describe("kubectl apply -k config/default", () => {
  test("installs everything at once on a cluster that has nothing of it, without a warning", async () => {
    const { code, stdout, stderr } = await cluster.kubectl("apply", "-k", "config/default");
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout).toContain("deployment.apps/hygeia-controller-manager created");
  });

  test("the API server serves the three kinds", async () => {
    const names = ["registries", "registrationpolicies", "registrationreports"].map((plural) => `${plural}.hygeia.dev`);
    const waited = await cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", ...names);
    expect(waited).toMatchObject({ code: 0, stderr: "" });
  });

  test("a second time it changes nothing", async () => {
    const again = await cluster.kubectl("apply", "-k", "config/default", "--dry-run=server");
    expect(again).toMatchObject({ code: 0, stderr: "" });
    expect(await cluster.kubectl("diff", "-k", "config/default")).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test("its pods are admitted by the restricted standard of their namespace", async () => {
    const listed = await eventually(
      () => cluster.kubectl("get", "pods", "-n", "hygeia-system", "-o", "name"),
      ({ stdout }) => stdout.trim().split("\n").length === 2,
    );
    expect(listed.code).toBe(0);
    const run = ["run", "root", "--image=hygeia", "-n", "hygeia-system", "--dry-run=server"];
    const refused = await cluster.kubectl(...run);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('violates PodSecurity "restricted');
  });

  test("the samples apply", async () => {
    const { code, stdout, stderr } = await cluster.kubectl("apply", "-k", "config/samples", "--dry-run=server");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const kinds = stdout
      .trim()
      .split("\n")
      .map((line) => line.split("/")[0]);
    expect(kinds.toSorted()).toEqual([
      "registrationpolicy.hygeia.dev",
      "registrationpolicy.hygeia.dev",
      "registrationpolicy.hygeia.dev",
      "registrationpolicy.hygeia.dev",
      "registrationpolicy.hygeia.dev",
      "registry.hygeia.dev",
      "registry.hygeia.dev",
      "registry.hygeia.dev",
    ]);
  });
});

describe("kubectl apply -k config/default-certmanager", () => {
  /** The kinds of cert-manager, which is not there, taken as they come. */
  async function addCertManagerKinds(): Promise<void> {
    for (const [kind, plural] of Object.entries({ Issuer: "issuers", Certificate: "certificates" })) {
      const schema = { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } };
      const { status } = await cluster.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
        apiVersion: "apiextensions.k8s.io/v1",
        kind: "CustomResourceDefinition",
        metadata: { name: `${plural}.cert-manager.io` },
        spec: {
          group: "cert-manager.io",
          scope: "Namespaced",
          names: { kind, plural, singular: kind.toLowerCase() },
          versions: [{ name: "v1", served: true, storage: true, schema }],
        },
      });
      expect(status).toBe(201);
      const name = `crd/${plural}.cert-manager.io`;
      expect((await cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", name)).code).toBe(0);
    }
  }

  test("is taken by the API server, with the certificate mounted and the right to issue one taken away", async () => {
    await addCertManagerKinds();
    const applied = await cluster.kubectl("apply", "-k", "config/default-certmanager", "--dry-run=server");
    expect(applied).toMatchObject({ code: 0, stderr: "" });
    const built = await build("config/default-certmanager");
    const names = (kind: string): string[] => built.filter((one) => one.kind === kind).map((one) => one.metadata.name);
    expect([...names("Role"), ...names("ClusterRole")]).not.toContain("hygeia-webhook-ca-role");
    expect([...names("RoleBinding"), ...names("ClusterRoleBinding")]).not.toContain("hygeia-webhook-ca-rolebinding");
    const secret = "hygeia-webhook-server-cert";
    expect(built.find(({ kind }) => kind === "MutatingWebhookConfiguration")).toMatchObject({
      metadata: { annotations: { "cert-manager.io/inject-ca-from": "hygeia-system/hygeia-serving-cert" } },
    });
    expect(built.find(({ kind }) => kind === "Deployment")?.spec).toMatchObject({
      template: {
        spec: {
          volumes: [{ name: "webhook-certificate", secret: { secretName: secret } }],
          containers: [
            {
              args: expect.arrayContaining([
                "--webhook-cert-dir=/etc/hygeia/webhook-certificate",
                // The operator reads no Secret of this name for a Registry.
                "--webhook-ca-secret-name=hygeia-webhook-root",
              ]) as unknown,
              volumeMounts: [{ name: "webhook-certificate", readOnly: true }],
            },
          ],
        },
      },
    });
  });
});

describe("certificates of cert-manager's", () => {
  interface Certificate extends Manifest {
    readonly spec: {
      readonly secretName: string;
      readonly isCA?: boolean;
      readonly issuerRef: { readonly kind: string; readonly name: string };
      readonly dnsNames?: readonly string[];
      readonly privateKey: { readonly rotationPolicy: string };
    };
  }
  let built: Manifest[];

  beforeAll(async () => {
    built = await build("config/default-certmanager");
  });

  const certificate = (name: string): Certificate["spec"] | undefined =>
    (built.find(({ kind, metadata }) => kind === "Certificate" && metadata.name === name) as Certificate | undefined)
      ?.spec;
  const issuerOf = (name: string): unknown => {
    const { kind, name: issuer } = certificate(name)?.issuerRef ?? {};
    return built.find((one) => one.kind === kind && one.metadata.name === issuer)?.spec;
  };

  test("the API server trusts a root that outlives what it signs, so that a renewal leaves no pod unchanged", () => {
    const serving = certificate("hygeia-serving-cert");
    expect(serving).toMatchObject({ dnsNames: ["hygeia-webhook-service.hygeia-system.svc"] });
    expect(serving?.isCA).toBeUndefined();
    // The issuer reads its root where the root's certificate is written.
    const root = certificate("hygeia-webhook-root");
    expect(issuerOf("hygeia-serving-cert")).toEqual({ ca: { secretName: root?.secretName } });
    expect(root).toMatchObject({ isCA: true, privateKey: { rotationPolicy: "Never" } });
    expect(issuerOf("hygeia-webhook-root")).toEqual({ selfSigned: {} });
  });

  test("the pods mount what is renewed, and not the root", () => {
    const deployment = JSON.stringify(built.find(({ kind }) => kind === "Deployment")?.spec);
    expect(deployment).toContain(`"secretName":"${certificate("hygeia-serving-cert")?.secretName}"`);
    expect(deployment).not.toContain(`"secretName":"${certificate("hygeia-webhook-root")?.secretName}"`);
  });
});

describe("kubectl apply -k config/default-policy", () => {
  test("is taken by the API server, asks for the policies, and has nothing of the webhook", async () => {
    const applied = await cluster.kubectl("apply", "-k", "config/default-policy", "--dry-run=server");
    expect(applied).toMatchObject({ code: 0, stderr: "" });
    const built = await build("config/default-policy");
    const names = new Set(built.map(({ metadata }) => metadata.name));
    expect(names).not.toContain("hygeia-webhook-ca-role");
    expect(names).not.toContain("hygeia-webhook-service");
    expect(built.map(({ kind }) => kind)).not.toContain("MutatingWebhookConfiguration");
    expect(names).toContain("hygeia-admission-policy-rolebinding");
    expect(names).toContain("hygeia-admission-check-rolebinding");
    const args = JSON.stringify(built.find(({ kind }) => kind === "Deployment")?.spec);
    expect(args).toContain("--admission=policy");
    expect(args).not.toContain("--admission=auto");
  });

  test("config/admission-check gives a config/default the right to warn", async () => {
    const applied = await cluster.kubectl("apply", "-k", "config/admission-check", "--dry-run=server");
    expect(applied).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("the webhook", () => {
  interface Configuration extends Manifest {
    readonly webhooks: readonly {
      readonly clientConfig: { readonly service: { readonly name: string; readonly namespace: string } };
      readonly namespaceSelector: { readonly matchExpressions: readonly { readonly values: readonly string[] }[] };
    }[];
  }

  test("is called at the Service that leads to the operator, and never for the operator's own pods", async () => {
    const built = await build("config/default");
    const configuration = built.find(({ kind }) => kind === "MutatingWebhookConfiguration") as Configuration;
    const [webhook] = configuration.webhooks;
    const service = built.find(
      ({ kind, metadata }) => kind === "Service" && metadata.name === "hygeia-webhook-service",
    );
    expect(webhook).toMatchObject({
      clientConfig: { service: { name: "hygeia-webhook-service", namespace: service?.metadata.namespace } },
      failurePolicy: "Ignore",
      timeoutSeconds: 2,
      sideEffects: "None",
      matchPolicy: "Equivalent",
      reinvocationPolicy: "IfNeeded",
      rules: [
        { operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"], scope: "Namespaced" },
      ],
    });
    expect(webhook?.clientConfig).not.toHaveProperty("caBundle");
    const namespace = built.find(({ kind }) => kind === "Namespace")?.metadata.name;
    expect(webhook?.namespaceSelector.matchExpressions[0]?.values).toEqual([
      "kube-system",
      "kube-node-lease",
      namespace,
    ]);
  });
});

describe("the network policy", () => {
  interface NetworkPolicy extends Manifest {
    readonly spec: {
      readonly egress: readonly {
        readonly to?: unknown;
        readonly ports: readonly { readonly protocol: string; readonly port: number }[];
      }[];
    };
  }
  interface Registry extends Manifest {
    readonly spec: { readonly endpoints: readonly string[]; readonly consul?: { readonly agentPort?: number } };
  }

  test("lets the operator reach every endpoint and every agent of the samples", async () => {
    const policy = (await build("config/default")).find(({ kind }) => kind === "NetworkPolicy") as NetworkPolicy;
    const open = policy.spec.egress
      .filter(({ to }) => to === undefined)
      .flatMap(({ ports }) => ports.map(({ protocol, port }) => `${protocol} ${port}`));
    const registries = (await build("config/samples")).filter(({ kind }) => kind === "Registry") as Registry[];
    const needed = registries.flatMap(({ spec: { endpoints, consul } }) => [
      ...endpoints.map((endpoint) => Number(new URL(endpoint).port)),
      ...(consul?.agentPort === undefined ? [] : [consul.agentPort]),
    ]);
    expect(new Set(needed)).toEqual(new Set([2379, 8501, 8848]));
    expect(open).toEqual(expect.arrayContaining(needed.map((port) => `TCP ${port}`)));
  });
});

describe("what the operator may do", () => {
  interface Access {
    readonly verb: string;
    readonly resource: string;
    readonly group?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  }

  async function may(access: Access, user = OPERATOR, groups: readonly string[] = []): Promise<boolean> {
    const answer = await cluster.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      spec: { user, groups, resourceAttributes: access },
    });
    return answer.body.status?.["allowed"] === true;
  }

  const own = { namespace: "hygeia-system" };
  const hygeia = { group: "hygeia.dev" };
  const lease = { group: "coordination.k8s.io", resource: "leases" };
  const hooks = {
    group: "admissionregistration.k8s.io",
    resource: "mutatingwebhookconfigurations",
    name: "hygeia-mutating-webhook-configuration",
  };
  const allowed: Record<string, Access> = {
    "see every pod": { verb: "watch", resource: "pods" },
    "know the cluster's name servers": { verb: "watch", resource: "services", namespace: "kube-system" },
    "know the cluster's identity": { verb: "get", resource: "namespaces", name: "kube-system" },
    "read its policies": { verb: "list", resource: "registrationpolicies", ...hygeia },
    "write a policy's status": { verb: "patch", resource: "registrationpolicies", subresource: "status", ...hygeia },
    "make a report": { verb: "create", resource: "registrationreports", ...hygeia },
    "write an Event about any pod": { verb: "create", resource: "events", group: "events.k8s.io", namespace: "shop" },
    "make its Lease": { verb: "create", ...lease, ...own },
    "renew its Lease": { verb: "update", ...lease, ...own, name: "hygeia-controller-manager" },
    "see its webhook's configuration": { verb: "watch", ...hooks },
    "see who could refuse pods": { ...hooks, verb: "list", resource: "validatingwebhookconfigurations", name: "" },
    "write its webhook's caBundle": { verb: "patch", ...hooks },
    "make the Secret of its webhook's authority": { verb: "create", resource: "secrets", ...own },
    "renew its webhook's authority": { verb: "update", resource: "secrets", ...own, name: "hygeia-webhook-ca" },
    "read a Secret that a Registry names": { verb: "get", resource: "secrets", ...own, name: "etcd-client" },
  };
  test.each(Object.entries(allowed))("it may %s", async (_, access) => {
    expect(await may(access)).toBe(true);
  });

  const forbidden: Record<string, Access> = {
    "delete a pod": { verb: "delete", resource: "pods", namespace: "shop" },
    "change a pod": { verb: "patch", resource: "pods", namespace: "shop" },
    "change a pod's status": { verb: "patch", resource: "pods", subresource: "status", namespace: "shop" },
    "evict a pod": { verb: "create", resource: "pods", subresource: "eviction", namespace: "shop" },
    "run a command in a pod": { verb: "create", resource: "pods", subresource: "exec", namespace: "shop" },
    "change a Service": { verb: "patch", resource: "services", namespace: "kube-system" },
    "change a node": { verb: "patch", resource: "nodes" },
    "delete a namespace": { verb: "delete", resource: "namespaces" },
    "list Secrets, even its own": { verb: "list", resource: "secrets", ...own },
    "watch Secrets, even its own": { verb: "watch", resource: "secrets", ...own },
    "read a Secret elsewhere": { verb: "get", resource: "secrets", namespace: "kube-system", name: "x" },
    "make a Secret elsewhere": { verb: "create", resource: "secrets", namespace: "kube-system" },
    "list all webhook configurations": { verb: "list", ...hooks, name: "" },
    "change who could refuse pods": { ...hooks, verb: "patch", resource: "validatingwebhookconfigurations", name: "x" },
    "change a policy that could": { ...hooks, verb: "delete", resource: "validatingadmissionpolicies", name: "x" },
    "change another's webhook": { verb: "patch", ...hooks, name: "another" },
    "make a webhook configuration": { verb: "create", ...hooks },
    "delete its webhook's configuration": { verb: "delete", ...hooks },
    "create a pod": { verb: "create", resource: "pods", namespace: "shop" },
    "change a Secret": { verb: "update", resource: "secrets", ...own, name: "etcd-client" },
    "renew another Lease": { verb: "update", ...lease, ...own, name: "another" },
    "renew a Lease elsewhere": {
      verb: "update",
      ...lease,
      namespace: "kube-system",
      name: "hygeia-controller-manager",
    },
    "delete its Lease": { verb: "delete", ...lease, ...own, name: "hygeia-controller-manager" },
    "change a policy's spec": { verb: "patch", resource: "registrationpolicies", ...hygeia },
    "delete a policy": { verb: "delete", resource: "registrationpolicies", ...hygeia },
    "change a registry's spec": { verb: "update", resource: "registries", ...hygeia },
    "give itself more": { verb: "update", resource: "clusterroles", group: "rbac.authorization.k8s.io" },
    "act as somebody else": { verb: "impersonate", resource: "users" },
  };
  test.each(Object.entries(forbidden))("it may not %s", async (_, access) => {
    expect(await may(access)).toBe(false);
  });

  test("kubectl auth can-i says the same", async () => {
    const ask = (...what: string[]) => cluster.kubectl("auth", "can-i", `--as=${OPERATOR}`, ...what);
    expect((await ask("list", "pods", "--all-namespaces")).stdout.trim()).toBe("yes");
    expect((await ask("delete", "pods", "--all-namespaces")).stdout.trim()).toBe("no");
    expect((await ask("list", "secrets", "-n", "hygeia-system")).stdout.trim()).toBe("no");
  });

  test("docs/permissions.md gives a reason for every verb, and for no other", async () => {
    const manifests = [...(await build("config/default")), ...(await build("config/dry-run"))];
    manifests.push(...(await build("config/admission-policy")), ...(await build("config/admission-check")));
    manifests.push(...(await build("config/rollout")));
    const ours = [
      "hygeia-manager-role",
      "hygeia-webhook-ca-role",
      "hygeia-pod-dry-run-role",
      "hygeia-admission-policy-role",
      "hygeia-admission-check-role",
      "hygeia-rollout-role",
    ];
    const granted = manifests
      .filter(({ kind, metadata }) => /^(Cluster)?Role$/.test(kind) && ours.includes(metadata.name))
      .flatMap(({ kind, rules = [] }) =>
        rules.flatMap((rule) =>
          rule.apiGroups.flatMap((group) =>
            rule.resources.flatMap((resource) =>
              rule.verbs.map((verb) => [kind, group === "" ? "core" : group, resource, verb].join(" ")),
            ),
          ),
        ),
      );
    const page = readFileSync(join(ROOT, "docs/permissions.md"), "utf8");
    const inNamespace = page.indexOf("## The operator, in its own namespace");
    const explained = tableRows("docs/permissions.md")
      .filter((row) => row.length === 4 && row[3] !== "Why" && !/^-+$/.test(row[0] ?? ""))
      .map(([group = "", resource = "", verb = ""]) => {
        const kind = ["leases", "secrets"].includes(resource) ? "Role" : "ClusterRole";
        return [kind, group, resource, verb].join(" ");
      });
    expect(inNamespace).toBeGreaterThan(0);
    expect(explained.toSorted()).toEqual(granted.toSorted());
  });

  test("no rule has a wildcard", async () => {
    const rules = (await build("config/default")).flatMap((manifest) => manifest.rules ?? []);
    expect(rules.length).toBeGreaterThan(0);
    expect(rules.flatMap((rule) => [...rule.apiGroups, ...rule.resources, ...rule.verbs])).not.toContain("*");
  });

  test("people with view, edit and admin get the roles of the kinds", async () => {
    for (const role of ["view", "edit", "admin"]) {
      const args = ["clusterrolebinding", `test-${role}`, `--clusterrole=${role}`, `--user=${role}er`];
      expect((await cluster.kubectl("create", ...args)).code).toBe(0);
    }
    const list = { verb: "list", resource: "registrationpolicies", ...hygeia };
    const update = { verb: "update", resource: "registrationpolicies", ...hygeia };
    const writeReport = { verb: "update", resource: "registrationreports", ...hygeia };
    for (const role of ["view", "edit", "admin"]) {
      await eventually(() => may(list, `${role}er`), Boolean);
      expect(await may(writeReport, `${role}er`)).toBe(false);
    }
    await eventually(() => may(update, "editer"), Boolean);
    await eventually(() => may(update, "adminer"), Boolean);
    expect(await may(update, "viewer")).toBe(false);
  });
});

describe("alerts", () => {
  interface Alert {
    readonly alert: string;
    readonly expr: string;
    readonly annotations: { readonly description: string; readonly runbook_url: string };
  }

  async function alerts(): Promise<Alert[]> {
    const rules = (await build("config/prometheus")).find(({ kind }) => kind === "PrometheusRule");
    const spec = rules?.spec as { groups: { rules: Alert[] }[] };
    return spec.groups.flatMap((group) => group.rules);
  }

  test("each leads to its section of the runbook, and each section with the name of one belongs to one", async () => {
    const found = await alerts();
    for (const { alert, annotations } of found) {
      expect(annotations.runbook_url).toBe(`docs/runbook.md#${alert.toLowerCase()}`);
    }
    const sections = readFileSync(join(ROOT, "docs/runbook.md"), "utf8").matchAll(/^## (Hygeia.*)$/gm);
    expect([...sections].map(([, title]) => title)).toEqual(found.map(({ alert }) => alert));
  });

  test("each looks at metrics that the operator has", async () => {
    const text = await createMetrics({ version: "test" }).render();
    const known = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
    const metricsIn = (expression: string): string[] =>
      [...expression.matchAll(/\b(?:hygeia|leader_election|controller_runtime)_[a-z_]+/g)].map(([name]) => name);
    for (const { expr, annotations } of await alerts()) {
      expect(metricsIn(expr).length).toBeGreaterThan(0);
      expect(metricsIn(`${expr} ${annotations.description}`).filter((name) => !known.has(name))).toEqual([]);
    }
  });
});

describe("kustomize", () => {
  test.each(readdirSync(join(ROOT, "config")))("config/%s builds, and every file of it is used", async (folder) => {
    const built = await build(`config/${folder}`);
    expect(built.length).toBeGreaterThan(0);
    const listed = readFileSync(join(ROOT, "config", folder, "kustomization.yaml"), "utf8");
    const files = readdirSync(join(ROOT, "config", folder)).filter((name) => name !== "kustomization.yaml");
    expect(files.filter((name) => !listed.includes(`- ${name}`) && !listed.includes(`- path: ${name}`))).toEqual([]);
  });

  test("a drain takes one replica at a time, and nodes and zones that fail take one where there are more", async () => {
    const built = await build("config/default");
    const deployment = built.find(({ kind }) => kind === "Deployment") as Manifest & {
      readonly spec: {
        readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
        readonly template: {
          readonly metadata: { readonly labels: Readonly<Record<string, string>> };
          readonly spec: { readonly topologySpreadConstraints: readonly object[] };
        };
      };
    };
    const { selector, template } = deployment.spec;
    expect(template.metadata.labels).toMatchObject(selector.matchLabels);
    expect(built.find(({ kind }) => kind === "PodDisruptionBudget")).toMatchObject({
      metadata: { namespace: deployment.metadata.namespace },
      spec: { maxUnavailable: 1, unhealthyPodEvictionPolicy: "AlwaysAllow", selector },
    });
    const spread = { maxSkew: 1, whenUnsatisfiable: "ScheduleAnyway", labelSelector: selector };
    expect(template.spec.topologySpreadConstraints).toEqual([
      { topologyKey: "kubernetes.io/hostname", ...spread },
      { topologyKey: "topology.kubernetes.io/zone", ...spread },
    ]);
  });

  test("both replicas run with what config/default promises", async () => {
    const deployment = (await build("config/default")).find(({ kind }) => kind === "Deployment");
    expect(deployment?.spec).toMatchObject({
      replicas: 2,
      template: {
        spec: {
          securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: "RuntimeDefault" } },
          containers: [
            {
              image: expect.stringMatching(/^hygeia:/) as string,
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ["ALL"] },
              },
            },
          ],
        },
      },
    });
  });
});
