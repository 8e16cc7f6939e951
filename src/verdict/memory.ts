import type { InstanceRecord, LifeReading } from "../registry/port.ts";
import type { Facts } from "./facts.ts";
import type { Reason } from "./reasons.ts";
import type { InstanceMemory, LifeMemory, RememberedDeath, Verdict } from "./types.ts";

/** What is known of a record that was never judged. */
export const noMemory: InstanceMemory = {
  suspectSince: undefined,
  listsAtSuspect: 0,
  unconfirmed: [],
  life: undefined,
  resurrected: false,
};

/** Readings are given in whole seconds, rounded down: the true value lies up to this far above, milliseconds. */
const ROUNDING_MS = 1_000;

/** Reasons for Unknown that do not speak of a living owner: the absence goes on. */
const ownerless: ReadonlySet<string> = new Set<Reason>(["NodeUnreachable", "NobodyCanTell"]);

/** What is remembered after a judgement. Absence goes on only while every judgement finds no living owner. */
export function afterJudgement(facts: Facts, verdict: Verdict): InstanceMemory {
  const { memory, now, completeLists } = facts;
  const unconfirmed = unconfirmedOf(facts, hasOwner(verdict));
  // The usual case: a sweep over what lives makes nothing new to remember.
  if (isBlank(memory) && unconfirmed.length === 0 && !isAbsent(verdict)) return memory;
  if (!isAbsent(verdict)) return { ...memory, suspectSince: undefined, listsAtSuspect: 0, unconfirmed };
  if (memory.suspectSince !== undefined) return { ...memory, unconfirmed };
  return { ...memory, suspectSince: now, listsAtSuspect: completeLists, unconfirmed };
}

/**
 * Takes in a reading of the registry's life signs.
 * @param record as it is listed when the reading has come; a reading that began before that was seen is not about it
 * @param now local monotonic milliseconds
 */
export function afterLifeReading(
  memory: InstanceMemory,
  record: InstanceRecord,
  reading: LifeReading,
  now: number,
): InstanceMemory {
  if (reading.kind === "None") return { ...memory, life: cannotTell(now) };
  if (reading.startedAt < record.seenAt) return memory;
  const before = memory.life;
  const lease = reading.kind === "Lease" ? reading.lease : reading.source;
  const continues = before?.lease === lease && before.firstAt >= record.seenAt && before.lastAt <= reading.startedAt;
  const life: LifeMemory = {
    lease,
    readings: continues ? before.readings + 1 : 1,
    firstAt: continues ? before.firstAt : reading.startedAt,
    lastAt: reading.startedAt,
    grantedMs: reading.grantedMs,
    ...lastRefresh(reading),
  };
  return { ...memory, life };
}

/** When the registrant was last heard of, as far as one reading tells. */
function lastRefresh(
  reading: Exclude<LifeReading, { kind: "None" }>,
): Pick<LifeMemory, "refreshedAfter" | "refreshedBefore"> {
  const { startedAt, endedAt, grantedMs } = reading;
  if (reading.kind === "Lease") {
    // The remaining time falls as time passes and jumps to the granted time with a refresh. So one reading tells when
    // the last refresh was: readings close to each other can not hide one between them.
    const ageMs = grantedMs - reading.remainingMs;
    return { refreshedAfter: startedAt - ageMs, refreshedBefore: endedAt - ageMs + ROUNDING_MS };
  }
  if (reading.silentSince !== undefined) return { refreshedAfter: -Infinity, refreshedBefore: reading.silentSince };
  // Not missed yet: as long ago as the registry waits, or as anything where it does not tell how long that is.
  return { refreshedAfter: grantedMs > 0 ? startedAt - grantedMs : -Infinity, refreshedBefore: endedAt };
}

/** We removed the record and somebody registered it again. It stays so while the record is listed. */
export function afterComeback(memory: InstanceMemory): InstanceMemory {
  return { ...memory, resurrected: true };
}

/** Nothing proven, and worth asking again later. */
function cannotTell(now: number): LifeMemory {
  return {
    lease: "",
    readings: 0,
    firstAt: now,
    lastAt: now,
    grantedMs: 0,
    refreshedAfter: -Infinity,
    refreshedBefore: Infinity,
  };
}

function isBlank({ suspectSince, listsAtSuspect, unconfirmed }: InstanceMemory): boolean {
  return suspectSince === undefined && listsAtSuspect === 0 && unconfirmed.length === 0;
}

function hasOwner({ kind }: Verdict): boolean {
  return kind === "Live" || kind === "Draining";
}

function isAbsent({ kind, reason }: Verdict): boolean {
  if (kind === "Unknown") return ownerless.has(reason);
  return kind === "Suspect" || kind === "Zombie" || kind === "Contested";
}

/**
 * Those remembered from before are among the writers that were gathered, so none is lost here. A living owner ends what is
 * remembered at a pod's address, which nobody else has while a process runs there. A name or a node's port a successor takes
 * over while the old process may run on: without an exact guard the record does not show which of them wrote it last.
 */
function unconfirmedOf(facts: Facts, isOwned: boolean): readonly RememberedDeath[] {
  const found = new Map<string, RememberedDeath>();
  for (const { endpoint, kind, writers } of facts.endpoints) {
    if (isOwned && (facts.exactGuard || kind === "PodAddress")) continue;
    for (const { confirmed, tombstone } of writers) {
      // Two ports of one host are two endpoints with the same deaths.
      if (!confirmed) found.set(`${endpoint.host} ${tombstone.pod.uid}`, { host: endpoint.host, tombstone });
    }
  }
  return [...found.values()];
}
