import { describe, expect, test } from "vitest";

import { isSettled, obstacleTo, readWorkload, selectorText, selects } from "./workload.ts";

interface Raw {
  readonly metadata?: object;
  readonly spec?: object;
  readonly status?: object;
}

const LABELS = { matchLabels: { app: "web" } };

/** One of 4 replicas where nothing is under way. */
function raw({ metadata, spec, status }: Raw = {}) {
  const counts = { observedGeneration: 3, replicas: 4, updatedReplicas: 4, availableReplicas: 4 };
  return {
    metadata: { uid: "u", namespace: "shop", name: "web", resourceVersion: "7", generation: 3, ...metadata },
    spec: { replicas: 4, selector: LABELS, ...spec },
    status: { ...counts, ...status },
  };
}

const deployment = (parts?: Raw) => readWorkload("Deployment", raw(parts));
const statefulSet = (parts?: Raw) => readWorkload("StatefulSet", raw(parts));
const rolling = (rollingUpdate: object, replicas = 4) =>
  deployment({
    spec: { replicas, strategy: { type: "RollingUpdate", rollingUpdate } },
    status: { replicas, updatedReplicas: replicas, availableReplicas: replicas },
  });

describe("a workload as the API server has it", () => {
  test("reads what is missing as its default", () => {
    expect(readWorkload("Deployment", {})).toMatchObject({
      replicas: 1,
      strategy: "RollingUpdate",
      maxUnavailable: 0,
      partition: 0,
      paused: false,
      deleting: false,
      status: { observedGeneration: 0, replicas: 0, updated: 0, available: 0, deadlineExceeded: false },
    });
  });

  const unavailable: Record<string, [rollingUpdate: object, replicas: number, expected: number]> = {
    "a quarter of 10 is rounded down": [{}, 10, 2],
    "a quarter of 4": [{}, 4, 1],
    "of one replica none may be missing": [{}, 1, 0],
    "a number": [{ maxUnavailable: 3 }, 10, 3],
    "a percentage": [{ maxUnavailable: "50%" }, 5, 2],
    "without any surge at least one is": [{ maxUnavailable: "1%", maxSurge: 0 }, 10, 1],
    "a surge of a fraction is one": [{ maxUnavailable: 0, maxSurge: "1%" }, 10, 0],
  };
  test.each(Object.entries(unavailable))("%s", (_, [rollingUpdate, replicas, expected]) => {
    expect(rolling(rollingUpdate, replicas).maxUnavailable).toBe(expected);
  });

  const given = (condition: object) => deployment({ status: { conditions: [condition] } }).status.deadlineExceeded;
  test("gave up only where its controller says so", () => {
    const type = "Progressing";
    expect(given({ type, status: "False", reason: "ProgressDeadlineExceeded" })).toBe(true);
    expect(given({ type, status: "True", reason: "ProgressDeadlineExceeded" })).toBe(false);
    expect(given({ type, status: "False", reason: "FailedCreate" })).toBe(false);
    expect(given({ type: "Available", status: "False", reason: "ProgressDeadlineExceeded" })).toBe(false);
  });

  test("selects by labels and expressions, and nothing by an empty selector", () => {
    const selector = { ...LABELS, matchExpressions: [{ key: "tier", operator: "NotIn", values: ["test", "old"] }] };
    const workload = deployment({ spec: { selector } });
    expect(selectorText(workload)).toBe("app=web,tier notin (test,old)");
    expect(selects(workload, { app: "web" })).toBe(true);
    expect(selects(workload, { app: "web", tier: "old" })).toBe(false);
    expect(selects(workload, {})).toBe(false);
    expect(selects(deployment({ spec: { selector: {} } }), { app: "web" })).toBe(false);
  });

  test("writes every operator as a list takes it", () => {
    const selector = {
      matchExpressions: [
        { key: "a", operator: "Exists" },
        { key: "b", operator: "DoesNotExist" },
        { key: "c", operator: "In", values: ["x"] },
      ],
    };
    expect(selectorText(deployment({ spec: { selector } }))).toBe("a,!b,c in (x)");
  });
});

describe("nothing is under way", () => {
  test("where all replicas are updated and available", () => {
    expect(isSettled(deployment())).toBe(true);
  });

  const unsettled: Record<string, Raw["status"]> = {
    "while its controller has not seen the present spec": { observedGeneration: 2 },
    "while pods are of an earlier template": { updatedReplicas: 3 },
    "while there are more pods than wanted": { replicas: 5 },
    "while a pod is not available": { availableReplicas: 3 },
  };
  test.each(Object.entries(unsettled))("but not %s", (_, status) => {
    expect(isSettled(deployment({ status: status ?? {} }))).toBe(false);
  });
});

describe("an obstacle", () => {
  const none: Record<string, [ReturnType<typeof deployment>, "Template" | "Evict"]> = {
    "a Deployment that is available": [deployment(), "Template"],
    "a Deployment of one, which gets its new pod first": [rolling({}, 1), "Template"],
    "a StatefulSet of more than one": [statefulSet(), "Template"],
    "pods of more than one to be evicted": [deployment(), "Evict"],
  };
  test.each(Object.entries(none))("is not there for %s", (_, [workload, strategy]) => {
    expect(obstacleTo(workload, strategy)).toBeUndefined();
  });

  const found: Record<string, [ReturnType<typeof deployment>, "Template" | "Evict", string]> = {
    "it is being deleted": [
      deployment({ metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" } }),
      "Template",
      "BeingDeleted",
    ],
    "a Deployment that stops before it starts": [
      deployment({ spec: { strategy: { type: "Recreate" } } }),
      "Template",
      "Recreate",
    ],
    "a StatefulSet that waits for a person": [
      statefulSet({ spec: { updateStrategy: { type: "OnDelete" } } }),
      "Evict",
      "OnDelete",
    ],
    "a StatefulSet that would be updated in part": [
      statefulSet({ spec: { updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 1 } } } }),
      "Template",
      "Partitioned",
    ],
    "a Deployment that is paused": [deployment({ spec: { paused: true } }), "Template", "DeploymentPaused"],
    "there are no replicas": [
      deployment({ spec: { replicas: 0 }, status: { replicas: 0, updatedReplicas: 0, availableReplicas: 0 } }),
      "Template",
      "ScaledToZero",
    ],
    "all pods of a Deployment may be missing at once": [
      rolling({ maxUnavailable: "100%" }),
      "Template",
      "NoSpareReplica",
    ],
    "a StatefulSet of one": [
      statefulSet({ spec: { replicas: 1 }, status: { replicas: 1, updatedReplicas: 1, availableReplicas: 1 } }),
      "Template",
      "NoSpareReplica",
    ],
    "the only pod to be evicted": [rolling({}, 1), "Evict", "NoSpareReplica"],
    "its last change is not seen by its controller yet": [
      deployment({ status: { observedGeneration: 2 } }),
      "Template",
      "RollingAlready",
    ],
    "it rolls out": [deployment({ status: { updatedReplicas: 1 } }), "Template", "RollingAlready"],
    "it is being scaled": [deployment({ status: { replicas: 2, updatedReplicas: 2 } }), "Evict", "RollingAlready"],
    "a pod is not available": [deployment({ status: { availableReplicas: 3 } }), "Template", "NotAvailable"],
  };
  test.each(Object.entries(found))("is that %s", (_, [workload, strategy, reason]) => {
    expect(obstacleTo(workload, strategy)?.reason).toBe(reason);
  });
});
