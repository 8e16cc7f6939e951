/**
 * A candidate in a process of its own, for tests that stop and kill it. Started with one argument, the JSON of
 * {@link CandidateArguments}; tells its story on standard output, one JSON line for each {@link CandidateNews}.
 * SIGTERM stops it, SIGUSR2 makes it ask its fence without a pause, and without an event loop, until that is closed.
 */
import { writeSync } from "node:fs";

import { systemClock } from "../../src/clock/system.ts";
import { LeaseElection } from "../../src/kube/leader-election-elector.ts";
import { KubeTransport, loadKubeConfig } from "../../src/kube/transport.ts";
import { createLogger } from "../../src/telemetry/log.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";

export interface CandidateArguments {
  readonly kubeconfig: string;
  readonly namespace: string;
  readonly name: string;
  readonly identity: string;
  readonly leaseDurationMs?: number;
  readonly renewDeadlineMs?: number;
  readonly retryPeriodMs?: number;
}

export type CandidateNews = { readonly at: number } & (
  | { readonly what: "started" }
  | { readonly what: "stopped" }
  | { readonly what: "leader"; readonly leader: string }
  | { readonly what: "spinning" }
  /** The fence was open at every look from `since` to `until`. */
  | { readonly what: "wasOpen"; readonly since: number; readonly until: number }
  /** The longest time between the starts of two looks, and whether the second one found the fence open. */
  | { readonly what: "spun"; readonly pausedMs: number; readonly openAfterPause: boolean }
);

/** Milliseconds on a clock that all processes of the machine share. */
const now = (): number => Number(process.hrtime.bigint()) / 1e6;
const tell = (news: object): void => void writeSync(1, `${JSON.stringify({ at: now(), ...news })}\n`);

const { kubeconfig, ...options } = JSON.parse(process.argv[2] ?? "") as CandidateArguments;
const transport = new KubeTransport({ config: await loadKubeConfig(kubeconfig), clock: systemClock });
const election = new LeaseElection({
  ...options,
  transport,
  clock: systemClock,
  random: Math.random,
  log: createLogger({ level: "silent" }),
  metrics: createMetrics({ version: "test" }),
  callbacks: {
    onStarted: () => tell({ what: "started" }),
    onStopped: () => tell({ what: "stopped" }),
    onNewLeader: (leader) => tell({ what: "leader", leader }),
  },
});

let openSince: number | undefined;
let openUntil = 0;

/** Asks the fence, and tells of the time it was open once it is closed. */
function look(): boolean {
  // A pause can fall between clock and fence: only what is certain counts as open.
  const before = now();
  const open = election.isValid();
  if (open) {
    openUntil = before;
    openSince ??= now();
  } else if (openSince !== undefined) {
    tell({ what: "wasOpen", since: openSince, until: openUntil });
    openSince = undefined;
  }
  return open;
}

function spin(): void {
  tell({ what: "spinning" });
  let [pausedMs, openAfterPause] = [0, true];
  // A pause can fall into a look that then finds the fence closed: one more look began after it for certain.
  for (let last = now(), looksLeft = 2; looksLeft > 0;) {
    const at = now();
    const open = look();
    if (at - last > pausedMs) [pausedMs, openAfterPause] = [at - last, open];
    if (!open) looksLeft -= 1;
    last = at;
  }
  tell({ what: "spun", pausedMs, openAfterPause });
}

const stop = new AbortController();
process.on("SIGTERM", () => stop.abort());
process.on("SIGUSR2", spin);
const looking = setInterval(look, 2);
await election.run(stop.signal);
look();
clearInterval(looking);
await transport.close();
