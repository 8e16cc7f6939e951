import { API_VERSION, GROUP, PLURALS, VERSION } from "../../api/v1alpha1/index.ts";
import type { Clock } from "../../clock/clock.ts";
import { applyStatus, sameContent } from "../../kube/apply.ts";
import { setConditions, type Condition } from "../../kube/conditions.ts";
import { KubeError } from "../../kube/http-errors.ts";
import type { KubeTransport } from "../../kube/transport.ts";
import { conditionStatus, type ConditionTable, type ConditionText } from "./conditions.ts";

/** Owns every field of our kinds' statuses. */
export const STATUS_FIELD_MANAGER = "hygeia-status";

/** The object a status belongs to, as it was last seen. */
export interface StatusTarget {
  readonly name: string;
  readonly resourceVersion: string;
  readonly generation: number;
  readonly status: object | undefined;
}

/** Longest message the schemas take. */
const LONGEST_MESSAGE = 4_096;
/** A message alone (which names another endpoint, or other figures) is not worth a write more often than this. */
const MESSAGE_EVERY_MS = 30_000;
const WRITE_DEADLINE_MS = 10_000;

/** Writes the statuses of one kind, by server-side apply, when they differ from what the object says. */
export class StatusWriter {
  readonly #kind: keyof typeof PLURALS;
  readonly #table: ConditionTable;
  readonly #transport: Pick<KubeTransport, "request">;
  readonly #clock: Clock;
  /** By name: monotonic time of the last write. */
  readonly #writtenAt = new Map<string, number>();

  constructor(
    kind: keyof typeof PLURALS,
    table: ConditionTable,
    parts: { readonly transport: Pick<KubeTransport, "request">; readonly clock: Clock },
  ) {
    this.#kind = kind;
    this.#table = table;
    this.#transport = parts.transport;
    this.#clock = parts.clock;
  }

  /**
   * @param figures everything in the status but conditions and generation; an absent field is removed
   * @returns `Outdated` when the object is not what `target` says any more (the watch will tell, or it is gone); `Later`
   * when the difference can wait, and the call is to be repeated after a while
   * @throws KubeError
   */
  async write(
    target: StatusTarget,
    figures: object,
    texts: readonly ConditionText[],
    signal: AbortSignal,
  ): Promise<"Written" | "Unchanged" | "Later" | "Outdated"> {
    const { name, resourceVersion, generation } = target;
    const before = target.status as { readonly conditions?: readonly Condition[] } | undefined;
    const updates = texts.map(({ type, reason, message }) => ({
      type,
      status: conditionStatus(this.#table, type, reason),
      observedGeneration: generation,
      reason,
      message: message.slice(0, LONGEST_MESSAGE),
    }));
    const known = before?.conditions?.filter(({ type }) => updates.some((update) => update.type === type));
    const conditions = setConditions(known, updates, this.#clock.wall());
    const status = { observedGeneration: generation, ...figures, conditions };
    if (sameContent(before, status)) return "Unchanged";
    const now = this.#clock.monotonic();
    const isRecent = now - (this.#writtenAt.get(name) ?? Number.NEGATIVE_INFINITY) < MESSAGE_EVERY_MS;
    if (isRecent && sameContent(withoutMessages(before), withoutMessages(status))) return "Later";
    try {
      await applyStatus(this.#transport, {
        path: `/apis/${GROUP}/${VERSION}/${PLURALS[this.#kind]}/${encodeURIComponent(name)}`,
        apiVersion: API_VERSION,
        kind: this.#kind,
        name,
        resourceVersion,
        fieldManager: STATUS_FIELD_MANAGER,
        force: true,
        status,
        deadlineMs: WRITE_DEADLINE_MS,
        signal,
      });
    } catch (error) {
      if (error instanceof KubeError && (error.isNotFound || error.isConflict)) return "Outdated";
      throw error;
    }
    this.#writtenAt.set(name, now);
    return "Written";
  }

  /** The object is gone: forgets it. */
  forget(name: string): void {
    this.#writtenAt.delete(name);
  }
}

function withoutMessages(status: { readonly conditions?: readonly Condition[] } | undefined): object | undefined {
  return status && { ...status, conditions: status.conditions?.map((condition) => ({ ...condition, message: "" })) };
}
