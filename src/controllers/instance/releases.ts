import { HygeiaError } from "../../errors.ts";
import type { Releaser, ReleaseResult } from "../../eviction/releaser.ts";
import type { ReconcileContext, Result } from "../../kube/controller.ts";
import type { Fence, InstanceRecord } from "../../registry/port.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { Judgement } from "../../verdict/types.ts";
import type { CompiledPolicy, ManagedRegistry, PolicySet, RegistrySet } from "../types.ts";
import type { InstanceEvents } from "./events.ts";
import type { Judge, Judged } from "./judge.ts";
import type { Quarantine, Quarantines } from "./quarantines.ts";

/** After an attempt that nothing was written by and that may succeed soon: a view that lags, a record that changed. */
const TRY_AGAIN_MS = 1_000;

export interface ReleasesParts {
  readonly judge: Pick<Judge, "judge" | "judgeBy">;
  readonly releaser: Pick<Releaser, "release">;
  readonly quarantines: Quarantines;
  readonly policies: PolicySet;
  readonly registries: RegistrySet;
  /** True while this replica may write. */
  readonly isLeader: () => boolean;
  readonly clusterUid: () => string;
  readonly events: InstanceEvents;
  readonly metrics: Pick<Metrics, "releases">;
  /** Treat every policy as mode Audit. */
  readonly dryRun: boolean;
}

/** Has entries put back into rotation that we took out of it and that have a living owner again. */
export class Releases {
  readonly #parts: ReleasesParts;

  constructor(parts: ReleasesParts) {
    this.#parts = parts;
  }

  /** Whether a pod that lives would have the record released; no word on whether one does. */
  isOurs(registry: ManagedRegistry, record: InstanceRecord): boolean {
    return record.quarantined && this.#parts.quarantines.find(registry, record) !== undefined;
  }

  /** Our quarantine that is to be ended now; undefined when there is none, or the policy does not want us to write. */
  due(registry: ManagedRegistry, { judgement: { record, verdict }, policy }: Judged): Quarantine | undefined {
    const { quarantines, dryRun } = this.#parts;
    if (!record.quarantined || verdict.kind !== "Live") return undefined;
    if (policy.plan.mode !== "Enforce" || dryRun) return undefined;
    return quarantines.find(registry, record);
  }

  /**
   * Judges a record that no policy is in charge of (its pod is opted out, or nobody's) by the policy that took it out of
   * rotation: what we did to it is ours to undo. Undefined when we did nothing to it.
   */
  judgeOrphan(registry: ManagedRegistry, record: InstanceRecord): Judged | undefined {
    const { judge, quarantines, policies } = this.#parts;
    const quarantine = quarantines.find(registry, record);
    if (quarantine === undefined) return undefined;
    const { name, uid } = quarantine.policy;
    const policy = policies.get(name);
    return policy?.uid === uid ? judge.judgeBy(policy, registry, record) : undefined;
  }

  /** @throws what speaks for trying again with growing waits: what the last look raises, and a write not proven done */
  async release(
    registry: ManagedRegistry,
    { judgement, policy }: Judged,
    quarantine: Quarantine,
    context: ReconcileContext,
  ): Promise<Result> {
    const { releaser, metrics } = this.#parts;
    const { record } = judgement;
    const labels = { policy: quarantine.policy.name, registry: registry.name };
    context.log.info(
      { step: "release", policy: policy.name, quarantine: quarantine.entry.traceId, version: record.version },
      `an entry that we took out of rotation has a living owner: ${judgement.verdict.message}`,
    );
    let result: ReleaseResult;
    try {
      result = await releaser.release(
        {
          judgement,
          adapter: registry.adapter,
          fence: this.#fence(registry, policy, judgement, quarantine, context.traceId),
          rejudge: () => this.#rejudge(registry, record.id),
          log: context.log,
        },
        context.signal,
      );
    } catch (error) {
      metrics.releases.total.inc({ ...labels, result: "Failed" });
      throw error;
    }
    metrics.releases.total.inc({ ...labels, result: result.outcome });
    context.log.info({ step: "done", outcome: result.outcome }, result.message);
    return this.#finish(quarantine, judgement, result, context);
  }

  #finish(
    quarantine: Quarantine,
    { verdict }: Judgement,
    result: ReleaseResult,
    { traceId }: ReconcileContext,
  ): Result {
    const { quarantines, events } = this.#parts;
    switch (result.outcome) {
      case "Released":
        events.released(quarantine.policy, quarantines.released(quarantine), {
          owner: result.owner,
          message: verdict.message,
          traceId,
        });
        return undefined;
      case "NotVerified":
        quarantines.releaseAsked(quarantine);
        throw new HygeiaError("ReleaseNotVerified", result.message);
      case "Unsettled":
        quarantines.releaseAsked(quarantine);
        throw result.error;
      case "Changed":
      case "Gone":
      case "Fenced":
      case "NotConfirmed":
        return { requeueAfterMs: TRY_AGAIN_MS, keepTrigger: true };
    }
  }

  /** Everything that must still hold at the moment of the write. */
  #fence(
    registry: ManagedRegistry,
    policy: CompiledPolicy,
    { verdict }: Judgement,
    quarantine: Quarantine,
    traceId: string,
  ): Fence {
    const { policies, registries, quarantines, isLeader, clusterUid } = this.#parts;
    return {
      isValid: () =>
        isLeader() &&
        policies.get(policy.name)?.generation === policy.generation &&
        policies.isInForce(policy.name, policy.uid) &&
        policies.isInForce(quarantine.policy.name, quarantine.policy.uid) &&
        registries.isInForce(registry.name, registry.uid) &&
        quarantines.isHeld(quarantine),
      clusterUid: clusterUid(),
      reason: `${verdict.reason}: ${verdict.message}`,
      traceId,
    };
  }

  #rejudge(registry: ManagedRegistry, id: string): Judgement | undefined {
    const record = registry.view.get(id);
    if (record === undefined) return undefined;
    return (this.#parts.judge.judge(registry, record) ?? this.judgeOrphan(registry, record))?.judgement;
  }
}
