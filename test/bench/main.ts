import { writeFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";

import { toldOfUsage } from "../support/command-line.ts";
import { runAdmission } from "./admission.ts";
import { type Arguments, readArguments, usage } from "./arguments.ts";
import { type DriftFigures, runDrift } from "./drift.ts";
import { asTable, type BenchReport, type RegistryFigures } from "./report.ts";
import { runRegistry } from "./run.ts";

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
  const wanted = readArguments(process.argv.slice(2));
  if (wanted === "Help") process.stdout.write(usage());
  else await bench(wanted);
} catch (error) {
  if (!toldOfUsage(error)) {
    process.stderr.write(`the bench failed: ${String((error as Error).stack)}\n`);
    process.exitCode = 1;
  }
}
