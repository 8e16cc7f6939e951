import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { ManualClock } from "../../../test/support/manual-clock.ts";
import { createLogger } from "../../telemetry/log.ts";
import { createMetrics, type Metrics } from "../../telemetry/metrics.ts";
import { PROBE_ANNOTATION, PROBED_ANNOTATION } from "../review.ts";
import type { DryRunAnswer, DryRunPod } from "./pod-dry-run.ts";
import { WebhookProbe } from "./webhook-probe.ts";

/** What the API server answers to one creation. */
type Answer = (pod: DryRunPod) => DryRunAnswer;

const answered: Answer = ({ annotations = {} }) => ({
  result: "Accepted",
  annotations: { ...annotations, [PROBED_ANNOTATION]: annotations[PROBE_ANNOTATION] ?? "" },
});
/** The pod comes out as it was sent. */
const notAsked: Answer = ({ annotations = {} }) => ({ result: "Accepted", annotations });
const ofAnother: Answer = () => ({ result: "Accepted", annotations: { [PROBED_ANNOTATION]: "another's" } });
const refused: Answer = () => ({ result: "Refused", message: "over the quota" });
const unknown: Answer = () => ({ result: "Unknown" });

let clock: ManualClock;
let stop: AbortController;
let metrics: Metrics;
let namespaces: readonly string[];
/** The answers to come; the last stands for all after it. */
let answers: readonly Answer[];
let created: { readonly namespace: string; readonly pod: DryRunPod; readonly at: number }[];
let probe: WebhookProbe;
let ended: Promise<void>;

beforeEach(() => {
  clock = new ManualClock();
  stop = new AbortController();
  metrics = createMetrics({ version: "test" });
  namespaces = ["shop"];
  answers = [answered];
  created = [];
  probe = new WebhookProbe({
    dryRun: {
      create: (namespace, pod) => {
        const answer = answers[Math.min(created.length, answers.length - 1)] ?? unknown;
        created.push({ namespace, pod, at: clock.monotonic() });
        return Promise.resolve(answer(pod));
      },
    },
    namespaces: () => namespaces,
    clock,
    log: createLogger({ level: "silent" }),
    metrics,
  });
  ended = probe.run(stop.signal);
});

afterEach(async () => {
  stop.abort();
  await clock.advance(0);
  await ended;
});

/** A new certificate is served, and time enough passes for all tries. */
async function rotate(): Promise<void> {
  probe.rotated();
  await clock.advance(60_000);
}

/** What was counted, and the gauge; undefined where it was never set. */
async function told(): Promise<{ passed: number; failed: number; trusted: number | undefined }> {
  const { values } = await metrics.admission.checks.get();
  const count = (result: string): number =>
    values.find(({ labels }) => labels.check === "DryRun" && labels.result === result)?.value ?? 0;
  const trusted = (await metrics.admission.trusted.get()).values.find(({ labels }) => labels.check === "DryRun");
  return { passed: count("Passed"), failed: count("Failed"), trusted: trusted?.value };
}

describe("WebhookProbe", () => {
  test("asks for nothing until a certificate has changed", async () => {
    await clock.advance(3_600_000);
    expect(created).toEqual([]);
    expect(await told()).toEqual({ passed: 0, failed: 0, trusted: undefined });
  });

  test("has passed when a replica answers, and creates one pod that our webhook may see", async () => {
    await rotate();
    expect(await told()).toEqual({ passed: 1, failed: 0, trusted: 1 });
    expect(created).toMatchObject([{ namespace: "shop", pod: { admission: "Enabled" } }]);
  });

  test("passes once more after each change of the certificate, with another question", async () => {
    await rotate();
    await rotate();
    expect(await told()).toEqual({ passed: 2, failed: 0, trusted: 1 });
    expect(new Set(created.map(({ pod }) => pod.annotations?.[PROBE_ANNOTATION])).size).toBe(2);
  });

  test("has failed when the API server asks nobody at four tries, two seconds apart", async () => {
    answers = [notAsked];
    await rotate();
    expect(await told()).toEqual({ passed: 0, failed: 1, trusted: 0 });
    const [first = 0] = created.map(({ at }) => at);
    expect(created.map(({ at }) => at - first)).toEqual([0, 2_000, 4_000, 6_000]);
  });

  test("an API server that has not read the new configuration yet is no failure", async () => {
    answers = [notAsked, notAsked, notAsked, answered];
    await rotate();
    expect(await told()).toEqual({ passed: 1, failed: 0, trusted: 1 });
  });

  test("an annotation that does not answer its question is no answer", async () => {
    answers = [ofAnother];
    await rotate();
    expect(await told()).toMatchObject({ passed: 0, failed: 1 });
  });

  test("takes a failure back when it passes later, and says one after it had passed", async () => {
    answers = [notAsked, notAsked, notAsked, notAsked, answered, notAsked];
    await rotate();
    await rotate();
    expect(await told()).toEqual({ passed: 1, failed: 1, trusted: 1 });
    await rotate();
    expect(await told()).toEqual({ passed: 1, failed: 2, trusted: 0 });
  });

  test.each(Object.entries({ refuses: refused, "can not say": unknown }))(
    "says nothing where the API server %s",
    async (_, answer) => {
      answers = [answer];
      await rotate();
      expect(created).toHaveLength(4);
      expect(await told()).toEqual({ passed: 0, failed: 0, trusted: undefined });
    },
  );

  test("where no dry run is allowed none is made, and one is once it is, within the four tries", async () => {
    namespaces = [];
    await rotate();
    expect(created).toEqual([]);
    probe.rotated();
    await clock.advance(3_000);
    namespaces = ["more"];
    await clock.advance(60_000);
    expect(created).toMatchObject([{ namespace: "more" }]);
    expect(await told()).toEqual({ passed: 1, failed: 0, trusted: 1 });
  });
});
