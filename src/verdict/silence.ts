import type { InstanceRecord } from "../registry/port.ts";
import type { EndpointFacts, Facts } from "./facts.ts";
import type { LifeMemory } from "./types.ts";

/** Earliest a verdict is looked at again only because time passes, milliseconds. */
const SOONEST_REVIEW_MS = 1_000;

/** How old the last reading may be, milliseconds: who was silent then may have beaten since. As long as a confirm read. */
const VALID_MS = 5_000;

/** Whether the registry has heard nothing for long enough, and if not, what it takes to know. */
export interface Silence {
  readonly proven: boolean;
  /** A reading can say more now than the last one did. */
  readonly needsReading: boolean;
  /** Local monotonic milliseconds before which it can not be proven. */
  readonly dueAt: number;
}

/** The registry forgets the record by itself unless somebody refreshes it. */
export function isLeased(facts: Facts): boolean {
  return facts.record.ttlMs > 0;
}

/** The registry can say whether the registrant is silent. */
export function canBeSilent(record: InstanceRecord): boolean {
  return record.ttlMs > 0 || record.isHeard === true;
}

/**
 * What the registry must say too where it never forgets by itself but hears the registrant; undefined when it can not tell.
 * It only adds to what is known of pods and nodes: a newborn that registers the same at Consul's agent once more is not
 * heard before its first heartbeat.
 */
export function heardSilence(facts: Facts, watchedMs: number): Silence | undefined {
  return facts.record.isHeard === true && !isLeased(facts) ? silence(facts, watchedMs) : undefined;
}

/** How long the registry must be silent before a death that no kubelet confirmed is believed, milliseconds. */
export function silentForMs({ record, rules }: Facts): number {
  if (rules.silentForMs > 0) return rules.silentForMs;
  return record.ttlMs > 0 ? 2 * record.ttlMs : rules.absentForMs;
}

/**
 * Two readings at least, `watchedMs` apart, and no refresh in between. Clients refresh at a third of the TTL: up to two
 * thirds a missing refresh is one that is late, whatever the policy says.
 */
export function silence(facts: Facts, watchedMs: number): Silence {
  const life = lifeOf(facts);
  if (life === undefined) return { proven: false, needsReading: true, dueAt: facts.now + watchedMs };
  const ttlMs = Math.max(life.grantedMs, facts.record.ttlMs);
  const { firstAt, lastAt, refreshedBefore, readings } = life;
  if (refreshedBefore === Infinity) {
    const dueAt = firstAt + watchedMs;
    return { proven: false, needsReading: facts.now >= dueAt, dueAt };
  }
  const silentMs = Math.max(watchedMs, (2 * ttlMs) / 3);
  const dueAt = Math.max(firstAt + watchedMs, refreshedBefore + silentMs);
  const proven = readings >= 2 && lastAt >= dueAt && facts.now - lastAt <= VALID_MS;
  return { proven, needsReading: !proven && facts.now >= dueAt, dueAt };
}

/** The latest sign of life after the endpoint's last pod died or left, local monotonic milliseconds. */
export function lastSign(facts: Facts, endpoint: EndpointFacts): { at: number; by: "Write" | "Lease" } | undefined {
  const leftAt = endpoint.tombstones[0]?.seenAt ?? facts.memory.suspectSince;
  if (leftAt === undefined) return undefined;
  const life = lifeOf(facts);
  const refreshed = life !== undefined && life.refreshedAfter >= leftAt ? life.refreshedBefore : -Infinity;
  const { touchedAfter } = facts.record;
  const written = touchedAfter >= leftAt ? touchedAfter : -Infinity;
  if (refreshed === -Infinity && written === -Infinity) return undefined;
  return refreshed >= written ? { at: refreshed, by: "Lease" } : { at: written, by: "Write" };
}

/** A sign of life younger than what counts as silence. */
export function recentSign(facts: Facts, endpoint: EndpointFacts): ReturnType<typeof lastSign> {
  const sign = lastSign(facts, endpoint);
  return sign !== undefined && facts.now - sign.at < silentForMs(facts) ? sign : undefined;
}

/** Milliseconds from now until `at`, at least a second. */
export function reviewIn(facts: Facts, at: number): number {
  return Math.max(SOONEST_REVIEW_MS, Math.ceil(at - facts.now));
}

/** Readings of another lease than the record's present one say nothing about its present writer. */
function lifeOf({ memory, record }: Facts): LifeMemory | undefined {
  return memory.life !== undefined && memory.life.firstAt >= record.seenAt ? memory.life : undefined;
}
