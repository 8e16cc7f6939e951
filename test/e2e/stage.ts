import { describe } from "vitest";

import {
  type ControlPlane,
  type RealNode,
  type RealNodeOptions,
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

/** @param options of the node */
export async function startStage(options: Pick<RealNodeOptions, "searches" | "files"> = {}): Promise<Stage> {
  const scope = new Scope();
  try {
    const controlPlane = await startControlPlane({ controllerManager: true, scheduler: true, scope });
    const node = await startRealNode(controlPlane, { ...options, scope });
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
