import { parseArgs } from "node:util";

import { type FlagText, helpFlag, UsageError, usageOf } from "../support/command-line.ts";
import { startConsulBench } from "./consul.ts";
import { startEtcdBench } from "./etcd.ts";
import { startNacosBench } from "./nacos.ts";
import type { BenchPlan } from "./run.ts";

const starts: Readonly<Record<string, BenchPlan["start"]>> = {
  consul: startConsulBench,
  etcd: startEtcdBench,
  nacos: startNacosBench,
};

const flags = {
  pods: { type: "string", default: "5000", value: "N[,N...]", help: "pods and instances, one run for each number" },
  rate: { type: "string", default: "20,100", value: "N[,N...]", help: "deaths a second, one storm for each number" },
  registries: {
    type: "string",
    value: "NAME[,NAME...]",
    help: `some of ${Object.keys(starts).join(",")}; default etcd, and none with --admission or --drift`,
  },
  admission: { type: "boolean", default: false, help: "measure the admission of pods" },
  "admission-rate": { type: "string", default: "200", value: "N[,N...]", help: "pods a second, with --admission" },
  drift: { type: "boolean", default: false, help: "measure how all pods are compared with their policy" },
  out: { type: "string", value: "FILE", help: "write the figures there too, as JSON" },
  help: helpFlag,
} as const satisfies Record<string, FlagText>;

/** The text that --help prints. */
export function usage(): string {
  const does =
    "    measures what docs/benchmarks.md shows, on a real control plane and real registries, and prints tables";
  return usageOf(["npm run bench -- [flags]", does], flags);
}

/** What is to be measured. */
export interface Arguments {
  readonly plans: readonly BenchPlan[];
  /** Requests a second to the admission webhook; empty when it is not measured. */
  readonly admissionRates: readonly number[];
  /** Numbers of pods to be judged by their policy; empty when it is not measured. */
  readonly driftPods: readonly number[];
  readonly out: string | undefined;
}

/**
 * @param args without the program's own name
 * @returns `Help` when only that text is asked for
 * @throws UsageError, or what parseArgs() throws
 */
export function readArguments(args: readonly string[]): Arguments | "Help" {
  const { values } = parseArgs({ args: [...args], options: flags });
  if (values.help) return "Help";
  const pods = numbers("pods", values.pods).sort((a, b) => a - b);
  const rates = numbers("rate", values.rate);
  // Admission and drift have nothing to do with registries: alone they are measured alone.
  const names = values.registries?.split(",") ?? (values.admission || values.drift ? [] : ["etcd"]);
  const plans = names.map((name) => {
    const start = starts[name];
    if (start === undefined)
      throw new UsageError(`--registries ${name}: write some of ${Object.keys(starts).join(",")}`);
    return { name, start, pods, rates };
  });
  const admissionRates = values.admission ? numbers("admission-rate", values["admission-rate"]) : [];
  return { plans, admissionRates, driftPods: values.drift ? pods : [], out: values.out };
}

function numbers(flag: string, text: string): number[] {
  return text.split(",").map((each) => {
    const number = Number(each);
    if (!Number.isInteger(number) || number < 1)
      throw new UsageError(`--${flag} ${text}: write whole numbers, as 5000,10000`);
    return number;
  });
}
