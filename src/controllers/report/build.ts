import type {
  RegistrationReportEviction,
  RegistrationReportFinding,
  RegistrationReportPodFinding,
  RegistrationReportRestore,
  RegistrationReportStatus,
  RegistrationReportSummary,
} from "../../api/v1alpha1/index.ts";
import { secondTime } from "../../clock/format.ts";
import { formatEndpoints } from "../../registry/endpoint.ts";
import type { Removal, RestorePayload } from "../../registry/port.ts";
import type { EvictionEntry, Finding, InstanceCounts } from "../types.ts";
import type { RolloutStanding } from "../rollout/standing.ts";
import type { ComplianceCount } from "../policy/compliance-count.ts";
import { cut, LONGEST } from "./cut.ts";
import { podFindingOf, podSummary } from "./pod-findings.ts";

/** What a report is made of. */
export interface ReportFacts {
  readonly policy: string;
  readonly counts: InstanceCounts;
  /** Worst first. */
  readonly findings: readonly Finding[];
  /** Of this process, newest first. */
  readonly evictions: readonly EvictionEntry[];
  /** What is in quarantine now, newest first. */
  readonly quarantines: readonly EvictionEntry[];
  /** What the report held when this process became leader, newest first. */
  readonly earlier: readonly RegistrationReportEviction[];
  /** How pods stand to what the policy wants of them; undefined where it wants nothing. */
  readonly pods?: ComplianceCount | undefined;
  /** Why workloads are not rolled out, by PodRecord.workload. */
  readonly obstacles?: RolloutStanding["obstacles"] | undefined;
  /** What the report says, where what it says of pods is to stay: they have not been judged yet. */
  readonly podsBefore?: RegistrationReportStatus | undefined;
}

/** As the schema has it. */
export const MAX_FINDINGS = 200;
export const MAX_EVICTIONS = 100;
/**
 * Room for each of the two lists as JSON, in bytes. etcd takes 1.5 MiB for one object, the API server keeps some of it
 * for itself.
 */
export const MAX_LIST_BYTES = 512 * 1024;
/** Room for the list of pods, which is less urgent. */
const MAX_POD_BYTES = 128 * 1024;
/** Room for the values in the list of evictions. */
const MAX_VALUE_BYTES = MAX_LIST_BYTES / 2;
/** Longest registration kept in a report, in characters; a longer one is in the registry's own undo record only. */
const MAX_VALUE = 8_192;

/** The whole status of a report: always the same for the same facts, and always within the schema and etcd's limit. */
export function buildReport(facts: ReportFacts): RegistrationReportStatus {
  const { Live: live, Foreign: foreign } = facts.counts;
  const total = Object.values(facts.counts).reduce((sum, count) => sum + count, 0) - live;
  const findings = fitting(facts.findings.slice(0, MAX_FINDINGS).map(findingOf));
  const own = [...facts.quarantines, ...facts.evictions].map(evictionOf);
  const evictions = keepQuarantines(mergeEvictions([...own, ...facts.earlier]));
  const pods = podList(facts);
  return {
    policy: facts.policy,
    summary: {
      findings: total - foreign,
      ...worstIn(facts.findings),
      omitted: Math.max(0, total - findings.length),
      evictions: evictions.length,
      ...pods.summary,
    },
    ...(pods.findings.length === 0 ? {} : { podFindings: pods.findings }),
    findings,
    evictions,
  };
}

/** Foreign ones come last, and are no findings of ours. */
function worstIn([first]: readonly Finding[]): Pick<RegistrationReportSummary, "worst"> {
  const kind = first?.judgement.verdict.kind;
  return kind === undefined || kind === "Foreign" || kind === "Live" ? {} : { worst: kind };
}

interface PodList {
  readonly findings: RegistrationReportPodFinding[];
  readonly summary: Partial<RegistrationReportSummary>;
}

function podList({ pods, podsBefore, obstacles }: ReportFacts): PodList {
  if (pods !== undefined) {
    const findings = fitting(
      pods.findings.map((finding) => podFindingOf(finding, obstacles)),
      MAX_POD_BYTES,
    );
    return { findings, summary: podSummary(pods, findings) };
  }
  const { podsDrifted, podsExempt, podsOmitted } = podsBefore?.summary ?? {};
  const known = { podsDrifted, podsExempt, podsOmitted };
  const summary = Object.fromEntries(Object.entries(known).filter(([, count]) => count !== undefined));
  return { findings: podsBefore?.podFindings ?? [], summary };
}

/** What is known of one eviction, once: of two words the earlier in the list counts, but an end is final. */
function mergeEvictions(all: readonly RegistrationReportEviction[]): RegistrationReportEviction[] {
  const merged = new Map<string, RegistrationReportEviction>();
  for (const eviction of all) {
    const { traceId = "", registry, id } = eviction;
    const key = `${traceId}\n${registry}\n${id}`;
    const known = merged.get(key);
    if (known === undefined || (isQuarantined(known) && !isQuarantined(eviction))) merged.set(key, eviction);
  }
  return newestFirst([...merged.values()]);
}

/**
 * Within the bounds, and those in quarantine before all others: what is not in the report when a leader ends will never
 * be released.
 */
function keepQuarantines(evictions: readonly RegistrationReportEviction[]): RegistrationReportEviction[] {
  const others = evictions.filter((eviction) => !isQuarantined(eviction));
  const byNeed = [...evictions.filter(isQuarantined), ...others].slice(0, MAX_EVICTIONS);
  return newestFirst(fitting(withoutOldValues(byNeed)));
}

/** Clocks of two leaders can differ; a stable sort leaves each one's order. */
function newestFirst(evictions: readonly RegistrationReportEviction[]): RegistrationReportEviction[] {
  return evictions.toSorted((a, b) => (a.time === b.time ? 0 : a.time < b.time ? 1 : -1));
}

function isQuarantined({ result }: RegistrationReportEviction): boolean {
  return result === "Quarantined";
}

/** The items from the first one on that fit in the room for one list. @param bytes the room */
function fitting<T>(items: readonly T[], bytes = MAX_LIST_BYTES): T[] {
  let left = bytes;
  const fits: T[] = [];
  for (const item of items) {
    left -= sizeOf(item) + 1;
    if (left < 0) break;
    fits.push(item);
  }
  return fits;
}

/** Leaves out the oldest values where the newer ones take all the room for values: the registry has them too. */
function withoutOldValues(evictions: readonly RegistrationReportEviction[]): RegistrationReportEviction[] {
  let left = MAX_VALUE_BYTES;
  return evictions.map((eviction) => {
    const { restore } = eviction;
    if (restore?.value === undefined) return eviction;
    left -= sizeOf(restore.value);
    if (left >= 0 || restore.undoKey === undefined) return eviction;
    const { value: _value, encoding: _encoding, ...rest } = restore;
    return { ...eviction, restore: rest };
  });
}

function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}

function findingOf({ judgement: { record, verdict }, firstSeen, action }: Finding): RegistrationReportFinding {
  const isBlocked = action.startsWith("None:");
  return {
    registry: record.registry,
    service: cut(record.service, LONGEST.service),
    instance: cut(record.instance, LONGEST.instance),
    id: cut(record.id, LONGEST.id),
    address: cut(formatEndpoints(record.endpoints), LONGEST.address),
    verdict: verdict.kind as RegistrationReportFinding["verdict"],
    reason: verdict.reason,
    ...(verdict.evidence === undefined ? {} : { evidence: verdict.evidence.class }),
    message: cut(verdict.message, 1_024),
    firstSeen: secondTime(firstSeen),
    action: action === "Evict" || action === "Quarantine" ? action : "None",
    ...(isBlocked
      ? { blockedBy: action.slice("None:".length) as RegistrationReportFinding["blockedBy"] & string }
      : {}),
    ...removalIn(record.removal),
  };
}

function removalIn(removal: Removal): Pick<RegistrationReportFinding, "removal"> {
  if (removal.effective === "Yes") return {};
  return { removal: { reason: cut(removal.reason, 64), message: cut(removal.message, 512) } };
}

function evictionOf(entry: EvictionEntry): RegistrationReportEviction {
  const { pod, restore } = entry;
  return {
    time: secondTime(entry.time),
    registry: entry.registry,
    service: cut(entry.service, LONGEST.service),
    instance: cut(entry.instance, LONGEST.instance),
    id: cut(entry.id, LONGEST.id),
    address: cut(entry.address, LONGEST.address),
    evidence: entry.evidence,
    reason: entry.reason,
    ...(pod.uid === "" ? {} : { pod }),
    traceId: entry.traceId,
    result: resultOf(entry.result),
    ...(restore === undefined ? {} : { restore: restoreOf(restore) }),
  };
}

/** `Evicted` means that a later read agrees, `NotVerified` that only the registry's acknowledgement is known. */
function resultOf(outcome: string): RegistrationReportEviction["result"] {
  switch (outcome) {
    case "Evicted":
      return "Verified";
    case "Quarantined":
    case "Released":
    case "Ended":
    case "Resurrected":
      return outcome;
    default:
      return "Evicted";
  }
}

function restoreOf({ format, value, encoding, ttlMs, lease, undoKey }: RestorePayload): RegistrationReportRestore {
  return {
    format: cut(format, 64),
    ...(value.length > MAX_VALUE ? {} : { value, encoding: encoding === "utf8" ? "UTF8" : "Base64" }),
    ttlMilliseconds: ttlMs,
    ...(lease === undefined ? {} : { lease: cut(lease, 32) }),
    ...(undoKey === undefined ? {} : { undoKey: cut(undoKey, 2_048) }),
  };
}
