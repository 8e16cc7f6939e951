import type { TestProject } from "vitest/node";

import { Scope, startControlPlane, startEtcd } from "../env/index.ts";
import { installCrds } from "./crds.ts";

/** The servers that all integration tests share; tests that break servers start their own. */
export interface SharedEnvironment {
  /** Path of a kubeconfig with cluster-admin rights. */
  readonly kubeconfig: string;
  readonly kubeUrl: string;
  readonly kubeCaFile: string;
  /** Bearer token with cluster-admin rights. */
  readonly kubeToken: string;
  /** Path of a kubectl program. */
  readonly kubectl: string;
  /** Client URLs of the etcd that serves as registry. */
  readonly etcdEndpoints: string[];
}

declare module "vitest" {
  interface ProvidedContext {
    env: SharedEnvironment;
  }
}

/**
 * Starts the shared servers before the first integration test and returns what ends them after the last. The control
 * plane has a controller manager, no scheduler and no kubelets (see cluster-fixture.ts), and serves our kinds.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const scope = new Scope();
  try {
    const [controlPlane, etcd] = await Promise.all([
      startControlPlane({ controllerManager: true, scope }).then(async (started) => {
        await installCrds(started);
        return started;
      }),
      startEtcd({ scope }),
    ]);
    project.provide("env", {
      kubeconfig: controlPlane.kubeconfig,
      kubeUrl: controlPlane.url,
      kubeCaFile: controlPlane.caFile,
      kubeToken: controlPlane.token,
      kubectl: controlPlane.kubectl,
      etcdEndpoints: etcd.endpoints,
    });
  } catch (error) {
    await scope.stop();
    throw error;
  }
  return () => scope.stop();
}
