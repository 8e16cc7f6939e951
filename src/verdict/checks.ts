import type { DeadWriter, EndpointFacts, Facts } from "./facts.ts";
import type { Reason } from "./reasons.ts";
import {
  heardSilence,
  isLeased,
  lastSign,
  recentSign,
  reviewIn,
  type Silence,
  silence,
  silentForMs,
} from "./silence.ts";
import type { Evidence, EvidenceClass, Verdict, VerdictKind } from "./types.ts";

/** One question about one endpoint of a record. `undefined`: it does not decide, ask the next one. */
export type Check = (facts: Facts, endpoint: EndpointFacts) => Verdict | undefined;

/**
 * How soon to look again for a pod whose address is about to be reported, milliseconds: at first soon, for the view
 * often only lacks its next bookmark, later more seldom.
 */
const NEWBORN_REVIEW_MS = { soonest: 250, latest: 2_000 };
/** A newborn's address mostly comes sooner; only then the registry is asked as well, milliseconds. */
const ASK_REGISTRY_AFTER_MS = 5_000;
/** Complete lists that absence must outlast: the first may have begun before the absence did. */
const ABSENT_LISTS = 2;
/**
 * A node stays Ready for up to 55 s after its kubelet fell silent (50 s of grace, looked at every 5 s), and our view of
 * it may be 15 s old. A node that is Ready this much later has a kubelet that heard of a removal, milliseconds.
 */
const KUBELET_HEARS_MS = 75_000;
/** Kubernetes' own terminationGracePeriodSeconds, for pods that we never saw, milliseconds. */
const DEFAULT_GRACE_MS = 30_000;

/** Old news proves nothing about now. */
export const viewIsStale: Check = ({ clusterProblem, registryProblem }) => {
  if (clusterProblem !== undefined) return open("Unknown", "ClusterViewNotFresh", clusterProblem.message);
  if (registryProblem !== undefined) return open("Unknown", "RegistryViewNotFresh", registryProblem.message);
  return undefined;
};

/** What is not ours may be alive where we can not look. */
export const isForeign: Check = ({ record, rules }, place) => {
  const { endpoint, kind, owners, strangers, tombstones } = place;
  if (record.managedBy !== undefined) return open("Foreign", "ManagedElsewhere", `managed by ${record.managedBy}`);
  const required = Object.entries(rules.requiredMetadata);
  const different = required.find(([key, value]) => record.metadata[key] !== value);
  if (different !== undefined) return open("Foreign", "MetadataDiffers", `metadata ${different.join("=")} is missing`);
  const everOurs = owners.length + strangers.length + tombstones.length > 0;
  if (everOurs || kind === "NodeAddress") return undefined;
  if (!endpoint.isIp) return open("Foreign", "HostNameUnknown", `no pod is known as ${endpoint.host}`);
  if (required.length > 0 || place.inPodNetwork) return undefined;
  return open("Foreign", "OutsidePodNetwork", `${endpoint.host} is in no pod network and was no pod's`);
};

/** Many share a node's address; only a port that exactly one pod declared tells whose the record is. */
export const portIsUndecided: Check = (_, { endpoint, kind, owners, writers }) => {
  if (kind !== "NodeAddress" || owners.length > 0) return undefined;
  const declarers = new Set(writers.map(({ tombstone }) => tombstone.pod.uid)).size;
  if (declarers === 1) return undefined;
  const where = `port ${endpoint.port} of node address ${endpoint.host}`;
  if (declarers === 0) return open("Unknown", "PortNotDeclared", `no pod declares ${where}`);
  return open("Unknown", "PortDeclaredTwice", `${declarers} pods declared ${where}`);
};

/** A pod that lives at the address may be the registrant unless the opposite is proven. */
export const ownerLives: Check = (_, { owners }) => {
  const living = owners.filter(({ pod }) => !pod.deleting);
  const owner = living.find(({ mayHaveWritten }) => mayHaveWritten) ?? living[0];
  if (owner === undefined) return undefined;
  return open("Live", owner.mayHaveWritten ? "OwnerLives" : "AddressInUse", `${nameOf(owner)} has the address`);
};

/** Somebody wanted it back: we were wrong, or somebody else is at work. */
export const cameBack: Check = ({ memory }) =>
  memory.resurrected ? open("Resurrected", "CameBack", "there again after we took it out") : undefined;

/**
 * A terminating pod still serves; it can be evidence only where nobody else can have made the registration. A name or a
 * node's port can be that of an earlier pod as well, which was deleted by force and runs on where nobody hears of it. And
 * what is written after a pod was asked to end can be its address' next owner's, while the pod is still shown there.
 */
export const ownerTerminates: Check = (facts, { kind, owners, strangers, writers, writersKnown }) => {
  const owner = owners.find(({ mayHaveWritten }) => mayHaveWritten) ?? owners[0];
  if (owner === undefined) return undefined;
  const provable =
    writersKnown &&
    kind === "PodAddress" &&
    strangers.length === 0 &&
    owner.mayHaveWritten &&
    facts.record.seenAt <= (owner.deletingAfter ?? -Infinity) &&
    writers.every(({ confirmed }) => confirmed);
  const verdict = open("Draining", "OwnerTerminating", `${nameOf(owner)} is terminating`);
  return provable ? { ...verdict, evidence: evidence("Terminating", owner.pod, facts.now, true) } : verdict;
};

/** Two views of one cluster must not contradict each other where something is about to be destroyed. */
export const witnessDisagrees: Check = (_, { endpoint, strangers, tombstones, witnesses }) => {
  const known = new Set([...strangers, ...tombstones].map(({ pod }) => pod.uid));
  const witness = witnesses.find(({ ready, podUid }) => ready && !known.has(podUid));
  if (witness === undefined) return undefined;
  const whose = witness.podUid === "" ? "an unnamed endpoint" : `pod UID ${witness.podUid}`;
  return open("Unknown", "WitnessDisagrees", `an EndpointSlice calls ${endpoint.host} ready for ${whose}`);
};

/** The kubelet's word for everybody who could have written it. */
export const deathIsConfirmed: Check = (facts, endpoint) => {
  const dead = confirmedDeath(facts, endpoint);
  if (dead === undefined || !endpoint.writersKnown) return undefined;
  const { tombstone } = dead;
  return zombie(
    "DeathConfirmed",
    `${nameOf(tombstone)} ended (${tombstone.reason}), and nobody else can have registered it`,
    evidence("Confirmed", tombstone.pod, tombstone.seenAt, !facts.exactGuard),
  );
};

/** An address belongs to one pod: who had it before the present one does no longer run, unless on a lost node. */
export const addressIsReused: Check = (facts, endpoint) => {
  const { owners, strangers, writers } = endpoint;
  const [stranger] = strangers;
  if (stranger === undefined || owners.length > 0) return undefined;
  const onLostNode = writers.some(({ confirmed, node }) => !confirmed && node?.ready !== true);
  const unseen = !facts.exactGuard && !endpoint.writersKnown;
  if (onLostNode || unseen || recentSign(facts, endpoint) !== undefined) return undefined;
  return zombie(
    "AddressReused",
    `${endpoint.endpoint.host} belongs to ${nameOf(stranger)}, created after the registration, which registers other services`,
    evidence("Reused", stranger.pod, stranger.seenAt, true),
  );
};

/** Whoever writes or refreshes lives, whatever the cluster says. */
export const showsLife: Check = (facts, endpoint) => {
  const sign = recentSign(facts, endpoint);
  if (sign === undefined) return undefined;
  const seconds = Math.round((facts.now - sign.at) / 1000);
  const [reason, what] =
    sign.by === "Write" ? (["WrittenAfterDeath", "written"] as const) : (["LeaseRefreshed", "refreshed"] as const);
  return {
    ...open("Contested", reason, `${what} ${seconds} s ago, after its pod had died or left`),
    reviewAfterMs: reviewIn(facts, sign.at + silentForMs(facts)),
    needsLifeReading: isLeased(facts) && silence(facts, silentForMs(facts)).needsReading,
  };
};

/** A node out of touch may run anything; without a lease nobody else can tell. */
export const nodeIsUnreachable: Check = (facts, place) => {
  if (isLeased(facts)) return undefined;
  const { endpoint, kind, writers, tombstones } = place;
  const unconfirmed = writers.filter(({ confirmed }) => !confirmed);
  const lost = unconfirmed.find((writer) => !isVouchedFor(writer) && !isLookedAfter(writer));
  if (lost !== undefined) {
    const { node } = lost.tombstone.pod;
    return open("Unknown", "NodeUnreachable", `${nameOf(lost.tombstone)} may still run on node ${node}`);
  }
  if (unconfirmed.length > 0) return undefined;
  if (kind !== "PodAddress" || !(tombstones.length > 0 || place.inPodNetwork)) {
    return open("Unknown", "NobodyCanTell", `${endpoint.host} is no pod's address, and the entry has no lease`);
  }
  if (place.unreachableUntil !== Infinity) return undefined;
  return open("Unknown", "NodeUnreachable", `a node that could run ${endpoint.host} is out of touch`);
};

/** Dead by its kubelet's word, but somebody without a known address could be the registrant: soon we know. */
export const newbornIsPossible: Check = (facts, endpoint) => {
  const dead = confirmedDeath(facts, endpoint);
  if (dead === undefined) return undefined;
  // Decided before, had the writers been known. A lease that falls silent decides as well, whoever it was.
  const silent = isLeased(facts) ? fallsSilent(facts, dead) : undefined;
  if (silent?.kind === "Zombie") return silent;
  const ageMs = facts.now - dead.tombstone.seenAt;
  return {
    ...possibleNewborn(facts),
    reviewAfterMs: Math.min(NEWBORN_REVIEW_MS.latest, Math.max(NEWBORN_REVIEW_MS.soonest, ageMs / 2)),
    needsLifeReading: ageMs >= ASK_REGISTRY_AFTER_MS && silent?.needsLifeReading === true,
  };
};

/** Removed without a kubelet's word: the lease must be silent, or the kubelet must have had its time. */
export const deathIsUnconfirmed: Check = (facts, endpoint) => {
  const doubtful = endpoint.writers.filter(({ confirmed }) => !confirmed);
  const [dead] = doubtful;
  if (dead === undefined) return undefined;
  if (isLeased(facts)) return fallsSilent(facts, dead);
  return doubtful.every(isVouchedFor)
    ? vouchedFor(facts, endpoint, dead)
    : endedByKubelet(facts, endpoint, doubtful, dead);
};

/** Otherwise nothing is known but that no pod is there: time must pass. */
export const nobodyIsThere: Check = (facts, endpoint) => {
  if (!endpoint.writersKnown) return possibleNewborn(facts);
  const { memory, now } = facts;
  const { since, waitMs, heard } = isLeased(facts) ? absentAndSilent(facts, endpoint) : absentAndEnded(facts, endpoint);
  const waiting = waitFor(facts, since + waitMs);
  if (memory.suspectSince !== undefined && waiting === undefined && heard?.proven !== false) {
    const seconds = Math.round((now - since) / 1000);
    const message = `no pod has had ${endpoint.endpoint.host} for ${seconds} s and ${ABSENT_LISTS} complete lists`;
    return zombie("NoPodAtAddress", message, { ...nobody, since: memory.suspectSince });
  }
  const due = heard?.proven === false ? Math.max(since + waitMs, heard.dueAt) : since + waitMs;
  return {
    ...open("Suspect", "NotAbsentLongEnough", `no pod has ${endpoint.endpoint.host}; not for long enough yet`),
    reviewAfterMs: reviewIn(facts, due),
    needsLifeReading: heard?.needsReading ?? false,
    needsCompleteList: waiting?.needsCompleteList ?? false,
  };
};

interface Absence {
  readonly since: number;
  readonly waitMs: number;
  /** Undefined when the registry can not tell. */
  readonly heard: Silence | undefined;
}

const nobody: Evidence = {
  class: "Absent",
  podUid: "",
  podNamespace: "",
  podName: "",
  since: 0,
  needsConfirmRead: true,
};

/** The newest death when every possible writer is dead by a kubelet's word, and the record was there before it. */
function confirmedDeath(facts: Facts, endpoint: EndpointFacts): DeadWriter | undefined {
  const { owners, strangers, writers } = endpoint;
  if (owners.length + strangers.length > 0 || !writers.every(({ confirmed }) => confirmed)) return undefined;
  return lastSign(facts, endpoint) === undefined ? writers.find(({ seenBeforeDeath }) => seenBeforeDeath) : undefined;
}

/** Since when the record, as it is, has had nobody: a later write or sign of life starts it again. */
function absentSince(facts: Facts, endpoint: EndpointFacts): number {
  const { now, memory, record } = facts;
  const sign = lastSign(facts, endpoint);
  return Math.max(memory.suspectSince ?? now, record.seenAt, sign?.at ?? -Infinity);
}

/** With a lease the registry's silence over the same time is asked for as well. */
function absentAndSilent(facts: Facts, endpoint: EndpointFacts): Absence {
  const { absentForMs } = facts.rules;
  return { since: absentSince(facts, endpoint), waitMs: absentForMs, heard: silence(facts, absentForMs) };
}

/**
 * Without one, a pod that we never saw may have been removed by force a moment before: the node that could have run it
 * must have been in touch for so long that its kubelet has ended it.
 */
function absentAndEnded(facts: Facts, endpoint: EndpointFacts): Absence {
  const { absentForMs } = facts.rules;
  const since = Math.max(absentSince(facts, endpoint), endpoint.unreachableUntil);
  const waitMs = Math.max(absentForMs, KUBELET_HEARS_MS + DEFAULT_GRACE_MS);
  return { since, waitMs, heard: heardSilence(facts, absentForMs) };
}

function fallsSilent(facts: Facts, { tombstone }: DeadWriter): Verdict {
  const watchMs = silentForMs(facts);
  const { proven, needsReading, dueAt } = silence(facts, watchMs);
  const due = Math.max(dueAt, tombstone.seenAt + watchMs);
  if (proven && facts.now >= due) {
    const message = `${nameOf(tombstone)} is gone (${tombstone.reason}), and nobody refreshed the lease since`;
    return zombie("SilentAfterDeath", message, evidence("Unconfirmed", tombstone.pod, tombstone.seenAt, true));
  }
  return {
    ...open("Suspect", "LeaseNotSilentYet", `${nameOf(tombstone)} is gone (${tombstone.reason}); watching its lease`),
    reviewAfterMs: reviewIn(facts, due),
    needsLifeReading: needsReading,
  };
}

function vouchedFor(facts: Facts, endpoint: EndpointFacts, { tombstone }: DeadWriter): Verdict {
  if (!endpoint.writersKnown) return possibleNewborn(facts);
  const heard = heardSilence(facts, silentForMs(facts));
  if (heard?.proven === false) return stillHeard(facts, heard, tombstone.seenAt, `${nameOf(tombstone)} is gone`);
  const message = `${nameOf(tombstone)} is gone (${tombstone.reason}), and node ${tombstone.pod.node} is out of service`;
  return zombie("NodeOutOfService", message, evidence("Unconfirmed", tombstone.pod, tombstone.seenAt, true));
}

function endedByKubelet(
  facts: Facts,
  endpoint: EndpointFacts,
  doubtful: readonly DeadWriter[],
  { tombstone }: DeadWriter,
): Verdict {
  if (!endpoint.writersKnown) return possibleNewborn(facts);
  const { node } = tombstone.pod;
  // A removed pod gets its whole grace period from its kubelet.
  const ended = doubtful.map(({ tombstone: { pod, seenAt } }) => seenAt + pod.graceMs);
  const due = Math.max(absentSince(facts, endpoint), ...ended) + Math.max(facts.rules.absentForMs, KUBELET_HEARS_MS);
  const waiting = waitFor(facts, due);
  const heard = heardSilence(facts, silentForMs(facts));
  if (waiting === undefined && heard?.proven === false) {
    return stillHeard(facts, heard, due, `${nameOf(tombstone)} was removed`);
  }
  if (waiting === undefined) {
    const message = `${nameOf(tombstone)} was removed, and node ${node} was Ready long enough to end what was left`;
    return zombie("EndedByKubelet", message, evidence("Unconfirmed", tombstone.pod, tombstone.seenAt, true));
  }
  return {
    ...open("Suspect", "KubeletNotDoneYet", `${nameOf(tombstone)} was removed; node ${node} gets time to end it`),
    ...waiting,
    needsLifeReading: heard?.needsReading ?? false,
  };
}

/** Everything else says that it is dead, and the registry does not. */
function stillHeard(facts: Facts, { dueAt, needsReading }: Silence, due: number, what: string): Verdict {
  return {
    ...open("Suspect", "HeartbeatNotSilentYet", `${what}, but its heartbeat has not been missed for long enough`),
    reviewAfterMs: reviewIn(facts, Math.max(due, dueAt)),
    needsLifeReading: needsReading,
  };
}

/** What is missing until `due` has passed over enough complete lists; undefined when nothing is. */
function waitFor(facts: Facts, due: number): Pick<Verdict, "reviewAfterMs" | "needsCompleteList"> | undefined {
  const { memory, completeLists, now } = facts;
  const needsCompleteList = memory.suspectSince === undefined || completeLists < memory.listsAtSuspect + ABSENT_LISTS;
  if (now >= due && !needsCompleteList) return undefined;
  return { reviewAfterMs: reviewIn(facts, due), needsCompleteList };
}

function possibleNewborn(facts: Facts): Verdict {
  const pods = facts.exactGuard ? "a pod without a known address" : "a pod without a known address, even a new one,";
  return {
    ...open("Suspect", "PossibleNewborn", `${pods} could have made the registration`),
    reviewAfterMs: NEWBORN_REVIEW_MS.latest,
  };
}

/** An administrator's taint, believed only for a node that is not Ready. */
function isVouchedFor({ node }: DeadWriter): boolean {
  return node !== undefined && node.outOfService && !node.ready;
}

/** Ready without a break since before the removal: the kubelet that ran the pod has heard of it. */
function isLookedAfter({ node, tombstone }: DeadWriter): boolean {
  return node !== undefined && node.ready && node.since <= tombstone.endedAfter;
}

function open(kind: VerdictKind, reason: Reason, message: string): Verdict {
  return {
    kind,
    reason,
    message,
    evidence: undefined,
    reviewAfterMs: undefined,
    needsLifeReading: false,
    needsCompleteList: false,
  };
}

function zombie(reason: Reason, message: string, proof: Evidence): Verdict {
  return { ...open("Zombie", reason, message), evidence: proof };
}

function evidence(
  evidenceClass: EvidenceClass,
  pod: { readonly uid: string; readonly namespace: string; readonly name: string },
  since: number,
  needsConfirmRead: boolean,
): Evidence {
  return {
    class: evidenceClass,
    podUid: pod.uid,
    podNamespace: pod.namespace,
    podName: pod.name,
    since,
    needsConfirmRead,
  };
}

function nameOf({ pod }: { readonly pod: { readonly namespace: string; readonly name: string } }): string {
  return `pod ${pod.namespace}/${pod.name}`;
}
