import type { Clock } from "../../clock/clock.ts";
import type { Priority } from "../../kube/workqueue.ts";
import type { InstanceRecord } from "../../registry/port.ts";
import type { ManagedRegistry, RegistrySet } from "../types.ts";
import { type InstanceStates, isBlind, type KnownVerdict } from "./instance-states.ts";
import { evidenceToActOn, type Judge, type Judged } from "./judge.ts";
import { keyOf, parseKey } from "./keys.ts";

/** Records judged before everything else gets a turn: a few milliseconds. */
const SLICE = 250;

export interface SweepParts {
  readonly judge: Pick<Judge, "judge">;
  readonly states: Pick<InstanceStates, "get" | "keys" | "setUnmanaged">;
  readonly registries: RegistrySet;
  readonly clock: Clock;
  /** Receives each key whose record needs more than a look: an action, a reading, a line in the log, its end. */
  readonly hand: (key: string, priority?: Priority) => void;
  /** Whether the record is out of rotation by us; it is to be put back when somebody lives there. */
  readonly isOurs: (registry: ManagedRegistry, record: InstanceRecord) => boolean;
  /** Receives every other judgement: as it was, or true of so many that nobody needs to hear of each. */
  readonly keep: (key: string, judged: Judged) => void;
}

/**
 * One level-triggered pass over every record: judges each, keeps what is uneventful, and hands on what is not. It is
 * what finds a zombie whose event was lost, and the only thing that judges after a start.
 * @throws the signal's reason when it aborts
 */
export async function sweep(parts: SweepParts, signal: AbortSignal): Promise<void> {
  const { states, registries, clock, hand } = parts;
  let left = SLICE;
  const breathe = async (): Promise<void> => {
    left = SLICE;
    await clock.sleep(0, signal);
  };
  for (const registry of registries.values()) {
    let unmanaged = 0;
    for (const record of registry.view.values()) {
      if (!look(registry, record, parts)) unmanaged++;
      if (--left <= 0) await breathe();
    }
    states.setUnmanaged(registry.name, unmanaged);
  }
  for (const key of states.keys()) {
    const { registry, id } = parseKey(key);
    if (registries.get(registry)?.view.get(id) === undefined) hand(key);
    if (--left <= 0) await breathe();
  }
}

/** @returns false when no policy is in charge of the record */
function look(
  registry: ManagedRegistry,
  record: InstanceRecord,
  { judge, states, hand, isOurs, keep }: SweepParts,
): boolean {
  const key = keyOf(registry.name, record.id);
  const before = states.get(key);
  let judged: Judged | undefined;
  try {
    judged = judge.judge(registry, record);
  } catch {
    // The reconciler will fail as well, and say so; the others are judged all the same.
    hand(key);
    return true;
  }
  if (judged === undefined) {
    if (record.quarantined && isOurs(registry, record)) hand(key, "Urgent");
    else if (before !== undefined) hand(key);
    return false;
  }
  if (record.quarantined && judged.judgement.verdict.kind === "Live" && isOurs(registry, record)) {
    hand(key, "Urgent");
  } else if (isUneventful(judged, before)) keep(key, judged);
  else hand(key);
  return true;
}

function isUneventful(judged: Judged, before: KnownVerdict | undefined): boolean {
  const { verdict } = judged.judgement;
  const { kind, reason, reviewAfterMs, needsLifeReading, needsCompleteList } = verdict;
  if (reviewAfterMs !== undefined || needsLifeReading || needsCompleteList) return false;
  if (evidenceToActOn(judged) !== undefined) return false;
  if (isBlind(verdict)) return true;
  if (before === undefined) return kind === "Live";
  if (kind === "Live") return before.kind === "Live" || isBlind(before);
  return before.kind === kind && before.reason === reason && before.policy === judged.policy.name;
}
