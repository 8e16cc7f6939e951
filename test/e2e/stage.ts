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

export type StageOptions = Pick<RealNodeOptions, "searches" | "files">;

/** @param options of the node */
export async function startStage(options: StageOptions = {}): Promise<Stage> {
  const scope = new Scope();
  try {
    const controlPlane = await startControlPlane({ controllerManager: true, scheduler: true, scope });
    return await startStageOn(controlPlane, scope, options);
  } catch (error) {
    await scope.stop();
    throw error;
  }
}

/** Adds the node to a control plane that has a controller manager and a scheduler. */
export async function startStageOn(controlPlane: ControlPlane, scope: Scope, options: StageOptions): Promise<Stage> {
  const node = await startRealNode(controlPlane, { ...options, scope });
  const pods = new Pods(controlPlane, node);
  scope.onStop(() => pods.close());
  return { controlPlane, node, pods, stop: () => scope.stop() };
}

const obstacle = whyNoRealNode();

/** Tests that need a real node; where there can be none they are skipped, and their title says why. */
export function describeOnRealNode(name: string, tests: () => void): void {
  if (obstacle !== undefined) console.warn(`skipped: ${name}: ${obstacle}`);
  describe.skipIf(obstacle !== undefined)(obstacle === undefined ? name : `${name} (skipped: ${obstacle})`, tests);
}
