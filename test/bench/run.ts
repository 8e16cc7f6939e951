import { setTimeout as delay } from "node:timers/promises";

import { Scope, startControlPlane } from "../env/index.ts";
import { applyPolicy } from "../support/operator-objects.ts";
import type { MetricsReading } from "../support/operator-metrics.ts";
import { eventually } from "../support/operator-wait.ts";
import { type Operator, startOperator } from "../support/operator.ts";
import { type DeathFigures, runDeaths, type StepFigures } from "./deaths.ts";
import { figuresOf } from "./process-figures.ts";
import type { BenchRegistry, StartContext } from "./registry.ts";
import type { RegistryFigures, SizeFigures } from "./report.ts";
import { World } from "./world.ts";

/** How long deaths go on at each rate, seconds: 100/s gives 2,000 of them. */
const STORM_SECONDS = 20;
/** Two sweeps long. */
const IDLE_SECONDS = 60;
/** A view is at most about ten seconds old, so after this everything written before counts as older than what follows. */
const SETTLE_MS = 15_000;
const COLD_START_LIMIT_MS = 300_000;
/** Name of the Registry and the policy. */
const NAME = "bench";

/** What is asked of one registry. */
export interface BenchPlan {
  readonly name: string;
  readonly start: (context: StartContext) => Promise<BenchRegistry>;
  /** Numbers of pods and instances, rising. */
  readonly pods: readonly number[];
  /** Deaths a second. */
  readonly rates: readonly number[];
}

/** Fills a real control plane and a registry, lets pods die, and measures. Everything it starts ends with it. */
export async function runRegistry(plan: BenchPlan, say: (text: string) => void): Promise<RegistryFigures> {
  const scope = new Scope();
  const closers: (() => Promise<void>)[] = [() => scope.stop()];
  try {
    say(`${plan.name}: starting ...`);
    const [controlPlane, registry] = await Promise.all([
      startControlPlane({ scope, log: say }),
      plan.start({ scope, log: say }),
    ]);
    closers.unshift(() => registry.close());
    const world = await World.create(controlPlane, registry);
    closers.unshift(() => world.close());
    const start = (): Promise<Operator> => startOperator({ cluster: controlPlane });
    const emptyResidentMebibytes = await emptyOperator(world, registry, start);
    const sizes: SizeFigures[] = [];
    for (const count of plan.pods) sizes.push(await runSize(plan, world, count, start, say));
    return { name: plan.name, emptyResidentMebibytes, sizes };
  } finally {
    for (const close of closers) await close();
  }
}

/** @returns what the process takes with nothing to keep, MiB */
async function emptyOperator(world: World, registry: BenchRegistry, start: () => Promise<Operator>): Promise<number> {
  const operator = await start();
  await registry.apply(world.cluster.client, NAME);
  await applyPolicy(world.cluster.client, NAME, { registries: [NAME] });
  await operator.untilReady();
  const { residentMebibytes } = figuresOf(operator.pid);
  await operator.stop();
  return residentMebibytes;
}

async function runSize(
  { rates }: BenchPlan,
  world: World,
  pods: number,
  start: () => Promise<Operator>,
  say: (text: string) => void,
): Promise<SizeFigures> {
  say(`growing to ${pods} pods and instances ...`);
  await world.growTo(pods, (done) => done % 5_000 === 0 && say(`  ${done}`));
  say("cold start ...");
  const { operator, seconds } = await coldStart(start, pods);
  say(`  judged all after ${seconds.toFixed(1)} s`);
  try {
    return { coldStartSeconds: seconds, ...(await measure(operator, rates, world, pods, say)) };
  } finally {
    await operator.stop();
  }
}

/** A storm in a line of progress: what a bench that is stopped leaves behind. */
function told({ eviction, notEvicted, requests, steps }: DeathFigures): string {
  const times = [eviction.p50, eviction.p99, eviction.p999, eviction.max].map((value) => value.toFixed(1)).join(" / ");
  return [
    `eviction p50 / p99 / p99.9 / max ${times} ms`,
    `of it last look ${steps.confirm.toFixed(1)} ms and write ${steps.write.toFixed(1)} ms on average`,
    `${notEvicted} not evicted`,
    `${requests.toFixed(1)} requests each`,
  ].join(", ");
}

/** What the running operator costs, and what it does about deaths. */
async function measure(
  operator: Operator,
  rates: readonly number[],
  world: World,
  pods: number,
  say: (text: string) => void,
): Promise<Omit<SizeFigures, "coldStartSeconds">> {
  await delay(SETTLE_MS);
  const { percent, requestsPerMinute } = await measureIdle(operator);
  const heap = (await operator.metrics()).sum("nodejs_heap_size_used_bytes");
  const { residentMebibytes } = figuresOf(operator.pid);
  say(`  RSS ${residentMebibytes.toFixed(0)} MiB; idle ${percent.toFixed(1)} % of a core`);
  const storms: DeathFigures[] = [];
  for (const kind of world.kinds) {
    for (const rate of rates) {
      await world.growTo(pods, () => undefined);
      await delay(SETTLE_MS);
      say(`${kind.name}: ${rate} deaths a second at ${pods} pods ...`);
      const [before, since] = [await operator.metrics(), performance.now()];
      const storm = await runDeaths(world, kind, rate, rate * STORM_SECONDS);
      const minutes = (performance.now() - since) / 60_000;
      const after = await operator.metrics();
      const requests = requestsOf(after) - requestsOf(before) - requestsPerMinute * minutes;
      const figures = { ...storm, requests: Math.max(0, requests) / storm.deaths, steps: stepsBetween(before, after) };
      storms.push(figures);
      say(`  ${told(figures)}`);
    }
  }
  const { peakMebibytes } = figuresOf(operator.pid);
  return {
    pods,
    residentMebibytes,
    peakMebibytes,
    heapMebibytes: heap / 2 ** 20,
    idlePercent: percent,
    idleRequestsPerMinute: requestsPerMinute,
    storms,
  };
}

/** Starts the operator over a full cluster and times it until it has judged every instance. */
async function coldStart(
  start: () => Promise<Operator>,
  instances: number,
): Promise<{ operator: Operator; seconds: number }> {
  const startedAt = performance.now();
  const operator = await start();
  await eventually(
    "the operator has judged every instance as live",
    async () => (await operator.metrics()).sum("hygeia_instances", { verdict: "Live" }) >= instances,
    COLD_START_LIMIT_MS,
  );
  return { operator, seconds: (performance.now() - startedAt) / 1000 };
}

async function measureIdle(operator: Operator): Promise<{ percent: number; requestsPerMinute: number }> {
  const [cpu, requests] = [figuresOf(operator.pid).cpuSeconds, requestsOf(await operator.metrics())];
  await delay(IDLE_SECONDS * 1000);
  return {
    percent: ((figuresOf(operator.pid).cpuSeconds - cpu) / IDLE_SECONDS) * 100,
    requestsPerMinute: (requestsOf(await operator.metrics()) - requests) / (IDLE_SECONDS / 60),
  };
}

/** Requests to the registry since the operator's start. */
function requestsOf(metrics: MetricsReading): number {
  return metrics.sum("hygeia_registry_request_duration_seconds_count", { registry: NAME });
}

/** Of the evictions between two readings. */
function stepsBetween(before: MetricsReading, after: MetricsReading): StepFigures {
  const meanOf = (step: string): number => {
    const [sum = 0, count = 0] = ["sum", "count"].map((part) => {
      const name = `hygeia_eviction_step_duration_seconds_${part}`;
      return after.sum(name, { registry: NAME, step }) - before.sum(name, { registry: NAME, step });
    });
    return (sum / count) * 1000;
  };
  return { confirm: meanOf("Confirm"), write: meanOf("Write") };
}
