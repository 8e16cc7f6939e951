import type { Compliance } from "../../admission/compliance.ts";
import type { PodRecord } from "../../cluster/types.ts";

/** Pods of one workload that stand alike to their policy. */
export interface PodFinding {
  readonly namespace: string;
  /** See PodRecord.workload. */
  readonly workload: string;
  /** How many. */
  readonly pods: number;
  /** Name of one of them. */
  readonly example: string;
  /** Never Compliant. */
  readonly compliance: Compliance;
}

/** How the pods of one policy stand to what it wants of them. */
export interface ComplianceCount {
  readonly compliant: number;
  readonly drifted: number;
  readonly exempt: number;
  /** Pods that could not be judged. */
  readonly unknown: number;
  /** Drifted ones before exempt ones, the largest first; at most as many as a report holds. */
  readonly findings: readonly PodFinding[];
  /** Every workload with pods that drifted, by PodRecord.workload; absent where none did. */
  readonly workloads?: ReadonlyMap<string, DriftedWorkload>;
}

/** Pods of one workload that drifted, however they differ. */
export interface DriftedWorkload {
  readonly pods: number;
  readonly example: PodRecord;
}

/** As a report's schema has it. */
export const MAX_POD_FINDINGS = 200;

/** Adds up the pods of one policy. */
export class ComplianceTally {
  readonly #states = { Compliant: 0, Drifted: 0, Exempt: 0 };
  readonly #findings = { Drifted: new Map<string, Counted>(), Exempt: new Map<string, Counted>() };
  #unknown = 0;

  /** @param compliance undefined when the pod can not be judged */
  add(pod: PodRecord, compliance: Compliance | undefined): void {
    if (compliance === undefined) {
      this.#unknown++;
      return;
    }
    this.#states[compliance.state]++;
    if (compliance.state === "Compliant") return;
    const findings = this.#findings[compliance.state];
    const key = `${pod.workload}\n${pod.template}`;
    const known = findings.get(key);
    if (known !== undefined) known.pods++;
    else findings.set(key, { pods: 1, example: pod, compliance });
  }

  get count(): ComplianceCount {
    const { Compliant: compliant, Drifted: drifted, Exempt: exempt } = this.#states;
    const findings = [...sorted(this.#findings.Drifted), ...sorted(this.#findings.Exempt)].slice(0, MAX_POD_FINDINGS);
    const figures = { compliant, drifted, exempt, unknown: this.#unknown, findings };
    return drifted === 0 ? figures : { ...figures, workloads: this.#workloads() };
  }

  #workloads(): ReadonlyMap<string, DriftedWorkload> {
    const workloads = new Map<string, { pods: number; readonly example: PodRecord }>();
    for (const { pods, example } of this.#findings.Drifted.values()) {
      const known = workloads.get(example.workload);
      if (known === undefined) workloads.set(example.workload, { pods, example });
      else known.pods += pods;
    }
    return workloads;
  }
}

interface Counted {
  pods: number;
  readonly example: PodRecord;
  readonly compliance: Compliance;
}

function sorted(findings: ReadonlyMap<string, Counted>): PodFinding[] {
  return [...findings.values()]
    .sort((a, b) => b.pods - a.pods || compare(a.example.workload, b.example.workload))
    .map(({ pods, example, compliance }) => {
      const { namespace, workload, name } = example;
      return { namespace, workload, pods, example: name, compliance };
    });
}

function compare(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
