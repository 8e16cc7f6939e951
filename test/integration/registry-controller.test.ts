/**
 * The Registry objects of an operator that runs as a process: what their status, Events and metrics say of real etcds,
 * and of what is none.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { RegistrySpec } from "../../src/api/v1alpha1/index.ts";
import { createAuthority, type Authority } from "../env/certificates.ts";
import { type ControlPlane, type EtcdServer, startControlPlane, startEtcd } from "../env/index.ts";
import { ClusterFixture } from "../support/cluster-fixture.ts";
import { type Operator, startOperator } from "../support/operator.ts";
import { installOperator, OPERATOR_NAMESPACE } from "../support/operator-install.ts";
import { applyRegistry, getRegistry } from "../support/operator-objects.ts";
import { eventually } from "../support/operator-wait.ts";

const PASSWORD = "root-s3cret";
const WRONG_PASSWORD = "wrong-s3cret";
const DAY = 24 * 60 * 60 * 1000;
const layouts = [{ layout: "GoMicro" }] as const;
/** Secrets are looked at every 10 s, give or take 2 s. */
const SECRETS_WITHIN = 40_000;

let controlPlane: ControlPlane;
let fixture: ClusterFixture;
let operator: Operator;
let authority: Authority;
let plain: EtcdServer;
let secured: EtcdServer;
let mutual: EtcdServer;
let ending: EtcdServer;

beforeAll(async () => {
  authority = await createAuthority("etcd authority");
  [controlPlane, plain, secured, mutual, ending] = await Promise.all([
    startControlPlane(),
    startEtcd(),
    startEtcd({ tls: { authority }, auth: { rootPassword: PASSWORD } }),
    startEtcd({ tls: { authority, clientAuth: true } }),
    startEtcd({ tls: { authority, notAfter: new Date(Date.now() + 60_000) } }),
  ]);
  await installOperator(controlPlane);
  fixture = new ClusterFixture(controlPlane);
  await secret("etcd-ca", { "ca.crt": authority.certificate });
  await secret("etcd-login", { username: "root", password: PASSWORD });
  operator = await startOperator({ cluster: controlPlane });
  await registry("good", plain.endpoints);
  await untilReason("good", "Ready", "Ready");
});

afterAll(async () => {
  const neighbour = await condition("good", "Ready");
  await operator.stop();
  await fixture.close();
  await Promise.all([controlPlane, plain, secured, mutual, ending].map((server) => server.stop()));
  // Whatever the others went through.
  expect(neighbour).toMatchObject({ status: "True", reason: "Ready" });
  expect(JSON.stringify(operator.log.lines)).not.toMatch(/s3cret|BEGIN/);
});

async function registry(name: string, endpoints: readonly string[], spec: Partial<RegistrySpec> = {}): Promise<void> {
  await applyRegistry(fixture.client, name, { endpoints, layouts: [...layouts], spec });
}

async function secret(name: string, stringData: Record<string, string>): Promise<void> {
  const body = { apiVersion: "v1", kind: "Secret", metadata: { name }, stringData };
  const query = { fieldManager: "test", force: true };
  const path = `/api/v1/namespaces/${OPERATOR_NAMESPACE}/secrets/${name}`;
  await fixture.client.patch(path, body, "application/apply-patch+yaml", query);
}

async function condition(name: string, type: string) {
  const { status } = await getRegistry(fixture.client, name);
  return status?.conditions?.find((candidate) => candidate.type === type);
}

/** The condition, once it has this reason. */
async function untilReason(name: string, type: string, reason: string, within?: number) {
  let last: unknown;
  return await eventually(
    `registry ${name} has ${type} with reason ${reason}`,
    async () => {
      const found = await condition(name, type);
      last = found;
      return found?.reason === reason ? found : undefined;
    },
    within,
  ).catch((error: unknown) => {
    throw new Error(`last seen: ${JSON.stringify(last)}\n${operator.tail()}`, { cause: error });
  });
}

async function untilEvent(name: string, reason: string): Promise<string> {
  interface Event {
    readonly reason: string;
    readonly note: string;
    readonly regarding: { readonly kind: string; readonly name: string };
  }
  return await eventually(`an Event ${reason} on registry ${name}`, async () => {
    const events = await fixture.client.list<Event>("/apis/events.k8s.io/v1/namespaces/default/events");
    return events.find(
      ({ regarding, reason: said }) => regarding.kind === "Registry" && regarding.name === name && said === reason,
    )?.note;
  });
}

/** The reasons that /metrics gives for a registry's trouble. */
async function problemsOf(name: string): Promise<string[]> {
  const reading = await operator.metrics();
  return reading
    .samples("hygeia_registry_problem", { registry: name })
    .map(({ labels, value }) => `${labels["reason"] ?? ""} ${value}`);
}

async function untilProblems(name: string, ...reasons: readonly string[]): Promise<void> {
  let last: readonly string[] = [];
  await eventually(`the problems of registry ${name} are [${reasons.join()}]`, async () => {
    last = await problemsOf(name);
    return last.join() === reasons.map((reason) => `${reason} 1`).join();
  }).catch((error: unknown) => {
    throw new Error(`last seen: ${last.join()}`, { cause: error });
  });
}

/** Condition Reachable, an Event and the metric name the same cause. @returns what the condition and the Event say */
async function untilTrouble(name: string, reason: string, within?: number) {
  const { message } = await untilReason(name, "Reachable", reason, within);
  await untilProblems(name, reason);
  const note = await untilEvent(name, `Registry${reason}`);
  return { message, note };
}

/** It is ready, and no metric tells of trouble any more. */
async function untilWell(name: string, within?: number): Promise<void> {
  await untilReason(name, "Ready", "Ready", within);
  await untilProblems(name);
}

const caSecretRef = { name: "etcd-ca", key: "ca.crt" };

describe("a registry that works", () => {
  test("says what it is, and shows it to kubectl", async () => {
    const { status } = await getRegistry(fixture.client, "good");
    expect(status).toMatchObject({
      observedGeneration: 1,
      mode: "Normal",
      serverVersion: "3.6.8",
      clusterId: expect.stringMatching(/^[0-9a-f]+$/) as string,
      instances: 0,
      ignoredEntries: 0,
      viewAge: expect.stringMatching(/^(?:5|15)s$/) as string,
    });
    expect(status).not.toHaveProperty("certificateExpiry");
    expect(status?.conditions?.map(({ type, status: state, reason }) => `${type} ${state} ${reason}`)).toEqual([
      "Ready True Ready",
      "Reachable True Answering",
      "Synced True Current",
      "TLSHealthy True NotUsed",
    ]);
    const [header, line] = (await fixture.kubectl("get", "reg", "good", "-o", "wide")).split("\n");
    expect(header?.split(/\s{2,}/)).toEqual([
      "NAME",
      "TYPE",
      "MODE",
      "READY",
      "INSTANCES",
      "REASON",
      "VERSION",
      "ENDPOINTS",
      "VIEW-AGE",
      "CERT-EXPIRY",
      "AGE",
    ]);
    expect(line).toMatch(/^good +Etcd +Normal +True +0 +Ready +3\.6\.8 +\["http:\/\/127\.0\.0\.1:\d+"\] +\d+s +\S+$/);
  });

  test("counts its instances and what is none", async () => {
    const value = JSON.stringify({
      name: "shop",
      version: "1",
      metadata: null,
      endpoints: null,
      nodes: [{ id: "shop-1", address: "10.1.2.3:80", metadata: null }],
    });
    await plain.ctl("put", "/micro/registry/shop/shop-1", value);
    await plain.ctl("put", "/micro/registry/shop/garbage", "garbage");
    await eventually("both are counted", async () => {
      const { status } = await getRegistry(fixture.client, "good");
      return status?.instances === 1 && status.ignoredEntries === 1;
    });
    const metrics = await operator.metrics();
    expect(metrics.sum("hygeia_registry_instances", { registry: "good" })).toBe(1);
    expect(metrics.sum("hygeia_registry_ignored_entries", { registry: "good" })).toBe(1);
    expect(metrics.sum("hygeia_registry_fresh", { registry: "good" })).toBe(1);
    expect(metrics.sum("hygeia_registry_mode", { registry: "good", mode: "Normal" })).toBe(1);
    expect(metrics.sum("hygeia_registry_view_age_seconds", { registry: "good" })).toBeLessThan(15);
  });

  test("shows certificates with a password and TLS, and their expiry", async () => {
    await registry("secured", secured.endpoints, {
      tls: { caSecretRef },
      credentials: { secretRef: { name: "etcd-login" } },
    });
    await untilReason("secured", "Ready", "Ready");
    await untilReason("secured", "TLSHealthy", "Valid");
    const { status } = await getRegistry(fixture.client, "secured");
    const expiry = new Date(status?.certificateExpiry ?? "").getTime();
    expect(expiry).toBeGreaterThan(Date.now());
    expect(expiry).toBeLessThan(Date.now() + 2 * DAY);
  });
});

describe.concurrent("a registry that can not be used names the cause", () => {
  test("when nobody listens, and recovers when the address is corrected", async () => {
    await registry("unreachable", ["http://127.0.0.1:1"]);
    const { message, note } = await untilTrouble("unreachable", "Unreachable");
    expect(message).toMatch(/http:\/\/127\.0\.0\.1:1.*ECONNREFUSED/);
    expect((await condition("unreachable", "Ready"))?.reason).toBe("NotReachable");
    expect(note).toContain("ECONNREFUSED");
    // Admission must go on: a replica is ready whatever its registries are.
    expect(await operator.readiness()).toMatchObject({ ready: true });
    expect(await problemsOf("unreachable")).toEqual(["Unreachable 1"]);
    await registry("unreachable", plain.endpoints);
    await untilWell("unreachable");
    await untilEvent("unreachable", "RegistryReachable");
  });

  test("when the password is wrong, and recovers when the Secret is corrected", async () => {
    await secret("wrong-login", { username: "root", password: WRONG_PASSWORD });
    await registry("login", secured.endpoints, {
      tls: { caSecretRef },
      credentials: { secretRef: { name: "wrong-login" } },
    });
    const { message, note } = await untilTrouble("login", "Unauthenticated");
    expect(message).toContain("user name or password is wrong");
    expect(note).toContain("user name or password is wrong");
    await secret("wrong-login", { username: "root", password: PASSWORD });
    await untilWell("login", SECRETS_WITHIN);
  });

  test("when the authority is a stranger, and recovers when the Secret is corrected", async () => {
    await secret("wrong-ca", { "ca.crt": (await createAuthority("stranger")).certificate });
    await registry("authority", secured.endpoints, {
      tls: { caSecretRef: { name: "wrong-ca", key: "ca.crt" } },
      credentials: { secretRef: { name: "etcd-login" } },
    });
    await untilTrouble("authority", "TLSFailed");
    const { message } = await untilReason("authority", "TLSHealthy", "NotTrusted");
    expect(message).toContain(`the certificate of ${secured.endpoints[0] ?? ""}`);
    expect(message).toContain("spec.tls.caSecretRef");
    await untilEvent("authority", "TLSFailed");
    await secret("wrong-ca", { "ca.crt": authority.certificate });
    await untilWell("authority", SECRETS_WITHIN);
    await untilReason("authority", "TLSHealthy", "Valid");
  });

  test("when the certificate is for another name", async () => {
    await registry("name", secured.endpoints, { tls: { caSecretRef, serverName: "etcd.example" } });
    await untilTrouble("name", "TLSFailed");
    const { message } = await untilReason("name", "TLSHealthy", "WrongName");
    expect(message).toContain('is not for "etcd.example": correct spec.tls.serverName');
    expect(await untilEvent("name", "TLSFailed")).toBe(`WrongName: ${message}`);
  });

  test("when a client certificate is asked for and missing, and works with one", async () => {
    await registry("mutual", mutual.endpoints, { tls: { caSecretRef } });
    await untilTrouble("mutual", "TLSFailed");
    const rejected = await untilReason("mutual", "TLSHealthy", "ClientRejected");
    expect(await untilEvent("mutual", "TLSFailed")).toBe(`ClientRejected: ${rejected.message}`);
    const { certificate, key } = await authority.issue({ commonName: "hygeia" });
    await secret("etcd-client", { "tls.crt": certificate, "tls.key": key });
    await registry("mutual", mutual.endpoints, {
      tls: { caSecretRef, clientCertificateSecretRef: { name: "etcd-client" } },
    });
    await untilWell("mutual");
    await untilReason("mutual", "TLSHealthy", "Valid");
  });

  test("when a certificate is about to expire, while everything still works", async () => {
    await registry("ending", ending.endpoints, { tls: { caSecretRef } });
    const { message } = await untilReason("ending", "TLSHealthy", "ExpiresSoon");
    expect(message).toContain(`the certificate of ${ending.endpoints[0] ?? ""}`);
    expect(await untilEvent("ending", "CertificateExpiring")).toBe(message);
    expect((await condition("ending", "Reachable"))?.status).toBe("True");
    expect(await problemsOf("ending")).toEqual([]);
  });

  test("when a Secret or a key in it is missing, and recovers when it is there", async () => {
    await registry("secretless", secured.endpoints, {
      tls: { caSecretRef },
      credentials: { secretRef: { name: "late-login" } },
    });
    const absent = await untilTrouble("secretless", "SecretNotFound");
    expect(absent.message).toMatch(/^spec\.credentials\.secretRef: there is no Secret "late-login"/);
    expect(absent.note).toBe(absent.message);
    await secret("late-login", { username: "root" });
    const keyless = await untilTrouble("secretless", "SecretKeyMissing", SECRETS_WITHIN);
    expect(keyless.message).toBe('spec.credentials.secretRef: Secret "late-login" has no key "password"');
    expect(keyless.note).toBe(keyless.message);
    await secret("late-login", { username: "root", password: PASSWORD });
    await untilWell("secretless", SECRETS_WITHIN);
    await fixture.client.delete(`/api/v1/namespaces/${OPERATOR_NAMESPACE}/secrets/late-login`);
    const outdated = await untilReason("secretless", "Ready", "CredentialsOutdated", SECRETS_WITHIN);
    expect(outdated.status).toBe("True");
    await untilEvent("secretless", "RegistryCredentialsOutdated");
    expect(await problemsOf("secretless")).toEqual([]);
  });

  test("when a Secret holds something that can not be used, and recovers when it is corrected", async () => {
    await secret("garbled-ca", { "ca.crt": "no certificate" });
    await registry("garbled", secured.endpoints, {
      tls: { caSecretRef: { name: "garbled-ca", key: "ca.crt" } },
      credentials: { secretRef: { name: "etcd-login" } },
    });
    const { message, note } = await untilTrouble("garbled", "SecretInvalid");
    expect(message).toBe('spec.tls.caSecretRef: the value under "ca.crt" in Secret "garbled-ca" is no PEM certificate');
    expect(note).toBe(message);
    await secret("garbled-ca", { "ca.crt": authority.certificate });
    await untilWell("garbled", SECRETS_WITHIN);
  });

  test("when a Secret is one that no Registry may have read", async () => {
    await registry("nosy", plain.endpoints, { credentials: { secretRef: { name: "hygeia-webhook-ca" } } });
    const { message, note } = await untilTrouble("nosy", "SecretUnreadable");
    expect(message).toBe('spec.credentials.secretRef: Secret "hygeia-webhook-ca" could not be read (Reserved)');
    expect(note).toBe(message);
  });

  test("when what answers is no etcd, and leaves the others alone", async () => {
    const page = createServer((_, response) => void response.end("It works!"));
    await new Promise<void>((resolve) => page.listen(0, "127.0.0.1", resolve));
    try {
      const endpoint = `http://127.0.0.1:${(page.address() as AddressInfo).port}`;
      const before = await condition("good", "Ready");
      await registry("stranger", [endpoint]);
      const { message, note } = await untilTrouble("stranger", "NotUnderstood");
      expect(message).toMatch(new RegExp(`${endpoint}.*speaks no gRPC`));
      expect(note).toBe(message);
      expect(await condition("good", "Ready")).toEqual(before);
      expect(await problemsOf("good")).toEqual([]);
      expect((await operator.metrics()).sum("hygeia_registry_fresh", { registry: "good" })).toBe(1);
      await registry("stranger", plain.endpoints);
      await untilWell("stranger");
    } finally {
      page.closeAllConnections();
      await new Promise((resolve) => page.close(resolve));
    }
  });

  test("when the server freezes, and recovers when it goes on", async () => {
    const frozen = await startEtcd();
    try {
      await registry("frozen", frozen.endpoints, { requestTimeout: "1s" });
      await untilReason("frozen", "Ready", "Ready");
      frozen.members[0]?.pause();
      const { message } = await untilTrouble("frozen", "TimedOut", 60_000);
      expect(message).toContain(frozen.endpoints[0]);
      expect((await condition("frozen", "Ready"))?.status).toBe("False");
      frozen.members[0]?.resume();
      await untilWell("frozen", 60_000);
    } finally {
      await fixture.client.delete("/apis/hygeia.dev/v1alpha1/registries/frozen");
      await frozen.stop();
    }
  });

  test("when its data is another by now: the view is reset, and an Event says so", async () => {
    const wiped = await startEtcd();
    try {
      await registry("wiped", wiped.endpoints);
      await untilReason("wiped", "Ready", "Ready");
      await wiped.wipe();
      expect(await untilEvent("wiped", "RegistryViewReset")).toMatch(/It is read anew\.$/);
      await untilWell("wiped", 60_000);
    } finally {
      await fixture.client.delete("/apis/hygeia.dev/v1alpha1/registries/wiped");
      await wiped.stop();
    }
  });
});

test("a registry that is deleted stops being watched, and its metrics go", async () => {
  await registry("leaving", plain.endpoints);
  await untilReason("leaving", "Ready", "Ready");
  const shown = async (): Promise<boolean> =>
    (await operator.metrics()).has("hygeia_registry_fresh", { registry: "leaving" });
  expect(await shown()).toBe(true);
  await fixture.client.delete("/apis/hygeia.dev/v1alpha1/registries/leaving");
  await eventually("its metrics are gone", async () => !(await shown()));
});

test("a registry of a type that only the API server knows is not understood, and says which field it is", async () => {
  const crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/registries.hygeia.dev";
  const type = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/type/enum/-";
  await fixture.client.patch(crd, [{ op: "add", path: type, value: "Zookeeper" }], "application/json-patch+json");
  const spec = { type: "Zookeeper", endpoints: plain.endpoints };
  const body = { apiVersion: "hygeia.dev/v1alpha1", kind: "Registry", metadata: { name: "later" }, spec };
  await eventually("the API server takes it", async () => {
    return await fixture.client.create("/apis/hygeia.dev/v1alpha1/registries", body);
  });
  const { message, note } = await untilTrouble("later", "InvalidSpec");
  expect(message).toBe("spec.type: must be one of Consul, Etcd, Nacos");
  expect(note).toBe(message);
  expect((await condition("later", "Ready"))?.reason).toBe("InvalidSpec");
});
