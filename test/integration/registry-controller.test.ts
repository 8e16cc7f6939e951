/** The Registry objects of an operator that runs as a process: what their status says of real etcds. */
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
    const { message } = await untilReason("unreachable", "Reachable", "Unreachable");
    expect(message).toMatch(/http:\/\/127\.0\.0\.1:1.*ECONNREFUSED/);
    expect((await condition("unreachable", "Ready"))?.reason).toBe("NotReachable");
    expect(await untilEvent("unreachable", "RegistryUnreachable")).toContain("ECONNREFUSED");
    await registry("unreachable", plain.endpoints);
    await untilReason("unreachable", "Ready", "Ready");
    await untilEvent("unreachable", "RegistryReachable");
  });

  test("when the password is wrong, and recovers when the Secret is corrected", async () => {
    await secret("wrong-login", { username: "root", password: WRONG_PASSWORD });
    await registry("login", secured.endpoints, {
      tls: { caSecretRef },
      credentials: { secretRef: { name: "wrong-login" } },
    });
    const { message } = await untilReason("login", "Reachable", "Unauthenticated");
    expect(message).toContain("user name or password is wrong");
    await untilEvent("login", "RegistryUnauthenticated");
    await secret("wrong-login", { username: "root", password: PASSWORD });
    await untilReason("login", "Ready", "Ready", SECRETS_WITHIN);
  });

  test("when the authority is a stranger, and recovers when the Secret is corrected", async () => {
    await secret("wrong-ca", { "ca.crt": (await createAuthority("stranger")).certificate });
    await registry("authority", secured.endpoints, {
      tls: { caSecretRef: { name: "wrong-ca", key: "ca.crt" } },
      credentials: { secretRef: { name: "etcd-login" } },
    });
    await untilReason("authority", "Reachable", "TLSFailed");
    const { message } = await untilReason("authority", "TLSHealthy", "NotTrusted");
    expect(message).toContain(`the certificate of ${secured.endpoints[0] ?? ""}`);
    expect(message).toContain("spec.tls.caSecretRef");
    await untilEvent("authority", "TLSFailed");
    await secret("wrong-ca", { "ca.crt": authority.certificate });
    await untilReason("authority", "Ready", "Ready", SECRETS_WITHIN);
    await untilReason("authority", "TLSHealthy", "Valid");
  });

  test("when the certificate is for another name", async () => {
    await registry("name", secured.endpoints, { tls: { caSecretRef, serverName: "etcd.example" } });
    await untilReason("name", "Reachable", "TLSFailed");
    const { message } = await untilReason("name", "TLSHealthy", "WrongName");
    expect(message).toContain('is not for "etcd.example": correct spec.tls.serverName');
  });

  test("when a client certificate is asked for and missing, and works with one", async () => {
    await registry("mutual", mutual.endpoints, { tls: { caSecretRef } });
    await untilReason("mutual", "Reachable", "TLSFailed");
    await untilReason("mutual", "TLSHealthy", "ClientRejected");
    const { certificate, key } = await authority.issue({ commonName: "hygeia" });
    await secret("etcd-client", { "tls.crt": certificate, "tls.key": key });
    await registry("mutual", mutual.endpoints, {
      tls: { caSecretRef, clientCertificateSecretRef: { name: "etcd-client" } },
    });
    await untilReason("mutual", "Ready", "Ready");
    await untilReason("mutual", "TLSHealthy", "Valid");
  });

  test("when a certificate is about to expire, while everything still works", async () => {
    await registry("ending", ending.endpoints, { tls: { caSecretRef } });
    const { message } = await untilReason("ending", "TLSHealthy", "ExpiresSoon");
    expect(message).toContain(`the certificate of ${ending.endpoints[0] ?? ""}`);
    expect(await untilEvent("ending", "CertificateExpiring")).toBe(message);
    expect((await condition("ending", "Reachable"))?.status).toBe("True");
  });

  test("when a Secret or a key in it is missing, and recovers when it is there", async () => {
    await registry("secretless", secured.endpoints, {
      tls: { caSecretRef },
      credentials: { secretRef: { name: "late-login" } },
    });
    const absent = await untilReason("secretless", "Reachable", "SecretNotFound");
    expect(absent.message).toMatch(/^spec\.credentials\.secretRef: there is no Secret "late-login"/);
    await untilEvent("secretless", "RegistrySecretNotFound");
    await secret("late-login", { username: "root" });
    const keyless = await untilReason("secretless", "Reachable", "SecretKeyMissing", SECRETS_WITHIN);
    expect(keyless.message).toBe('spec.credentials.secretRef: Secret "late-login" has no key "password"');
    await secret("late-login", { username: "root", password: PASSWORD });
    await untilReason("secretless", "Ready", "Ready", SECRETS_WITHIN);
    await fixture.client.delete(`/api/v1/namespaces/${OPERATOR_NAMESPACE}/secrets/late-login`);
    const outdated = await untilReason("secretless", "Ready", "CredentialsOutdated", SECRETS_WITHIN);
    expect(outdated.status).toBe("True");
  });

  test("when the server freezes, and recovers when it goes on", async () => {
    const frozen = await startEtcd();
    try {
      await registry("frozen", frozen.endpoints, { requestTimeout: "1s" });
      await untilReason("frozen", "Ready", "Ready");
      frozen.members[0]?.pause();
      await eventually("it is not ready", async () => (await condition("frozen", "Ready"))?.status === "False", 60_000);
      frozen.members[0]?.resume();
      await untilReason("frozen", "Ready", "Ready", 60_000);
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
      await untilReason("wiped", "Ready", "Ready", 60_000);
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
