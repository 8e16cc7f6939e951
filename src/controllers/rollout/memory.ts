import { API_VERSION, GROUP, PLURALS, VERSION } from "../../api/v1alpha1/index.ts";
import type { RegistrationReport, RegistrationReportRollout } from "../../api/v1alpha1/index.ts";
import { secondTime } from "../../clock/format.ts";
import { HygeiaError } from "../../errors.ts";
import { applyStatus, sameContent } from "../../kube/apply.ts";
import { KubeError } from "../../kube/http-errors.ts";
import type { KubeTransport } from "../../kube/transport.ts";
import type { RolloutEntry } from "../../rollout/types.ts";
import type { CompiledPolicy } from "../types.ts";
import { cut } from "../report/cut.ts";

/** Owns `status.rollouts` of reports, beside the owner of the rest. */
const FIELD_MANAGER = "hygeia-rollout";
const DEADLINE_MS = 10_000;
const LONGEST_MESSAGE = 512;
const MOST_ATTEMPTS = 5;

/**
 * What was begun for a policy, kept in its report, so that no workload is begun twice whoever leads. It is written before
 * anything is done to a workload.
 */
export class RolloutMemory {
  readonly #transport: Pick<KubeTransport, "request">;
  readonly #policy: Pick<CompiledPolicy, "name" | "uid">;
  #entries: readonly RolloutEntry[];

  private constructor(
    transport: Pick<KubeTransport, "request">,
    policy: Pick<CompiledPolicy, "name" | "uid">,
    entries: readonly RolloutEntry[],
  ) {
    this.#transport = transport;
    this.#policy = policy;
    this.#entries = entries;
  }

  /** @returns undefined while the policy has no report. @throws KubeError */
  static async load(
    transport: Pick<KubeTransport, "request">,
    policy: Pick<CompiledPolicy, "name" | "uid">,
    signal: AbortSignal,
  ): Promise<RolloutMemory | undefined> {
    const report = await findReport(transport, policy, signal);
    return report && new RolloutMemory(transport, policy, (report.status?.rollouts ?? []).map(read));
  }

  get entries(): readonly RolloutEntry[] {
    return this.#entries;
  }

  /**
   * Remembers these from now on, once the API server has them. Nothing is written over what somebody else wrote: another
   * replica may lead by now.
   * @throws KubeError, HygeiaError `RolloutsChanged` when this is to be loaded anew
   */
  async save(entries: readonly RolloutEntry[], signal: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const report = await findReport(this.#transport, this.#policy, signal);
      const { rollouts } = report?.status ?? {};
      // A report that was deleted and made anew remembers nothing, and we still do.
      const isOurs = rollouts === undefined || sameContent(rollouts, this.#entries.map(written));
      if (report === undefined || !isOurs) {
        throw new HygeiaError(
          "RolloutsChanged",
          `status.rollouts of report ${this.#policy.name} is not as it was left`,
        );
      }
      try {
        await this.#write(entries, report.metadata.resourceVersion, signal);
        break;
      } catch (error) {
        // The rest of the report is written all the time.
        if (!(error instanceof KubeError && error.isConflict) || attempt === MOST_ATTEMPTS) throw error;
      }
    }
    this.#entries = entries;
  }

  async #write(entries: readonly RolloutEntry[], resourceVersion: string, signal: AbortSignal): Promise<void> {
    const { name } = this.#policy;
    await applyStatus(this.#transport, {
      path: pathOf(name),
      apiVersion: API_VERSION,
      kind: "RegistrationReport",
      name,
      resourceVersion,
      fieldManager: FIELD_MANAGER,
      force: true,
      status: { rollouts: entries.map(written) },
      deadlineMs: DEADLINE_MS,
      signal,
    });
  }
}

/** Undefined where there is none; one of an earlier policy by that name is on its way out. @throws KubeError */
async function findReport(
  transport: Pick<KubeTransport, "request">,
  { name, uid }: Pick<CompiledPolicy, "name" | "uid">,
  signal: AbortSignal,
): Promise<RegistrationReport | undefined> {
  try {
    const { body } = await transport.request({ method: "GET", path: pathOf(name), deadlineMs: DEADLINE_MS, signal });
    const report = body as RegistrationReport;
    const isOfPolicy = report.metadata.ownerReferences?.some((owner) => owner.uid === uid) === true;
    return isOfPolicy ? report : undefined;
  } catch (error) {
    if (error instanceof KubeError && error.isNotFound) return undefined;
    throw error;
  }
}

function pathOf(name: string): string {
  return `/apis/${GROUP}/${VERSION}/${PLURALS.RegistrationReport}/${encodeURIComponent(name)}`;
}

function read({
  workloadGeneration = 0,
  strategy = "Template",
  startedAt,
  message,
  ...entry
}: RegistrationReportRollout) {
  return { ...entry, strategy, workloadGeneration, startedAt: new Date(startedAt), message };
}

function written({ startedAt, message, ...entry }: RolloutEntry): RegistrationReportRollout {
  return {
    ...entry,
    startedAt: secondTime(startedAt),
    ...(message === undefined ? {} : { message: cut(message, LONGEST_MESSAGE) }),
  };
}
