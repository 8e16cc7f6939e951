import type { Clock } from "../../clock/clock.ts";
import { Controller, type ReconcileContext, type Result } from "../../kube/controller.ts";
import { ExponentialBackoff } from "../../kube/rate-limiter.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { EvictionEntry, PolicySet } from "../types.ts";
import type { PolicyIdentity, Quarantines } from "./quarantines.ts";

/** What reports say. */
export interface StoredEvictions {
  /**
   * The evictions in a policy's report, as they are stored now; none when it has no report of its own.
   * @throws KubeError
   */
  read(policy: PolicyIdentity, signal: AbortSignal): Promise<readonly EvictionEntry[]>;
  /**
   * Brings the policy's report up to date at once. What it is to show when this is called is stored when it resolves.
   * @throws KubeError, and what else keeps it from being stored
   */
  save(policy: PolicyIdentity, signal: AbortSignal): Promise<void>;
}

export interface SeedingParts {
  readonly policies: PolicySet;
  readonly quarantines: Pick<Quarantines, "isSeeded" | "seed">;
  readonly stored: Pick<StoredEvictions, "read">;
  /** Asks for a sweep before long. */
  readonly sweepSoon: () => void;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * At the beginning of a leadership, and for each policy that comes into force in it, takes in which quarantines earlier
 * leaders left. Until that is done for a policy nothing is quarantined by it. Works until the signal aborts.
 */
export async function seedQuarantines(parts: SeedingParts, signal: AbortSignal): Promise<void> {
  const { policies, clock, log, metrics } = parts;
  const controller = new Controller<string>({
    name: "quarantine",
    reconcile: (name, context) => seed(name, parts, context),
    rateLimiter: new ExponentialBackoff<string>(100, 30_000),
    clock,
    log,
    metrics,
  });
  const all = (): void => {
    for (const policy of policies.values()) if (!parts.quarantines.isSeeded(policy)) controller.enqueue(policy.name);
  };
  const unsubscribe = policies.subscribe(all);
  all();
  try {
    await controller.run(signal);
  } finally {
    unsubscribe();
  }
}

async function seed(name: string, parts: SeedingParts, { signal, log }: ReconcileContext): Promise<Result> {
  const { policies, quarantines, stored, sweepSoon } = parts;
  const policy = policies.get(name);
  if (policy === undefined || quarantines.isSeeded(policy)) return undefined;
  const entries = await stored.read(policy, signal);
  const inQuarantine = entries.filter(({ result }) => result === "Quarantined").length;
  if (inQuarantine > 0)
    log.info({ policy: name, quarantines: inQuarantine }, "took in what earlier leaders quarantined");
  quarantines.seed({ name, uid: policy.uid }, entries);
  sweepSoon();
  return undefined;
}
