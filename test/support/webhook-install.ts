import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { parseAllDocuments } from "yaml";

import type { ClusterAccess } from "./cluster-fixture.ts";
import type { KubeClient, KubeObject } from "./kube-client.ts";
import { OPERATOR_NAMESPACE } from "./operator-install.ts";
import { eventually } from "./operator-wait.ts";

const execute = promisify(execFile);

export const CONFIGURATION_NAME = "hygeia-mutating-webhook-configuration";
const CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
export const CONFIGURATION = `${CONFIGURATIONS}/${CONFIGURATION_NAME}`;
export const SERVICE_NAME = "hygeia-webhook-service";
const SERVICES = `/api/v1/namespaces/${OPERATOR_NAMESPACE}/services`;

/** Parts of a MutatingWebhookConfiguration that tests read. */
export interface Configuration extends KubeObject {
  readonly webhooks: readonly {
    readonly name: string;
    readonly clientConfig: { readonly caBundle?: string; readonly service?: { readonly port: number } };
  }[];
}

/** The MutatingWebhookConfiguration of a directory in config/. */
export async function webhookManifest(
  { kubectl }: Pick<ClusterAccess, "kubectl">,
  configuration: "default" | "default-certmanager" = "default",
): Promise<Configuration> {
  const directory = fileURLToPath(new URL(`../../config/${configuration}`, import.meta.url));
  const { stdout } = await execute(kubectl, ["kustomize", directory], { maxBuffer: 2 ** 26 });
  const manifest = parseAllDocuments(stdout)
    .map((document) => document.toJS() as Configuration)
    .find(({ kind }) => kind === "MutatingWebhookConfiguration");
  if (manifest === undefined) throw new Error(`config/${configuration} has no MutatingWebhookConfiguration`);
  return manifest;
}

/**
 * Makes the webhook's Service lead to this machine: it is of type ExternalName, which the API server's resolver takes for
 * it. There is no network for Services where tests run.
 */
export async function leadServiceHere(client: KubeClient): Promise<void> {
  await client.delete(`${SERVICES}/${SERVICE_NAME}`);
  await eventually("the Service leads here", () =>
    client.create(SERVICES, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: SERVICE_NAME },
      spec: { type: "ExternalName", externalName: "localhost" },
    }),
  );
}

/** Installs the configuration, or makes it anew without a bundle. @param port where the Service is reached */
export async function configureWebhook(client: KubeClient, manifest: Configuration, port: number): Promise<void> {
  await client.delete(CONFIGURATION);
  const [webhook] = manifest.webhooks;
  const { clientConfig } = webhook as Configuration["webhooks"][number];
  const service = { ...clientConfig.service, port };
  await client.create(CONFIGURATIONS, { ...manifest, webhooks: [{ ...webhook, clientConfig: { service } }] });
}
