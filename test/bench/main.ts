import { writeFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";

import { Scope, startControlPlane, startEtcd } from "../env/index.ts";
import { applyPolicy, applyRegistry } from "../support/operator-objects.ts";
import { eventually } from "../support/operator-wait.ts";
import { type Operator, startOperator } from "../support/operator.ts";
import { type DeathFigures, runDeaths } from "./deaths.ts";
import { figuresOf } from "./process-figures.ts";
import { asTable, type BenchReport, type SizeFigures } from "./report.ts";
import { World } from "./world.ts";

/** How long deaths go on at each rate, seconds: 100/s gives 2,000 of them. */
const STORM_SECONDS = 20;
/** Two sweeps long. */
const IDLE_SECONDS = 60;
/** A view is at most about ten seconds old, so after this everything written before counts as older than what follows. */
const SETTLE_MS = 15_000;
const COLD_START_LIMIT_MS = 300_000;

interface Arguments {
  readonly pods: readonly number[];
  readonly rates: readonly number[];
  readonly out: string | undefined;
}

function readArguments(): Arguments {
  const { values } = parseArgs({
    options: {
      pods: { type: "string", default: "5000" },
      rate: { type: "string", default: "20,100" },
      registries: { type: "string", default: "etcd" },
      out: { type: "string" },
    },
  });
  const numbers = (flag: string, text: string): number[] =>
    text.split(",").map((each) => {
      const number = Number(each);
      if (!Number.isInteger(number) || number < 1)
        throw new Error(`--${flag} ${text}: write whole numbers, as 5000,10000`);
      return number;
    });
  if (values.registries !== "etcd")
    throw new Error(`--registries ${values.registries}: this version works with etcd only`);
  return {
    pods: numbers("pods", values.pods).sort((a, b) => a - b),
    rates: numbers("rate", values.rate),
    out: values.out,
  };
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
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

async function measureIdle(operator: Operator): Promise<number> {
  const before = figuresOf(operator.pid).cpuSeconds;
  await delay(IDLE_SECONDS * 1000);
  return ((figuresOf(operator.pid).cpuSeconds - before) / IDLE_SECONDS) * 100;
}

async function bench({ pods, rates, out }: Arguments): Promise<void> {
  const scope = new Scope();
  try {
    const [controlPlane, etcd] = await Promise.all([
      startControlPlane({ scope, log: say }),
      startEtcd({ scope, log: say }),
    ]);
    const world = await World.create(controlPlane, etcd);
    const start = (): Promise<Operator> => startOperator({ cluster: controlPlane });

    const empty = await start();
    await applyRegistry(world.cluster.client, "bench", { endpoints: etcd.endpoints, layouts: [{ layout: "Kratos" }] });
    await applyPolicy(world.cluster.client, "bench", { registries: ["bench"] });
    await empty.untilReady();
    const baseline = figuresOf(empty.pid).residentMebibytes;
    await empty.stop();

    const sizes: SizeFigures[] = [];
    for (const count of pods) {
      say(`growing to ${count} pods and instances ...`);
      await world.growTo(count, (done) => done % 5_000 === 0 && say(`  ${done}`));
      say("cold start ...");
      const { operator, seconds } = await coldStart(start, count);
      await delay(SETTLE_MS);
      const idle = await measureIdle(operator);
      const heap = (await operator.metrics()).sum("nodejs_heap_size_used_bytes");
      const { residentMebibytes } = figuresOf(operator.pid);
      say(
        `  judged all after ${seconds.toFixed(1)} s; RSS ${residentMebibytes.toFixed(0)} MiB; idle ${idle.toFixed(1)} % of a core`,
      );
      const storms: DeathFigures[] = [];
      for (const rate of rates) {
        await world.growTo(count, () => undefined);
        await delay(SETTLE_MS);
        say(`${rate} deaths a second at ${count} pods ...`);
        const storm = await runDeaths(world, rate, Math.min(rate * STORM_SECONDS, Math.floor(count / 2)));
        storms.push(storm);
        say(`  eviction p50 ${storm.eviction.p50.toFixed(1)} ms, p99 ${storm.eviction.p99.toFixed(1)} ms`);
      }
      const peak = figuresOf(operator.pid).peakMebibytes;
      sizes.push({
        pods: count,
        coldStartSeconds: seconds,
        residentMebibytes,
        peakMebibytes: peak,
        heapMebibytes: heap / 2 ** 20,
        idlePercent: idle,
        storms,
      });
      await operator.stop();
    }
    await world.close();

    const report: BenchReport = {
      date: new Date().toISOString().slice(0, 10),
      machine: {
        cores: availableParallelism(),
        model: cpus()[0]?.model ?? "unknown",
        memoryGibibytes: Math.round(totalmem() / 2 ** 30),
        node: process.versions.node,
      },
      emptyResidentMebibytes: baseline,
      sizes,
    };
    if (out !== undefined) writeFileSync(out, `${JSON.stringify(report, undefined, 2)}\n`);
    process.stdout.write(asTable(report));
  } finally {
    await scope.stop();
  }
}

try {
  await bench(readArguments());
} catch (error) {
  process.stderr.write(`the bench failed: ${String((error as Error).stack)}\n`);
  process.exitCode = 1;
}
