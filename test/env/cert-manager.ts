import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

import { request } from "undici";

import { moduleDirectory } from "./build.ts";
import type { ControlPlane } from "./control-plane.ts";
import type { ManagedProcess } from "./process.ts";
import { findPrograms } from "./programs.ts";
import type { Scope } from "./scope.ts";

const execute = promisify(execFile);

const MODULE = "github.com/cert-manager/cert-manager";
const KINDS = ["issuers", "clusterissuers", "certificates", "certificaterequests"];

/**
 * Applies cert-manager's kinds and starts what of it makes certificates of Issuers in the cluster, and writes `caBundle`.
 * Its own webhook, which checks what is written more closely than the kinds do, is not there.
 */
export async function startCertManager(
  scope: Scope,
  { kubectl, kubeconfig }: Pick<ControlPlane, "kubectl" | "kubeconfig">,
): Promise<ManagedProcess> {
  const programs = await findPrograms(["cert-manager"]);
  const crds = join(await moduleDirectory("cert-manager", MODULE), "deploy/crds");
  const run = async (...args: string[]): Promise<unknown> => execute(kubectl, [`--kubeconfig=${kubeconfig}`, ...args]);
  const files = KINDS.map((plural) => `--filename=${join(crds, `cert-manager.io_${plural}.yaml`)}`);
  await run("apply", "--server-side", ...files);
  await run(
    "wait",
    "--for=condition=Established",
    "--timeout=30s",
    ...KINDS.map((plural) => `crd/${plural}.cert-manager.io`),
  );
  const [port = 0] = await scope.ports(1);
  return scope.start({
    name: "cert-manager",
    command: programs["cert-manager"],
    args: [`--kubeconfig=${kubeconfig}`, `--health-address=127.0.0.1:${port}`],
    logFile: join(scope.directory("cert-manager"), "cert-manager.log"),
    ready: async () => {
      const response = await request(`http://127.0.0.1:${port}/readyz`);
      await response.body.dump();
      return response.statusCode === 200;
    },
  });
}
