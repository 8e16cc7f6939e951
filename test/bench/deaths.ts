import { setTimeout as delay } from "node:timers/promises";

import { eventually } from "../support/operator-wait.ts";
import { kratos, Registrant } from "../support/registrants/index.ts";
import { type Distribution, distributionOf } from "./statistics.ts";
import type { BenchInstance, World } from "./world.ts";

/** What a run of deaths showed. */
export interface DeathFigures {
  readonly deaths: number;
  /** Deaths a second that were really reached. */
  readonly rate: number;
  /** From the API server's commit of the death to the registry's commit of the eviction, milliseconds. */
  readonly eviction: Distribution;
  /** From the same commits to the end of a lease of 15 s that the same processes held, milliseconds. */
  readonly lease: Distribution;
}

/** Registrations left to their lease: as many as give a fair picture without loading the machine. */
const LEASE_SAMPLES = 200;
const LEASE_SECONDS = 15;
/** Under a prefix that no layout of the Registry names: nobody evicts these. */
const UNMANAGED = "/left-to-its-lease";

/** Lets pods die at a steady rate, each confirmed as by its kubelet, and times both ends of each death. */
export async function runDeaths(world: World, rate: number, deaths: number): Promise<DeathFigures> {
  const victims = world.take(deaths);
  const leased = await registerUnmanaged(world, victims.slice(0, LEASE_SAMPLES));
  await world.observe();

  const startedAt = performance.now();
  const pending: Promise<void>[] = [];
  for (const [i, { pod, key }] of victims.entries()) {
    const wait = startedAt + (i * 1000) / rate - performance.now();
    if (wait > 0) await delay(wait);
    leased.get(key)?.crash();
    pending.push(world.cluster.confirmDeath(pod));
  }
  await Promise.all(pending);
  const reached = deaths / ((performance.now() - startedAt) / 1000);

  const podWrites = new Map<string, number>();
  const departures = new Map<string, number>();
  const awaited = [...victims.map(({ key }) => key), ...Array.from(leased.values(), ({ key }) => key)];
  await eventually(
    "every entry of a dead pod has left the registry",
    async () => {
      const seen = await world.observe();
      for (const [pod, at] of seen.podWrites) if (!podWrites.has(pod)) podWrites.set(pod, at);
      for (const [key, at] of seen.departures) if (!departures.has(key)) departures.set(key, at);
      return awaited.every((key) => departures.has(key));
    },
    (2 * LEASE_SECONDS + 30) * 1000,
  );
  await world.cluster.each(victims, ({ pod }) => world.cluster.removePod(pod));

  const lifeOf = ({ pod }: BenchInstance, key: string): number =>
    (departures.get(key) ?? NaN) - (podWrites.get(`${pod.namespace}/${pod.name}`) ?? NaN);
  return {
    deaths,
    rate: reached,
    eviction: distributionOf(victims.map((victim) => lifeOf(victim, victim.key))),
    lease: distributionOf(
      victims.flatMap((victim) => {
        const registrant = leased.get(victim.key);
        return registrant === undefined ? [] : [lifeOf(victim, registrant.key)];
      }),
    ),
  };
}

/** The same processes register a second time, with a lease that they keep alive until they die. */
async function registerUnmanaged(
  world: World,
  victims: readonly BenchInstance[],
): Promise<ReadonlyMap<string, Registrant>> {
  const registrants = await world.cluster.each(victims, async ({ pod, key }) => {
    const layout = kratos({ service: "baseline", host: pod.address, port: 9000, namespace: UNMANAGED });
    return [key, await Registrant.register(world.session, layout, { ttl: LEASE_SECONDS })] as const;
  });
  return new Map(registrants);
}
