import type { DeathFigures } from "./deaths.ts";
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
  readonly storms: readonly DeathFigures[];
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
  /** The operator with nothing to keep. */
  readonly emptyResidentMebibytes: number;
  readonly sizes: readonly SizeFigures[];
}

/** The report as Markdown. */
export function asTable({ date, machine, emptyResidentMebibytes, sizes }: BenchReport): string {
  const { cores, model, memoryGibibytes, node } = machine;
  const rows = sizes.flatMap(({ pods, storms }) =>
    storms.map(
      ({ deaths, rate, eviction, lease }) =>
        `| ${pods} | ${rate.toFixed(0)}/s | ${deaths} | ${quantiles(eviction)} | ${seconds(lease.p50)} / ${seconds(lease.max)} |`,
    ),
  );
  const costs = sizes.map((size) => {
    const perPod = ((size.residentMebibytes - emptyResidentMebibytes) * 1024) / size.pods;
    return `| ${size.pods} | ${size.coldStartSeconds.toFixed(1)} s | ${size.residentMebibytes.toFixed(0)} MiB | ${size.peakMebibytes.toFixed(0)} MiB | ${size.heapMebibytes.toFixed(0)} MiB | ${perPod.toFixed(1)} KiB | ${size.idlePercent.toFixed(1)} % |`;
  });
  return [
    `${date}: ${cores} cores (${model}), ${memoryGibibytes} GiB, Node ${node}; control plane, registry, load and observer on the same machine.`,
    "",
    "From the API server's commit of a confirmed death to the registry's commit, milliseconds:",
    "",
    "| pods and instances | deaths | in all | evicted p50 / p99 / p99.9 / max | left to a lease of 15 s: p50 / max |",
    "|---|---|---|---|---|",
    ...rows,
    "",
    `| pods and instances | cold start | RSS | RSS at its highest | heap used | RSS per pod and instance above the empty ${emptyResidentMebibytes.toFixed(0)} MiB | idle, of a core |`,
    "|---|---|---|---|---|---|---|",
    ...costs,
    "",
  ].join("\n");
}

function quantiles({ p50, p99, p999, max }: Distribution): string {
  return [p50, p99, p999, max].map((value) => value.toFixed(1)).join(" / ");
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
