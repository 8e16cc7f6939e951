import { setTimeout as delay } from "node:timers/promises";

import { mutatePod } from "../../src/admission/mutate.ts";
import { ADMISSION_LABEL, APPLIED_ANNOTATION } from "../../src/admission/types.ts";
import { type WebhookReplica, WebhookStage } from "../support/webhook-stage.ts";
import { eventually } from "../support/operator-wait.ts";
import { BENCH_LABELS, benchSnapshot } from "./admission-policies.ts";
import { type Distribution, distributionOf } from "./statistics.ts";

/** What was measured at one rate of creations. Times in milliseconds. */
export interface AdmissionFigures {
  /** Creations a second as they were achieved. */
  readonly rate: number;
  readonly created: number;
  /** Pods that came out unchanged although a replica was there. */
  readonly missed: number;
  /** From a request's headers to its answer, inside the webhook's process (which makes the load too). */
  readonly inside: Distribution;
  /** A whole creation, seen by its client. */
  readonly withWebhook: Distribution;
  /** The same of pods whose label exempts them. */
  readonly without: Distribution;
}

const SECONDS = 20;
const WARM_UP_SECONDS = 3;

/** Creates pods through a real API server and the webhook with its own certificate, at each rate. */
export async function runAdmission(rates: readonly number[], say: (text: string) => void): Promise<AdmissionFigures[]> {
  say("admission: starting ...");
  const stage = await WebhookStage.start();
  try {
    await stage.createNamespace("bench");
    await stage.configure();
    const snapshot = benchSnapshot("bench");
    const replica = await stage.startReplica({ mutate: mutatePod, snapshot: () => snapshot });
    await replica.untilReady();
    await eventually("the API server has pods changed", async () => (await load(stage, 1, 1, {})).missed === 0);
    const figures: AdmissionFigures[] = [];
    for (const rate of rates) {
      say(`admission: ${rate} pods a second ...`);
      await load(stage, rate, WARM_UP_SECONDS, {});
      figures.push(await measure(stage, replica, rate));
    }
    return figures;
  } finally {
    await stage.stop();
  }
}

async function measure(stage: WebhookStage, replica: WebhookReplica, rate: number): Promise<AdmissionFigures> {
  const { seconds } = replica.metrics.admission;
  const inside: number[] = [];
  const observe = seconds.observe.bind(seconds);
  seconds.observe = (value: unknown) => void inside.push(Number(value) * 1000);
  const startedAt = performance.now();
  const { times, missed } = await load(stage, rate, SECONDS, {});
  const achieved = times.length / ((performance.now() - startedAt) / 1000);
  seconds.observe = observe;
  const exempt = await load(stage, rate, SECONDS, { [ADMISSION_LABEL]: "Disabled" });
  return {
    rate: achieved,
    created: times.length,
    missed,
    inside: distributionOf(inside),
    withWebhook: distributionOf(times),
    without: distributionOf(exempt.times),
  };
}

/** Creates pods at a steady rate, whether the ones before have been answered or not. */
async function load(
  stage: WebhookStage,
  rate: number,
  seconds: number,
  labels: object,
): Promise<{ times: number[]; missed: number }> {
  const times: number[] = [];
  let missed = 0;
  const creations: Promise<void>[] = [];
  const startedAt = performance.now();
  for (let index = 0; index < rate * seconds; index++) {
    const waitMs = startedAt + (index * 1000) / rate - performance.now();
    if (waitMs > 1) await delay(waitMs);
    const sentAt = performance.now();
    creations.push(
      stage.createPod("bench", { labels: { ...BENCH_LABELS, ...labels } }, {}, { dryRun: "All" }).then((pod) => {
        times.push(performance.now() - sentAt);
        if (pod.metadata.annotations?.[APPLIED_ANNOTATION] === undefined) missed += 1;
      }),
    );
  }
  await Promise.all(creations);
  return { times, missed };
}
