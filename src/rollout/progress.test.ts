import { describe, expect, test } from "vitest";

import { progressOf } from "./progress.ts";
import { readWorkload } from "./workload.ts";

const gaveUp = { type: "Progressing", status: "False", reason: "ProgressDeadlineExceeded" };

function workload(status: object = {}) {
  const counts = { observedGeneration: 2, replicas: 3, updatedReplicas: 3, availableReplicas: 3 };
  return readWorkload("Deployment", {
    metadata: { generation: 2 },
    spec: { replicas: 3 },
    status: { ...counts, ...status },
  });
}

describe("the progress of a workload", () => {
  const rows: Record<string, [status: object, waitedMs: number, kind: string, message: string | undefined]> = {
    "is at its end when all is available": [{}, 0, "Settled", undefined],
    "is at its end also when that came late": [{}, 60_000, "Settled", undefined],
    "goes on while pods are not available": [{ availableReplicas: 2 }, 9_999, "Progressing", undefined],
    "has failed when the time is up": [
      { availableReplicas: 2 },
      10_000,
      "Failed",
      "not all of its 3 replicas were available within 10s: 3 replicas, 3 of the present template, 2 available",
    ],
    "has failed when its controller gave up": [
      { availableReplicas: 2, conditions: [gaveUp] },
      0,
      "Failed",
      "its progressDeadlineSeconds are over: 3 replicas, 3 of the present template, 2 available",
    ],
    "is not judged by what its controller says of an earlier spec": [
      { observedGeneration: 1, availableReplicas: 2, conditions: [gaveUp] },
      0,
      "Progressing",
      undefined,
    ],
  };
  test.each(Object.entries(rows))("%s", (_, [status, waitedMs, kind, message]) => {
    const progress = progressOf(workload(status), waitedMs, 10_000);
    expect([progress.kind, progress.kind === "Failed" ? progress.message : undefined]).toEqual([kind, message]);
  });

  test("follows what is known beyond its status", () => {
    expect(progressOf(workload(), 0, 10_000, false).kind).toBe("Progressing");
    expect(progressOf(workload(), 10_000, 10_000, false).kind).toBe("Failed");
  });
});
