import { systemClock } from "../../src/clock/system.ts";
import { LeaseElection } from "../../src/kube/leader-election-elector.ts";
import type { KubeTransport, CallRequest, CallResponse } from "../../src/kube/transport.ts";
import { createLogger } from "../../src/telemetry/log.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { ManualClock } from "../support/manual-clock.ts";

/** What a call to the API server meets on its way. */
type Weather = (call: CallRequest, send: () => Promise<CallResponse>) => Promise<CallResponse>;

/** A candidate whose time the test moves, on the real API server. */
export class Candidate {
  readonly clock = new ManualClock(Math.floor(Math.random() * 1e9));
  readonly election: LeaseElection;
  /** What the callbacks were told, in order: `started`, `stopped`, `leader:<identity>`. */
  readonly story: string[] = [];
  readonly metrics = createMetrics({ version: "test" });
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #underWay = 0;
  /** Disturbs the calls; by default they go through. */
  weather: Weather = (_call, send) => send();
  /** What the work of a term still does when it is told to end. */
  windDown: () => Promise<void> = () => Promise.resolve();
  /** Aborts when the present term ends. */
  termSignal: AbortSignal | undefined;

  constructor(transport: KubeTransport, lease: { namespace: string; name: string }, identity: string) {
    const request = async (call: CallRequest): Promise<CallResponse> => {
      this.#underWay += 1;
      try {
        return await this.weather(call, () => transport.request(call));
      } finally {
        this.#underWay -= 1;
      }
    };
    this.election = new LeaseElection({
      ...lease,
      identity,
      transport: { request },
      clock: this.clock,
      random: () => 0,
      log: createLogger({ level: "silent" }),
      metrics: this.metrics,
      callbacks: {
        onStarted: (signal) => {
          this.story.push("started");
          this.termSignal = signal;
        },
        onStopped: async () => {
          this.story.push("stopped");
          await this.windDown();
        },
        onNewLeader: (leader) => this.story.push(`leader:${leader}`),
      },
    });
    this.#running = this.election.run(this.#stop.signal);
  }

  get isIdle(): boolean {
    return this.#underWay === 0;
  }

  /** What SIGTERM does. */
  abort(): void {
    this.#stop.abort();
  }

  /** Resolves when run() has returned. */
  async ended(): Promise<void> {
    await this.#running;
  }
}

/** How far one step of {@link pass} goes, milliseconds: time does not go on while a call is under way. */
const stepMs = 250;

/** Lets the same time pass for all candidates, in small steps, each once their calls are answered. */
export async function pass(candidates: readonly Candidate[], ms: number): Promise<void> {
  await quiet(candidates);
  for (let left = ms; left > 0; left -= stepMs) {
    for (const { clock } of candidates) await clock.advance(Math.min(stepMs, left));
    await quiet(candidates);
  }
}

/** Resolves when no candidate waits for the API server. */
export async function quiet(candidates: readonly Candidate[]): Promise<void> {
  for (let still = 0; still < 3;) {
    for (const { clock } of candidates) await clock.advance(0);
    if (candidates.every((candidate) => candidate.isIdle)) still += 1;
    else {
      still = 0;
      await systemClock.sleep(1);
    }
  }
}
