import { setTimeout as delay } from "node:timers/promises";

import { eventually } from "../support/operator-wait.ts";
import type { Forgetting, RegistrationKind } from "./registry.ts";
import { type Distribution, distributionOf } from "./statistics.ts";
import type { BenchInstance, World } from "./world.ts";

/** What a run of deaths of one kind of registration showed. */
export interface DeathFigures {
  readonly kind: string;
  readonly deaths: number;
  /** Deaths a second that were really reached. */
  readonly rate: number;
  /** From the API server's commit of the death to the entry's departure, milliseconds. */
  readonly eviction: Distribution;
  /** Deaths whose entry was still there when the wait for it ended: they are not in `eviction`. */
  readonly notEvicted: number;
  /** What the same processes held besides, left to the registry alone. */
  readonly forgetting: ForgettingFigures | undefined;
  /** Requests of the operator to the registry for each of the deaths, over what it sends when nothing happens. */
  readonly requests: number;
  /** What the operator spent of each eviction, milliseconds on average. */
  readonly steps: StepFigures;
}

export interface StepFigures {
  /** The last look at pods and registry. */
  readonly confirm: number;
  /** Until the registry acknowledged the write. */
  readonly write: number;
}

export interface ForgettingFigures {
  readonly rule: string;
  /** From the same commits to the departure of what nobody evicts, milliseconds. */
  readonly life: Distribution;
  /** How many were still there in the end, and how long after the first death that was, milliseconds. */
  readonly stayed: number;
  readonly watchedMs: number;
}

/** For what leaves by eviction, after the last death; what has not left by then is counted and left out. */
const EVICTION_LIMIT_MS = 120_000;

/** Lets pods die at a steady rate, each confirmed as by its kubelet, and times both ends of each death. */
export async function runDeaths(
  world: World,
  kind: RegistrationKind,
  rate: number,
  count: number,
): Promise<Omit<DeathFigures, "requests" | "steps">> {
  const victims = world.take(kind, count);
  const { forgetting } = kind;
  const left =
    forgetting === undefined
      ? new Map<string, Leaving>()
      : await leave(world, forgetting, victims.slice(0, forgetting.samples));
  await world.observe();

  const startedAt = performance.now();
  const pending: Promise<void>[] = [];
  for (const [i, { pod, id }] of victims.entries()) {
    const wait = startedAt + (i * 1000) / rate - performance.now();
    if (wait > 0) await delay(wait);
    left.get(id)?.crash();
    kind.crash?.(id);
    pending.push(world.cluster.confirmDeath(pod));
  }
  await Promise.all(pending);
  const reached = victims.length / ((performance.now() - startedAt) / 1000);

  const podWrites = new Map<string, number>();
  const departures = new Map<string, number>();
  const look = async (): Promise<void> => {
    const seen = await world.observe();
    for (const [pod, at] of seen.podWrites) if (!podWrites.has(pod)) podWrites.set(pod, at);
    for (const [id, at] of seen.departures) if (!departures.has(id)) departures.set(id, at);
  };
  const leftAll = async (ids: readonly string[]): Promise<boolean> => {
    await look();
    return ids.every((id) => departures.has(id));
  };
  const ids = victims.map(({ id }) => id);
  await eventually("every dead pod's entry is evicted", () => leftAll(ids), EVICTION_LIMIT_MS).catch(() => undefined);
  const evicted = victims.filter(({ id }) => departures.has(id));
  const forgotten = Array.from(left.values(), ({ id }) => id);
  if (forgetting !== undefined) {
    const waited = eventually("the registry has forgotten the others", () => leftAll(forgotten), forgetting.limitMs);
    await (forgetting.mayStay === true ? waited.catch(() => undefined) : waited);
  }
  const watchedMs = performance.now() - startedAt;
  await world.cluster.each(victims, ({ pod }) => world.cluster.removePod(pod));

  const lifeOf = ({ pod }: BenchInstance, id: string): number =>
    (departures.get(id) ?? NaN) - (podWrites.get(`${pod.namespace}/${pod.name}`) ?? NaN);
  return {
    kind: kind.name,
    deaths: victims.length,
    rate: reached,
    eviction: distributionOf(evicted.map((victim) => lifeOf(victim, victim.id))),
    notEvicted: victims.length - evicted.length,
    forgetting: forgetting && {
      rule: forgetting.rule,
      life: distributionOf(
        victims.flatMap((victim) => {
          const leaving = left.get(victim.id);
          return leaving === undefined || !departures.has(leaving.id) ? [] : [lifeOf(victim, leaving.id)];
        }),
      ),
      stayed: forgotten.filter((id) => !departures.has(id)).length,
      watchedMs,
    },
  };
}

type Leaving = Awaited<ReturnType<Forgetting["register"]>>;

async function leave(
  world: World,
  forgetting: Forgetting,
  victims: readonly BenchInstance[],
): Promise<ReadonlyMap<string, Leaving>> {
  return new Map(
    await world.cluster.each(victims, async ({ pod, id }) => [id, await forgetting.register(pod)] as const),
  );
}
