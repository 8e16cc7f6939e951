/** Which workloads may be begun, and why not more. Pure: all it rests on is handed in. */
import { type Hold, keyOfWorkload, type RolloutEntry, type RolloutRules, workloadOfKey } from "./types.ts";
import type { Obstacle } from "./workload.ts";

/** As the schema of a report has it. */
const MAX_ENTRIES = 1_000;
/** Room for the entries in a report, as JSON, in bytes. */
const MAX_ENTRY_BYTES = 256 * 1024;
const HOUR_MS = 3_600_000;

/** What a look at a workload found. */
export interface Look {
  /** Empty when there is no such workload. */
  readonly uid: string;
  readonly obstacle: Obstacle | undefined;
}

export interface PlanInput {
  readonly rules: RolloutRules;
  readonly fingerprint: string;
  /** Everything remembered of this policy, of earlier generations too. */
  readonly entries: readonly RolloutEntry[];
  /** Workloads with pods that differ, as PodRecord.workload, with how many. */
  readonly drifted: ReadonlyMap<string, number>;
  readonly looks: ReadonlyMap<string, Look>;
  /** What the world around the policy says against it. */
  readonly outside: Hold | undefined;
  /** Wall time. */
  readonly now: Date;
}

export interface RolloutPlan {
  /** Workloads whose turn is to come, in this order. */
  readonly pending: readonly string[];
  /** How many of them may be begun now. */
  readonly slots: number;
  /** What holds back those that have a place; undefined when only those under way do. */
  readonly hold: Hold | undefined;
  /** Whether a pod of a workload under way may be taken away. */
  readonly mayDisrupt: boolean;
  readonly current: readonly RolloutEntry[];
  readonly done: number;
  readonly failed: readonly RolloutEntry[];
  /** Workloads with pods that differ which are not rolled out as they are. */
  readonly obstacles: ReadonlyMap<string, Obstacle | { readonly reason: "Blocked"; readonly message: string }>;
}

export function planRollout(input: PlanInput): RolloutPlan {
  const { rules, fingerprint, entries, drifted, looks } = input;
  const current = entries.filter(({ result }) => result === "Started");
  const own = entries.filter((entry) => entry.fingerprint === fingerprint);
  const failed = own.filter(({ result }) => result === "Failed");
  const begun = new Map([...own, ...current].map((entry) => [keyOfWorkload(entry), entry]));
  const obstacles = new Map<string, Obstacle | { reason: "Blocked"; message: string }>();
  const pending: string[] = [];
  for (const key of inOrder(drifted)) {
    const look = looks.get(key);
    const entry = begun.get(key);
    // Another object under the name of one that was rolled out has not been rolled out.
    if (entry !== undefined && (look === undefined || look.uid === "" || look.uid === entry.uid)) {
      if (entry.result === "Blocked") obstacles.set(key, { reason: "Blocked", message: entry.message ?? "" });
      continue;
    }
    const obstacle = workloadOfKey(key) === undefined ? byKind(key) : look?.obstacle;
    if (obstacle === undefined) pending.push(key);
    else obstacles.set(key, obstacle);
  }
  const lasting = lastingHold(input, failed);
  const free = rules.maxConcurrentWorkloads - current.length;
  const left = rules.perHour - startedWithinHour(entries, input.now);
  const hold = lasting ?? (pending.length > 0 ? startHold(input, left) : undefined);
  const slots = hold === undefined ? Math.max(0, Math.min(free, left, pending.length)) : 0;
  const done = own.filter(({ result }) => result === "Done").length;
  return { pending, slots, hold, mayDisrupt: lasting === undefined, current, done, failed, obstacles };
}

/** The fewest pods first: what goes wrong goes wrong where it harms least. */
function inOrder(drifted: ReadonlyMap<string, number>): string[] {
  return [...drifted].sort(([a, m], [b, n]) => m - n || (a < b ? -1 : 1)).map(([key]) => key);
}

function byKind(key: string): Obstacle {
  const [, kind] = key.split("/");
  const whose = kind === undefined ? "a pod that no workload makes is" : `pods of a ${kind} are`;
  return { reason: "NotRolledOutByKind", message: `${whose} not replaced: do it by hand` };
}

function lastingHold({ rules, outside, now }: PlanInput, failed: readonly RolloutEntry[]): Hold | undefined {
  const [first] = failed;
  if (first !== undefined) {
    const message =
      `${keyOfWorkload(first)}: ${first.message ?? "it failed"}. ` +
      "Nothing further is begun for this generation: put it right, then change spec.rollout (state Paused and Active again, for example)";
    return { reason: "Stopped", message };
  }
  if (outside?.isBlind === true) return outside;
  if (rules.paused) return { reason: "Paused", message: "spec.rollout.state is Paused" };
  if (rules.windowProblem !== undefined) return { reason: "InvalidWindow", message: rules.windowProblem };
  if (outside !== undefined) return outside;
  const closed = rules.window?.closedAt(now);
  if (closed === undefined) return undefined;
  const when = closed.opensAt === undefined ? "does not open again" : `opens at ${closed.opensAt.toISOString()}`;
  return { reason: "OutsideWindow", message: `the maintenance window ${when}` };
}

function startHold({ rules, entries }: PlanInput, left: number): Hold | undefined {
  if (entries.length >= MAX_ENTRIES || Buffer.byteLength(JSON.stringify(entries)) > MAX_ENTRY_BYTES) {
    const message = `the report has no room for more than ${entries.length} workloads: divide the policy, or change its spec to begin anew`;
    return { reason: "MemoryFull", message };
  }
  if (left > 0) return undefined;
  return { reason: "PerHour", message: `spec.rollout.perHour: ${rules.perHour} workloads were begun within an hour` };
}

function startedWithinHour(entries: readonly RolloutEntry[], now: Date): number {
  return entries.filter((entry) => isWithinHour(entry, now)).length;
}

/** A start that a clock puts into the future counts as one of now. */
function isWithinHour({ startedAt }: RolloutEntry, now: Date): boolean {
  return now.getTime() - startedAt.getTime() < HOUR_MS;
}

/** Without what nothing rests on any more: ended, of another state of the policy, and begun more than an hour ago. */
export function withoutStale(entries: readonly RolloutEntry[], fingerprint: string, now: Date): RolloutEntry[] {
  return entries.filter(
    (entry) => entry.fingerprint === fingerprint || entry.result === "Started" || isWithinHour(entry, now),
  );
}

/** The entries after one has begun or changed: one for each workload object and state of the policy. */
export function withEntry(entries: readonly RolloutEntry[], entry: RolloutEntry): RolloutEntry[] {
  const others = entries.filter(({ uid, fingerprint }) => uid !== entry.uid || fingerprint !== entry.fingerprint);
  return [...others, entry];
}
