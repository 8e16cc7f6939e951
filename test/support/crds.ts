import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** Installs the project's kinds from crds/ into a cluster and waits until the apiserver serves them. */
export async function installCrds(cluster: { readonly kubectl: string; readonly kubeconfig: string }): Promise<void> {
  const kubectl = async (...args: readonly string[]): Promise<void> => {
    await execute(cluster.kubectl, [`--kubeconfig=${cluster.kubeconfig}`, ...args]);
  };
  await kubectl("apply", "--server-side", "-k", fileURLToPath(new URL("../../crds/", import.meta.url)));
  await kubectl("wait", "--for=condition=Established", "--timeout=60s", "customresourcedefinitions", "--all");
}
