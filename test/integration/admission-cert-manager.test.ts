/** config/default-certmanager with cert-manager's own controllers. Its build takes minutes: only at night. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { certificatesIn } from "../../src/admission/certificates/key-pair.ts";
import { startCertManager } from "../env/cert-manager.ts";
import { Scope } from "../env/index.ts";
import type { KubeObject } from "../support/kube-client.ts";
import { OPERATOR_NAMESPACE } from "../support/operator-install.ts";
import { eventually } from "../support/operator-wait.ts";
import {
  CONFIGURATION,
  type Configuration,
  SECRET,
  type WebhookReplica,
  WebhookStage,
} from "../support/webhook-stage.ts";

const execute = promisify(execFile);
const CONFIG = fileURLToPath(new URL("../../config/certmanager", import.meta.url));
const CERTIFICATES = `/apis/cert-manager.io/v1/namespaces/${OPERATOR_NAMESPACE}/certificates`;
/** A kubelet writes a changed Secret into its pods within a minute or so; here it takes this long, in milliseconds. */
const KUBELET_DELAY_MS = 3_000;

interface Secret extends KubeObject {
  readonly data: Readonly<Record<string, string>>;
}

interface Certificate extends KubeObject {
  readonly status?: {
    readonly revision?: number;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

const night = process.env["HYGEIA_NIGHTLY"] !== undefined;

describe.skipIf(!night)("certificates of cert-manager", () => {
  const scope = new Scope();
  const mounted = mkdtempSync(join(tmpdir(), "webhook-certificate-"));
  let stage: WebhookStage;
  let replica: WebhookReplica;

  beforeAll(async () => {
    stage = await WebhookStage.start({ configuration: "default-certmanager" });
    await stage.createNamespace("shop");
    await startCertManager(scope, stage.controlPlane);
    const { kubectl, kubeconfig } = stage.controlPlane;
    await execute(kubectl, [`--kubeconfig=${kubeconfig}`, "apply", `--kustomize=${CONFIG}`]);
    await stage.configure();
  }, 600_000);

  afterAll(async () => {
    await stage.stop();
    await scope.stop();
    rmSync(mounted, { recursive: true });
  });

  async function secretOf(name: string): Promise<Secret | undefined> {
    return stage.client.find<Secret>(`/api/v1/namespaces/${OPERATOR_NAMESPACE}/secrets/${name}`);
  }

  async function certificateIn(name: string): Promise<string> {
    return Buffer.from((await secretOf(name))?.data["tls.crt"] ?? "", "base64").toString();
  }

  /** What a kubelet does with the Secret of the Deployment's volume. */
  async function mount(): Promise<void> {
    const secret = await secretOf("hygeia-webhook-server-cert");
    for (const file of ["tls.key", "tls.crt"]) {
      writeFileSync(join(mounted, file), Buffer.from(secret?.data[file] ?? "", "base64"));
    }
  }

  async function isReady(name: string): Promise<boolean> {
    const { status } = await stage.client.get<Certificate>(`${CERTIFICATES}/${name}`);
    return status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") ?? false;
  }

  /** Asks for a renewal as cert-manager's command line does, and waits for it. */
  async function renew(name: string): Promise<void> {
    const path = `${CERTIFICATES}/${name}`;
    const { status } = await stage.client.get<Certificate>(path);
    const issuing = { type: "Issuing", status: "True", reason: "ManuallyTriggered", message: "asked for by a test" };
    const lastTransitionTime = new Date().toISOString().replace(/\.\d+Z$/, "Z");
    const conditions = [...(status?.conditions ?? []), { ...issuing, lastTransitionTime }];
    await stage.client.patch(`${path}/status`, { status: { conditions } });
    await eventually(`${name} is renewed`, async () => {
      const { status: now } = await stage.client.get<Certificate>(path);
      return (now?.revision ?? 0) > (status?.revision ?? 0) && (await isReady(name));
    });
  }

  test("are issued under a root that the API server is told to trust, and pods come out changed", async () => {
    await eventually("both certificates are issued", async () => {
      const ready = await Promise.all(["hygeia-webhook-root", "hygeia-serving-cert"].map(isReady));
      return ready.every(Boolean);
    });
    const root = await certificateIn("hygeia-webhook-root");
    await eventually("the root is trusted", async () => certificatesIn(await stage.bundle()).join() === root);
    await mount();
    replica = await stage.startReplica({ settings: { certificateDirectory: mounted } });
    await replica.untilReady();
    await stage.untilMutating("shop");
    expect(await replica.isIssuedBy(root)).toBe(true);
  });

  test("are renewed while pods are created, and none comes out unchanged", async () => {
    const before = await replica.leaf();
    const creating = stage.createContinuously("shop");
    await renew("hygeia-serving-cert");
    await delay(KUBELET_DELAY_MS);
    await mount();
    await eventually("it serves the new one", async () => (await replica.leaf()).serialNumber !== before.serialNumber);
    const { created, unchanged } = await creating.stop();
    expect(created).toBeGreaterThan(100);
    expect(unchanged).toBe(0);
  });

  test("hold under the root before and the root after", async () => {
    const old = await certificateIn("hygeia-webhook-root");
    const creating = stage.createContinuously("shop");
    await renew("hygeia-webhook-root");
    const root = await certificateIn("hygeia-webhook-root");
    expect(root).not.toBe(old);
    // The injector takes the root from the Secret of what it signed, so the old one is trusted until that is renewed.
    expect(certificatesIn(await stage.bundle()).join()).toBe(old);
    const served = await replica.leaf();
    await renew("hygeia-serving-cert");
    // Some versions of the injector replace the bundle, others add to it.
    await eventually("the new root is trusted", async () => certificatesIn(await stage.bundle()).includes(root));
    await delay(KUBELET_DELAY_MS);
    await mount();
    await eventually("it serves the new one", async () => (await replica.leaf()).serialNumber !== served.serialNumber);
    expect(await replica.isIssuedBy(root)).toBe(true);
    const { created, unchanged } = await creating.stop();
    expect(created).toBeGreaterThan(100);
    expect(unchanged).toBe(0);
  });

  test("have the operator ask nothing of the API server, and a bundle that is taken out is back", async () => {
    const root = await certificateIn("hygeia-webhook-root");
    const { webhooks } = await stage.client.get<Configuration>(CONFIGURATION);
    const { caBundle: _, ...clientConfig } = webhooks[0]?.clientConfig ?? {};
    await stage.client.patch(CONFIGURATION, { webhooks: [{ ...webhooks[0], clientConfig }] });
    await eventually("the root is trusted again", async () => certificatesIn(await stage.bundle()).includes(root));
    await stage.untilMutating("shop");
    expect(await stage.client.find(SECRET)).toBeUndefined();
    expect((await replica.reading()).sum("rest_client_requests_total")).toBe(0);
  });

  test("are of the form that cert-manager's kinds have", async () => {
    const { kubectl, kubeconfig } = stage.controlPlane;
    const { stdout, stderr } = await execute(kubectl, [
      `--kubeconfig=${kubeconfig}`,
      "apply",
      "--dry-run=server",
      "--validate=strict",
      `--kustomize=${CONFIG}`,
    ]);
    expect(stdout).toContain("certificate.cert-manager.io/hygeia-serving-cert");
    expect(stderr).toBe("");
  });
});
