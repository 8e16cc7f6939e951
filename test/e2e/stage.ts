import { describe } from "vitest";

import {
  type ControlPlane,
  type RealNode,
  Scope,
  startControlPlane,
  startRealNode,
  whyNoRealNode,
} from "../env/index.ts";
import { Pods } from "./pods.ts";

/** A cluster with one real node. */
export interface Stage {
  readonly controlPlane: ControlPlane;
  readonly node: RealNode;
  readonly pods: Pods;
  stop(): Promise<void>;
}

/** @param searches search domains in the node's own resolv.conf */
export async function startStage(searches: readonly string[] = []): Promise<Stage> {
  const scope = new Scope();
  try {
    const controlPlane = await startControlPlane({ controllerManager: true, scheduler: true, scope });
    const node = await startRealNode(controlPlane, { searches, scope });
    const pods = new Pods(controlPlane, node);
    scope.onStop(() => pods.close());
    return { controlPlane, node, pods, stop: () => scope.stop() };
  } catch (error) {
    await scope.stop();
    throw error;
  }
}

const obstacle = whyNoRealNode();

/** Tests that need a real node; where there can be none they are skipped, and their title says why. */
export function describeOnRealNode(name: string, tests: () => void): void {
  if (obstacle !== undefined) console.warn(`skipped: ${name}: ${obstacle}`);
  describe.skipIf(obstacle !== undefined)(obstacle === undefined ? name : `${name} (skipped: ${obstacle})`, tests);
}
