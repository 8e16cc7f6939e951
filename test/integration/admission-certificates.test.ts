import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";

import { createAuthority, issueLeaf } from "../../src/admission/certificates/authority.ts";
import { certificatesIn, type KeyPair } from "../../src/admission/certificates/key-pair.ts";
import { lifetimesOf } from "../../src/admission/certificates/rotation.ts";
import { handshakeProblem } from "../../src/admission/handshake.ts";
import { systemClock } from "../../src/clock/system.ts";
import type { KubeObject } from "../support/kube-client.ts";
import { eventually } from "../support/operator-wait.ts";
import { type Configuration, CONFIGURATION, isMutated, SECRET, WebhookStage } from "../support/webhook-stage.ts";

const SERVER_NAME = "hygeia-webhook-service.hygeia-system.svc";

interface Secret extends KubeObject {
  readonly data: Readonly<Record<string, string>>;
}

let stage: WebhookStage;

beforeAll(async () => {
  stage = await WebhookStage.start();
  await stage.createNamespace("shop");
});

afterAll(async () => {
  await stage.stop();
});

beforeEach(() => stage.configure());
afterEach(() => stage.clear());

/** The authorities that the API server trusts. */
async function trusted(): Promise<string[]> {
  return certificatesIn(await stage.bundle());
}

async function authorityInSecret(): Promise<string> {
  const { data } = await stage.client.get<Secret>(SECRET);
  return Buffer.from(data["ca.crt"] ?? "", "base64").toString();
}

describe("certificates of our own", () => {
  test("replicas that start at the same time agree on one authority, and serve a leaf each", async () => {
    const replicas = await Promise.all([1, 2, 3, 4].map(() => stage.startReplica()));
    await Promise.all(replicas.map((replica) => replica.untilReady()));
    await stage.untilMutating("shop");
    const authority = await authorityInSecret();
    expect(await trusted()).toEqual([authority]);
    const leaves = await Promise.all(replicas.map((replica) => replica.leaf()));
    for (const leaf of leaves) expect(leaf.checkIssued(new X509Certificate(authority))).toBe(true);
    expect(new Set(leaves.map(({ fingerprint256 }) => fingerprint256)).size).toBe(4);
  });

  test("a replica that starts later finds the authority, and changes nothing", async () => {
    const first = await stage.startReplica();
    await first.untilReady();
    const before = await stage.client.get(SECRET);
    const configured = await stage.client.get(CONFIGURATION);
    const second = await stage.startReplica();
    await second.untilReady();
    expect((await stage.client.get(SECRET)).metadata.resourceVersion).toBe(before.metadata.resourceVersion);
    expect((await stage.client.get(CONFIGURATION)).metadata.resourceVersion).toBe(configured.metadata.resourceVersion);
  });

  test("a bundle that is taken out is back, however often, without a hurry that would harm", async () => {
    const replica = await stage.startReplica();
    await replica.untilReady();
    await stage.untilMutating("shop");
    for (let i = 0; i < 3; i++) {
      const path = "/webhooks/0/clientConfig/caBundle";
      await stage.client.patch(CONFIGURATION, [{ op: "remove", path }], "application/json-patch+json");
      await eventually("the bundle is back", async () => (await trusted()).length === 1, 10_000);
    }
    await stage.untilMutating("shop");
    expect((await replica.reading()).sum("hygeia_webhook_ca_bundle_writes_total", { result: "Written" })).toBe(4);
  });

  test("another's bundle is replaced by ours", async () => {
    const replica = await stage.startReplica();
    await replica.untilReady();
    const foreign = await createAuthority({ notBefore: new Date(), notAfter: new Date(Date.now() + 86_400_000) });
    const caBundle = Buffer.from(foreign.certificate).toString("base64");
    const patch = [{ op: "replace", path: "/webhooks/0/clientConfig/caBundle", value: caBundle }];
    await stage.client.patch(CONFIGURATION, patch, "application/json-patch+json");
    const authority = await authorityInSecret();
    await eventually("the bundle is ours", async () => (await trusted()).join() === authority);
    await stage.untilMutating("shop");
  });

  test("a bundle that cert-manager is told to keep is left to it", async () => {
    const annotations = { "cert-manager.io/inject-ca-from": "x/y" };
    await stage.client.patch(CONFIGURATION, { metadata: { annotations } });
    const replica = await stage.startReplica();
    await eventually(
      "it has looked",
      async () => (await replica.reading()).sum("hygeia_webhook_certificates_total", { certificate: "Authority" }) > 0,
    );
    await eventually(
      "it has read its own Secret again",
      async () => (await replica.reading()).sum("rest_client_requests_total", { method: "GET" }) > 4,
    );
    expect(await stage.bundle()).toBe("");
    expect(replica.webhook.ready()).not.toEqual([{ name: "webhook", problem: undefined }]);
  });

  const losses: Record<string, () => Promise<unknown>> = {
    deleted: () => stage.client.delete(SECRET),
    "overwritten with garbage": () =>
      stage.client.patch(SECRET, { data: { "ca.crt": "Z2FyYmFnZQ==", "ca.key": "Z2FyYmFnZQ==" } }),
  };
  test.each(Object.entries(losses))(
    "a Secret that was %s is made anew, and no pod is missed meanwhile",
    async (_, lose) => {
      // Leaves of a minute: a new authority signs five seconds after it was published.
      const settings = { lifetimes: lifetimesOf(600_000, 60_000) };
      const replicas = await Promise.all([stage.startReplica({ settings }), stage.startReplica({ settings })]);
      await Promise.all(replicas.map((replica) => replica.untilReady()));
      await stage.untilMutating("shop");
      const old = await authorityInSecret();
      const creating = stage.createContinuously("shop");
      await lose();
      const made = await eventually("another authority is there", async () => {
        const found = await authorityInSecret();
        return found !== old && certificatesIn(found).length === 1 && found;
      });
      await eventually("both are trusted", async () => (await trusted()).join() === [made, old].join());
      for (const replica of replicas) {
        await eventually("the replica serves under the new one", () => replica.isIssuedBy(made));
        expect(await trusted()).toContain(old);
      }
      expect(await creating.stop()).toMatchObject({ unchanged: 0 });
    },
  );

  test("authorities follow one another while pods are created: none refused, none unchanged", async () => {
    // Leaves of 8 s, authorities of 32: a successor comes every 20 s or so, and signs two seconds later.
    const settings = { lifetimes: { ...lifetimesOf(32_000, 8_000), propagationMs: 2_000 }, lookEveryMs: 250 };
    const replicas = await Promise.all([stage.startReplica({ settings }), stage.startReplica({ settings })]);
    await Promise.all(replicas.map((replica) => replica.untilReady()));
    await stage.untilMutating("shop");
    const creating = stage.createContinuously("shop");
    const authorities = new Set<string>();
    const problems: string[] = [];
    await eventually(
      "the third authority signs",
      async () => {
        authorities.add(await authorityInSecret());
        for (const { webhook } of replicas) {
          // What a new connection of the API server would find.
          const bundle = await stage.bundle();
          const { signal } = new AbortController();
          const to = { host: "127.0.0.1", port: webhook.port ?? 0, serverName: SERVER_NAME };
          const problem = await handshakeProblem({ ...to, trusted: bundle, clock: systemClock, signal });
          if (problem !== undefined) problems.push(problem);
        }
        await delay(100);
        return authorities.size >= 3;
      },
      120_000,
    );
    const { created, unchanged } = await creating.stop();
    expect(problems).toEqual([]);
    expect(created).toBeGreaterThan(100);
    expect(unchanged).toBe(0);
    for (const replica of replicas) {
      const reading = await replica.reading();
      expect(reading.sum("hygeia_admission_requests_total", { result: "Patched" })).toBeGreaterThan(0);
      expect(reading.sum("hygeia_webhook_certificates_total", { certificate: "Leaf" })).toBeGreaterThan(4);
      expect(reading.sum("hygeia_webhook_checks_total", { result: "Failed" })).toBe(0);
      expect(reading.sum("rest_client_requests_total", { code: "403" })).toBe(0);
    }
    expect((await trusted()).length).toBeLessThanOrEqual(4);
  });

  test("a leaf is replaced when two thirds of its life are over, or up to a tenth of it before", async () => {
    let offset = 0;
    const clock = { ...systemClock, wall: () => new Date(Date.now() + offset) };
    const weekMs = 7 * 86_400_000;
    const replica = await stage.startReplica({ clock, settings: { lifetimes: lifetimesOf(52 * weekMs, weekMs) } });
    await replica.untilReady();
    const { fingerprint256: first } = await replica.leaf();
    const looks = async () => (await replica.reading()).sum("rest_client_requests_total", { method: "GET" });
    offset = weekMs * (2 / 3 - 0.1) - 60_000;
    const before = await looks();
    await eventually("it has looked some more times", async () => (await looks()) > before + 3);
    expect((await replica.leaf()).fingerprint256).toBe(first);
    offset = weekMs * (2 / 3) + 60_000;
    await eventually("it serves another", async () => (await replica.leaf()).fingerprint256 !== first);
  });

  test("an expired certificate costs no pod, is told, and is replaced as soon as its replica's clock is right", async () => {
    let offset = -7_200_000;
    const clock = { ...systemClock, wall: () => new Date(Date.now() + offset) };
    const settings = { lifetimes: lifetimesOf(14_400_000, 3_600_000) };
    const replica = await stage.startReplica({ clock, settings });
    await replica.untilReady();
    expect((await replica.leaf()).validToDate.getTime()).toBeLessThan(Date.now());
    await eventually("the API server has refused it", async () => {
      expect(isMutated(await stage.createPod("shop"))).toBe(false);
      return (await replica.reading()).sum("hygeia_webhook_tls_errors_total", { reason: "CertificateRefused" }) > 0;
    });
    expect((await replica.reading()).sum("hygeia_webhook_trusted")).toBe(0);
    offset = 0;
    expect(replica.webhook.ready()).toEqual([
      { name: "webhook", problem: expect.stringContaining("expired") as string },
    ]);
    await stage.untilMutating("shop");
    await replica.untilReady();
    await eventually("it is trusted", async () => (await replica.reading()).sum("hygeia_webhook_trusted") > 0);
  });
});

describe("certificates from files", () => {
  test("are served as they change, and caBundle is left to whoever issues them", async () => {
    const directory = mkdtempSync(join(tmpdir(), "webhook-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 86_400_000) };
    const [first, second] = [await createAuthority(validity), await createAuthority(validity)];
    const put = async (authority: KeyPair): Promise<void> => {
      const { certificate, privateKey } = await issueLeaf(authority, [SERVER_NAME], validity);
      writeFileSync(join(directory, "tls.key"), privateKey);
      writeFileSync(join(directory, "tls.crt"), certificate);
    };
    const trust = async (...authorities: readonly KeyPair[]): Promise<void> => {
      const caBundle = Buffer.from(authorities.map(({ certificate }) => certificate).join("")).toString("base64");
      const { webhooks } = await stage.client.get<Configuration>(CONFIGURATION);
      const clientConfig = { ...webhooks[0]?.clientConfig, caBundle };
      await stage.client.patch(CONFIGURATION, { webhooks: [{ ...webhooks[0], clientConfig }] });
    };
    await put(first);
    await trust(first);
    const replica = await stage.startReplica({ settings: { certificateDirectory: directory } });
    await replica.untilReady();
    await stage.untilMutating("shop");
    await trust(first, second);
    const creating = stage.createContinuously("shop");
    await put(second);
    await eventually("it serves the new one", () => replica.isIssuedBy(second.certificate));
    expect(await creating.stop()).toMatchObject({ unchanged: 0 });
    await trust(second);
    await stage.untilMutating("shop");
    expect(await stage.client.find(SECRET)).toBeUndefined();
    expect((await replica.reading()).sum("rest_client_requests_total")).toBe(0);
  });
});
