import { writeFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";

import { runAdmission } from "./admission.ts";
import { startConsulBench } from "./consul.ts";
import { type DriftFigures, runDrift } from "./drift.ts";
import { startEtcdBench } from "./etcd.ts";
import { startNacosBench } from "./nacos.ts";
import { asTable, type BenchReport, type RegistryFigures } from "./report.ts";
import { type BenchPlan, runRegistry } from "./run.ts";

const starts: Readonly<Record<string, BenchPlan["start"]>> = {
  consul: startConsulBench,
  etcd: startEtcdBench,
  nacos: startNacosBench,
};

interface Arguments {
  readonly plans: readonly BenchPlan[];
  /** Requests a second to the admission webhook; empty when it is not measured. */
  readonly admissionRates: readonly number[];
  /** Numbers of pods to be judged by their policy; empty when it is not measured. */
  readonly driftPods: readonly number[];
  readonly out: string | undefined;
}

function readArguments(): Arguments {
  const { values } = parseArgs({
    options: {
      pods: { type: "string", default: "5000" },
      rate: { type: "string", default: "20,100" },
      registries: { type: "string" },
      admission: { type: "boolean", default: false },
      "admission-rate": { type: "string", default: "200" },
      drift: { type: "boolean", default: false },
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
  const pods = numbers("pods", values.pods).sort((a, b) => a - b);
  const rates = numbers("rate", values.rate);
  // Admission and drift have nothing to do with registries: alone they are measured alone.
  const names = values.registries?.split(",") ?? (values.admission || values.drift ? [] : ["etcd"]);
  const plans = names.map((name) => {
    const start = starts[name];
    if (start === undefined) {
      throw new Error(`--registries ${name}: write some of ${Object.keys(starts).join(",")}`);
    }
    return { name, start, pods, rates };
  });
  const admissionRates = values.admission ? numbers("admission-rate", values["admission-rate"]) : [];
  return { plans, admissionRates, driftPods: values.drift ? pods : [], out: values.out };
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function bench({ plans, admissionRates, driftPods, out }: Arguments): Promise<void> {
  // One after the other: each has the machine for itself.
  const registries: RegistryFigures[] = [];
  for (const plan of plans) registries.push(await runRegistry(plan, say));
  const admission = admissionRates.length > 0 ? await runAdmission(admissionRates, say) : [];
  const drift: DriftFigures[] = [];
  for (const count of driftPods) drift.push(await runDrift(count, say));
  const report: BenchReport = {
    date: new Date().toISOString().slice(0, 10),
    machine: {
      cores: availableParallelism(),
      model: cpus()[0]?.model ?? "unknown",
      memoryGibibytes: Math.round(totalmem() / 2 ** 30),
      node: process.versions.node,
    },
    registries,
    admission,
    drift,
  };
  if (out !== undefined) writeFileSync(out, `${JSON.stringify(report, undefined, 2)}\n`);
  process.stdout.write(asTable(report));
}

try {
  await bench(readArguments());
} catch (error) {
  process.stderr.write(`the bench failed: ${String((error as Error).stack)}\n`);
  process.exitCode = 1;
}
