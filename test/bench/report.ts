import type { AdmissionFigures } from "./admission.ts";
import type { DeathFigures, ForgettingFigures } from "./deaths.ts";
import type { DriftFigures } from "./drift.ts";
import type { Distribution } from "./statistics.ts";

/** What was measured with one number of pods. */
export interface SizeFigures {
  readonly pods: number;
  /** From the process's start until it had judged every instance. */
  readonly coldStartSeconds: number;
  /** After the settling, before any death. */
  readonly residentMebibytes: number;
  readonly peakMebibytes: number;
  readonly heapMebibytes: number;
  /** With nothing changing, percent of one core. */
  readonly idlePercent: number;
  /** To the registry, with nothing changing. */
  readonly idleRequestsPerMinute: number;
  readonly storms: readonly DeathFigures[];
}

/** What was measured with one registry. */
export interface RegistryFigures {
  readonly name: string;
  /** The operator with nothing to keep. */
  readonly emptyResidentMebibytes: number;
  readonly sizes: readonly SizeFigures[];
}

export interface BenchReport {
  /** ISO 8601. */
  readonly date: string;
  readonly machine: {
    readonly cores: number;
    readonly model: string;
    readonly memoryGibibytes: number;
    readonly node: string;
  };
  readonly registries: readonly RegistryFigures[];
  /** Empty when it was not measured. */
  readonly admission: readonly AdmissionFigures[];
  /** Empty when it was not measured. */
  readonly drift: readonly DriftFigures[];
}

/** The report as Markdown. */
export function asTable({ date, machine, registries, admission, drift }: BenchReport): string {
  const { cores, model, memoryGibibytes, node } = machine;
  return [
    `${date}: ${cores} cores (${model}), ${memoryGibibytes} GiB, Node ${node}; control plane, registry, load and observer on the same machine.`,
    "",
    ...(registries.length > 0 ? registryTables(registries) : []),
    ...(admission.length > 0 ? admissionTable(admission) : []),
    ...(drift.length > 0 ? driftTable(drift) : []),
  ].join("\n");
}

function registryTables(registries: readonly RegistryFigures[]): string[] {
  return [
    "From the API server's commit of a confirmed death to the entry's departure, milliseconds:",
    "",
    "| registration | pods and instances | deaths | in all | not evicted in two minutes | evicted p50 / p99 / p99.9 / max | last look / write, mean | left to the registry: p50 / max | requests per eviction |",
    "|---|---|---|---|---|---|---|---|---|",
    ...registries.flatMap(({ sizes }) => sizes.flatMap(({ pods, storms }) => storms.map((storm) => row(pods, storm)))),
    "",
    "| registry | pods and instances | cold start | RSS | RSS at its highest | heap used | RSS when empty | idle, of a core | requests per idle minute |",
    "|---|---|---|---|---|---|---|---|---|",
    ...registries.flatMap(({ name, emptyResidentMebibytes, sizes }) =>
      sizes.map((size) => costs(name, emptyResidentMebibytes, size)),
    ),
    "",
  ];
}

function admissionTable(admission: readonly AdmissionFigures[]): string[] {
  return [
    "Creation of pods (dry run), milliseconds, p50 / p99 / p99.9 / max:",
    "",
    "| pods | in all | unchanged by mistake | webhook, inside the process | creation with the webhook | creation without it |",
    "|---|---|---|---|---|---|",
    ...admission.map(
      ({ rate, created, missed, inside, withWebhook, without }) =>
        `| ${rate.toFixed(0)}/s | ${created} | ${missed} | ${quantiles(inside)} | ${quantiles(withWebhook)} | ${quantiles(without)} |`,
    ),
    "",
  ];
}

function driftTable(drift: readonly DriftFigures[]): string[] {
  return [
    "One count of all pods by how they stand to their policy, CPU time in this process:",
    "",
    "| pods | drifted | the first | after a pod's change | after the policy's change | heap per pod |",
    "|---|---|---|---|---|---|",
    ...drift.map(({ pods, drifted, firstMs, againMs, policyMs, heapBytesPerPod }) => {
      const times = [firstMs, againMs, policyMs].map((value) => `${value.toFixed(1)} ms`).join(" | ");
      return `| ${pods} | ${drifted} | ${times} | ${heapBytesPerPod.toFixed(0)} bytes |`;
    }),
    "",
  ];
}

function row(pods: number, storm: DeathFigures): string {
  const { kind, deaths, rate, eviction, notEvicted, forgetting, requests, steps } = storm;
  const ofEach = [steps.confirm, steps.write].map((value) => value.toFixed(1)).join(" / ");
  const left = forgetting === undefined ? "for ever" : `${lifeOf(forgetting)} (${forgetting.rule})`;
  return `| ${kind} | ${pods} | ${rate.toFixed(0)}/s | ${deaths} | ${notEvicted} | ${quantiles(eviction)} | ${ofEach} | ${left} | ${requests.toFixed(1)} |`;
}

function lifeOf({ life, stayed, watchedMs }: ForgettingFigures): string {
  if (stayed > 0) return `${stayed} of ${stayed + life.count} still there after ${seconds(watchedMs)}`;
  return `${seconds(life.p50)} / ${seconds(life.max)}`;
}

function costs(name: string, empty: number, size: SizeFigures): string {
  const mebibytes = [size.residentMebibytes, size.peakMebibytes, size.heapMebibytes, empty].map(
    (value) => `${value.toFixed(0)} MiB`,
  );
  return `| ${name} | ${size.pods} | ${size.coldStartSeconds.toFixed(1)} s | ${mebibytes.join(" | ")} | ${size.idlePercent.toFixed(1)} % | ${size.idleRequestsPerMinute.toFixed(0)} |`;
}

function quantiles({ p50, p99, p999, max }: Distribution): string {
  return [p50, p99, p999, max].map((value) => value.toFixed(1)).join(" / ");
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
