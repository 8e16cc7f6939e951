import {
  API_VERSION,
  GROUP,
  PLURALS,
  VERSION,
  type RegistrationReport,
  type RegistrationReportStatus,
} from "../../api/v1alpha1/index.ts";
import type { Clock } from "../../clock/clock.ts";
import { Deadline } from "../../clock/deadline.ts";
import { HygeiaError } from "../../errors.ts";
import { NextBatch } from "../../eviction/next-batch.ts";
import { applyObject, applyStatus, sameContent } from "../../kube/apply.ts";
import { Controller, type ReconcileContext, type Result } from "../../kube/controller.ts";
import { KubeError } from "../../kube/http-errors.ts";
import type { KubeTransport } from "../../kube/transport.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { Census } from "../policy/census.ts";
import type { RolloutStanding } from "../rollout/standing.ts";
import type { Policies } from "../policy/policy-set.ts";
import { STATUS_FIELD_MANAGER } from "../status/status-writer.ts";
import type { CompiledPolicy, InstanceSummary } from "../types.ts";
import { buildReport, MAX_FINDINGS, type ReportFacts } from "./build.ts";

export interface ReportParts {
  readonly policies: Policies;
  readonly summary: InstanceSummary;
  readonly pods: Pick<Census, "of" | "subscribe">;
  readonly rollouts?: { of(policy: string): RolloutStanding | undefined };
  readonly transport: Pick<KubeTransport, "request">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Many changes make one write; a report is larger than a status, and less urgent. */
const DEBOUNCE_MS = 2_000;
/** A report that somebody removed or changed is put right after this. */
const REVIEW_EVERY_MS = 30_000;
const WRITE_DEADLINE_MS = 10_000;
/** For a look at the report and a write. */
const SAVE_DEADLINE_MS = 2 * WRITE_DEADLINE_MS;

/** What is known of the report of one policy in this leadership. */
interface Written {
  readonly uid: string;
  /** What it held at the beginning. */
  readonly earlier: NonNullable<RegistrationReportStatus["evictions"]>;
  status: RegistrationReportStatus | undefined;
  reviewedAt: number;
}

/** Keeps one RegistrationReport for each policy, under its name and owned by it, while this replica leads. */
export class ReportController {
  readonly #parts: ReportParts;
  readonly #written = new Map<string, Written>();
  /** Aborts the writes of a leadership that is over. */
  #term = AbortSignal.abort(new HygeiaError("NotLeading", "this replica does not lead"));
  readonly #savings = new Map<string, NextBatch<"Saved" | "NotYet" | "NotInForce">>();

  constructor(parts: ReportParts) {
    this.#parts = parts;
  }

  /** Works until the signal aborts; to be called each time this replica becomes the leader. */
  async run(signal: AbortSignal): Promise<void> {
    const { policies, summary, pods, clock, log, metrics } = this.#parts;
    this.#written.clear();
    this.#savings.clear();
    const term = new AbortController();
    this.#term = term.signal;
    const controller = new Controller<string>({
      name: "report",
      reconcile: (name, context) => this.#reconcile(name, context),
      clock,
      log,
      metrics,
    });
    const soon = (policy: string): void => controller.enqueueAfter(policy, DEBOUNCE_MS);
    const all = (): void => {
      for (const { name } of policies.values()) soon(name);
    };
    const unsubscribe = [policies.subscribe(all), summary.subscribe(soon), pods.subscribe(all)];
    all();
    try {
      await controller.run(signal);
    } finally {
      for (const end of unsubscribe) end();
      term.abort(new HygeiaError("NotLeading", "this replica leads no more"));
    }
  }

  /** Brings the report of a policy up to date now; see StoredEvictions.save. */
  async save(name: string, signal: AbortSignal): Promise<void> {
    const result = await this.#saving(name).join(signal);
    if (result !== "Saved")
      throw new HygeiaError("ReportNotWritten", `the report of policy ${name} can not be written`);
  }

  async #reconcile(name: string, { signal }: ReconcileContext): Promise<Result> {
    const result = await this.#saving(name).join(signal);
    if (result === "NotInForce") return undefined;
    if (result === "NotYet") return { requeueAfterMs: DEBOUNCE_MS };
    const { reviewedAt } = this.#written.get(name) ?? { reviewedAt: Number.NEGATIVE_INFINITY };
    return { requeueAfterMs: Math.max(1, reviewedAt + REVIEW_EVERY_MS - this.#parts.clock.monotonic()) };
  }

  /** One write at a time for each report, so that none overtakes a newer one; many callers share one. */
  #saving(name: string): NextBatch<"Saved" | "NotYet" | "NotInForce"> {
    let saving = this.#savings.get(name);
    if (saving === undefined) this.#savings.set(name, (saving = new NextBatch(() => this.#saveNow(name))));
    return saving;
  }

  async #saveNow(name: string): Promise<"Saved" | "NotYet" | "NotInForce"> {
    const { policies, summary, clock } = this.#parts;
    using deadline = new Deadline(clock, SAVE_DEADLINE_MS, "the write of a report", this.#term);
    const { signal } = deadline;
    const policy = policies.get(name);
    if (policy === undefined) {
      // Its report goes with it, by its owner reference; one that is only not accepted keeps what it has.
      if (policies.object(name) === undefined) for (const map of [this.#written, this.#savings]) map.delete(name);
      return "NotInForce";
    }
    const quarantines = summary.quarantines(name);
    if (quarantines === undefined) return "NotYet";
    const report = await this.#reviewed(policy, signal);
    const status = buildReport({
      policy: name,
      counts: summary.counts(name),
      findings: summary.findings(name, MAX_FINDINGS),
      evictions: summary.evictions(name),
      quarantines,
      earlier: report.earlier,
      ...this.#podsOf(policy, report),
    });
    if (!sameContent(report.status, status)) {
      if (!(await this.#write(name, status, signal))) {
        report.reviewedAt = Number.NEGATIVE_INFINITY;
        return "NotYet";
      }
      report.status = status;
    }
    return "Saved";
  }

  #podsOf(
    { name, generation, podPolicy }: CompiledPolicy,
    { status }: Written,
  ): Pick<ReportFacts, "pods" | "podsBefore" | "obstacles"> {
    if (podPolicy === undefined) return {};
    const known = this.#parts.pods.of(name);
    const isJudged = known?.generation === generation && known.compliance.unknown === 0;
    if (!isJudged) return { podsBefore: status };
    return { pods: known.compliance, obstacles: this.#parts.rollouts?.of(name)?.obstacles };
  }

  /** Makes sure that the report exists and is the policy's; knows afterwards what it says. @throws KubeError */
  async #reviewed({ name, uid }: CompiledPolicy, signal: AbortSignal): Promise<Written> {
    const { transport, clock } = this.#parts;
    const known = this.#written.get(name);
    const now = clock.monotonic();
    if (known?.uid === uid && now - known.reviewedAt < REVIEW_EVERY_MS) return known;
    const result = await applyObject(transport, {
      ...this.#request(name, signal),
      object: {
        apiVersion: API_VERSION,
        kind: "RegistrationReport",
        metadata: {
          name,
          ownerReferences: [{ apiVersion: API_VERSION, kind: "RegistrationPolicy", name, uid, controller: true }],
        },
      },
    });
    const object = (result.outcome === "Applied" ? result.object : {}) as Partial<RegistrationReport>;
    // What is remembered of roll-outs is written by them.
    const status = object.status && withoutRollouts(object.status);
    const earlier = known?.uid === uid ? known.earlier : (status?.evictions ?? []);
    const report = { uid, earlier, status, reviewedAt: now };
    this.#written.set(name, report);
    return report;
  }

  /** @returns false when somebody has removed the report */
  async #write(name: string, status: RegistrationReportStatus, signal: AbortSignal): Promise<boolean> {
    try {
      const identity = { apiVersion: API_VERSION, kind: "RegistrationReport", name };
      await applyStatus(this.#parts.transport, { ...this.#request(name, signal), ...identity, status });
      return true;
    } catch (error) {
      if (error instanceof KubeError && error.isNotFound) return false;
      throw error;
    }
  }

  #request(name: string, signal: AbortSignal) {
    return {
      path: `/apis/${GROUP}/${VERSION}/${PLURALS.RegistrationReport}/${encodeURIComponent(name)}`,
      fieldManager: STATUS_FIELD_MANAGER,
      force: true,
      deadlineMs: WRITE_DEADLINE_MS,
      signal,
    };
  }
}

function withoutRollouts(status: RegistrationReportStatus): RegistrationReportStatus {
  const own = { ...status };
  delete own.rollouts;
  return own;
}
