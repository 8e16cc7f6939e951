import { API_VERSION, GROUP, PLURALS, VERSION } from "../../api/v1alpha1/index.ts";
import type { RegistrationReport, RegistrationReportRollout } from "../../api/v1alpha1/index.ts";
import { secondTime } from "../../clock/format.ts";
import { applyStatus } from "../../kube/apply.ts";
import { KubeError } from "../../kube/http-errors.ts";
import type { KubeTransport } from "../../kube/transport.ts";
import type { RolloutEntry } from "../../rollout/types.ts";
import type { CompiledPolicy } from "../types.ts";
import { cut } from "../report/cut.ts";

/** Owns `status.rollouts` of reports, beside the owner of the rest. */
const FIELD_MANAGER = "hygeia-rollout";
const DEADLINE_MS = 10_000;
const LONGEST_MESSAGE = 256;

/**
 * What was begun for a policy, kept in its report, so that no workload is begun twice whoever leads. It is written before
 * anything is done to a workload.
 */
export class RolloutMemory {
  readonly #transport: Pick<KubeTransport, "request">;
  readonly #name: string;
  #entries: readonly RolloutEntry[];

  private constructor(transport: Pick<KubeTransport, "request">, name: string, entries: readonly RolloutEntry[]) {
    this.#transport = transport;
    this.#name = name;
    this.#entries = entries;
  }

  /** @returns undefined while the policy has no report. @throws KubeError */
  static async load(
    transport: Pick<KubeTransport, "request">,
    { name, uid }: CompiledPolicy,
    signal: AbortSignal,
  ): Promise<RolloutMemory | undefined> {
    let report: Partial<RegistrationReport>;
    try {
      const { body } = await transport.request({ method: "GET", path: pathOf(name), deadlineMs: DEADLINE_MS, signal });
      report = body as Partial<RegistrationReport>;
    } catch (error) {
      if (error instanceof KubeError && error.isNotFound) return undefined;
      throw error;
    }
    // One of an earlier policy by that name is on its way out.
    if (report.metadata?.ownerReferences?.some((owner) => owner.uid === uid) !== true) return undefined;
    return new RolloutMemory(transport, name, (report.status?.rollouts ?? []).map(read));
  }

  get entries(): readonly RolloutEntry[] {
    return this.#entries;
  }

  /** Remembers these from now on, once the API server has them. @throws KubeError */
  async save(entries: readonly RolloutEntry[], signal: AbortSignal): Promise<void> {
    await applyStatus(this.#transport, {
      path: pathOf(this.#name),
      apiVersion: API_VERSION,
      kind: "RegistrationReport",
      name: this.#name,
      fieldManager: FIELD_MANAGER,
      force: true,
      status: { rollouts: entries.map(written) },
      deadlineMs: DEADLINE_MS,
      signal,
    });
    this.#entries = entries;
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
