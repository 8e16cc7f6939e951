/** How a workload under way is doing. Pure. */
import { isSettled, type Workload } from "./workload.ts";

export type Progress =
  /** All replicas are of the present template and available. */
  | { readonly kind: "Settled" }
  | { readonly kind: "Progressing" }
  | { readonly kind: "Failed"; readonly message: string };

/**
 * @param waitedMs since it was last touched
 * @param settled where more is known than the workload's status says
 */
export function progressOf(
  workload: Workload,
  waitedMs: number,
  availableWithinMs: number,
  settled = isSettled(workload),
): Progress {
  if (settled) return { kind: "Settled" };
  const { generation, replicas, status } = workload;
  // Until the controller has seen the present spec, what it says is about an earlier one.
  if (status.observedGeneration >= generation && status.deadlineExceeded) {
    return { kind: "Failed", message: `its progressDeadlineSeconds are over: ${figures(workload)}` };
  }
  if (waitedMs < availableWithinMs) return { kind: "Progressing" };
  const seconds = Math.round(availableWithinMs / 1000);
  const message = `not all of its ${replicas} replicas were available within ${seconds}s: ${figures(workload)}`;
  return { kind: "Failed", message };
}

function figures({ status: { updated, available, replicas } }: Workload): string {
  return `${replicas} replicas, ${updated} of the present template, ${available} available`;
}
