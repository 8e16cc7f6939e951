import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import type { ClusterAccess } from "./cluster-fixture.ts";
import { KubeClient } from "./kube-client.ts";

const execute = promisify(execFile);

/** Where config/default puts the operator, and as whom it runs there. */
export const OPERATOR_NAMESPACE = "hygeia-system";
/** Also the name of its Deployment. */
export const SERVICE_ACCOUNT = "hygeia-controller-manager";

const CONFIG = fileURLToPath(new URL("../../config/default", import.meta.url));
const KINDS = ["registries", "registrationpolicies", "registrationreports"].map((plural) => `crd/${plural}.hygeia.dev`);

interface Deployment {
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly containers: readonly {
          readonly env?: readonly { readonly name: string; readonly value?: string }[];
        }[];
      };
    };
  };
}

/** One installation for each cluster, whoever asks first. */
const installed = new Map<string, Promise<void>>();

/**
 * Applies config/default once for each cluster: the kinds, the operator's namespace, ServiceAccount and roles; all but the
 * MutatingWebhookConfiguration.
 */
export async function installOperator(cluster: ClusterAccess): Promise<void> {
  let done = installed.get(cluster.url);
  if (done === undefined) installed.set(cluster.url, (done = install(cluster)));
  await done;
}

/** A token of exactly the ServiceAccount that config/default gives the operator, good for an hour. */
export async function operatorToken(cluster: ClusterAccess): Promise<string> {
  const client = new KubeClient(cluster, 1);
  try {
    const path = `/api/v1/namespaces/${OPERATOR_NAMESPACE}/serviceaccounts/${SERVICE_ACCOUNT}/token`;
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { expirationSeconds: 3600 } };
    return (await client.create<{ status: { token: string } }>(path, body)).status.token;
  } finally {
    await client.close();
  }
}

/** The NODE_OPTIONS that the installed Deployment gives the process. */
export async function operatorNodeOptions(cluster: ClusterAccess): Promise<string> {
  const client = new KubeClient(cluster, 1);
  try {
    const deployment = await client.get<Deployment>(
      `/apis/apps/v1/namespaces/${OPERATOR_NAMESPACE}/deployments/${SERVICE_ACCOUNT}`,
    );
    const environment = deployment.spec.template.spec.containers.flatMap(({ env }) => env ?? []);
    const found = environment.find(({ name }) => name === "NODE_OPTIONS")?.value;
    if (found === undefined) throw new Error("the Deployment of config/default sets no NODE_OPTIONS");
    return found;
  } finally {
    await client.close();
  }
}

async function install({ kubectl, kubeconfig }: ClusterAccess): Promise<void> {
  const run = (...args: readonly string[]) => execute(kubectl, [`--kubeconfig=${kubeconfig}`, ...args]);
  const { stdout } = await execute(kubectl, ["kustomize", CONFIG], { maxBuffer: 2 ** 26 });
  // No Service leads anywhere here: each new pod would wait until the webhook's time is up.
  const documents = stdout
    .split(/^---$/m)
    .filter((document) => !/^kind: MutatingWebhookConfiguration$/m.test(document));
  // Server-side: several test files may install into one cluster at the same time.
  const applying = run("apply", "--server-side", "--force-conflicts", "-f", "-");
  applying.child.stdin?.end(documents.join("---"));
  await applying;
  await run("wait", "--for=condition=Established", "--timeout=60s", ...KINDS);
}
