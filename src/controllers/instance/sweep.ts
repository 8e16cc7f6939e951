import type { Clock } from "../../clock/clock.ts";
import type { InstanceStates } from "./instance-states.ts";
import type { Judge, Judged } from "./judge.ts";
import { keyOf, parseKey } from "./keys.ts";
import type { RegistrySet } from "../types.ts";

/** Records judged before everything else gets a turn: a few milliseconds. */
const SLICE = 250;

/**
 * One level-triggered pass over every record: judges each, keeps what is uneventful, and hands on what is not. It is
 * what finds a zombie whose event was lost, and the only thing that judges after a start.
 *
 * @param hand receives each key whose record needs more than a look: an action, a reading, or a new entry in a report
 * @throws the signal's reason when it aborts
 */
export async function sweep(
  parts: { judge: Judge; states: InstanceStates; registries: RegistrySet; clock: Clock },
  hand: (key: string) => void,
  keep: (key: string, judged: Judged) => void,
  signal: AbortSignal,
): Promise<void> {
  const { judge, states, registries, clock } = parts;
  let left = SLICE;
  const breathe = async (): Promise<void> => {
    left -= 1;
    if (left > 0) return;
    left = SLICE;
    await clock.sleep(0, signal);
  };
  for (const registry of registries.values()) {
    for (const record of registry.view.values()) {
      const key = keyOf(record.registry, record.id);
      const judged = judge.judge(registry, record);
      if (judged?.judgement.verdict.kind === "Live") keep(key, judged);
      else if (judged !== undefined || states.kind(key) !== undefined) hand(key);
      await breathe();
    }
  }
  for (const key of states.keys()) {
    const { registry, id } = parseKey(key);
    if (registries.get(registry)?.view.get(id) === undefined) hand(key);
    await breathe();
  }
}
