import type { RegistryStatus } from "../../api/v1alpha1/index.ts";
import type { Clock } from "../../clock/clock.ts";
import { secondTime } from "../../clock/format.ts";
import { firstToExpire } from "./certificates.ts";
import type { RegistryEntry } from "./registry-set.ts";
import type { RegistryFacts } from "./status.ts";
import type { ViewAgeStep } from "./view-age.ts";

/** Gathers what is known of a Registry now. */
export function gatherFacts({ object, runner }: RegistryEntry, clock: Clock, freshForMs: number): RegistryFacts {
  const { parsed } = object;
  const endpoints = parsed.ok ? parsed.object.endpoints : [];
  return {
    specProblems: parsed.ok ? undefined : parsed.problems,
    problem: runner?.problem,
    isRunning: runner?.managed !== undefined,
    freshness: runner?.view.freshness() ?? NOTHING_KNOWN,
    freshForMs,
    tls: {
      isUsed: endpoints.some((endpoint) => endpoint.startsWith("https:")),
      hasLooked: runner?.tls?.hasLooked ?? false,
      finding: runner?.tls?.finding(clock.wall()),
    },
    now: clock.monotonic(),
  };
}

const NOTHING_KNOWN: RegistryFacts["freshness"] = {
  synced: false,
  caughtUpTo: Number.NEGATIVE_INFINITY,
  problem: undefined,
  mode: "Normal",
  serverVersion: "",
  clusterId: "",
};

/** The figures of a Registry's status: everything but the conditions and the generation. Unknown ones are left out. */
export function registryFigures({ runner }: RegistryEntry, viewAge: ViewAgeStep | undefined): RegistryStatus {
  if (runner === undefined) return {};
  const { view, tls } = runner;
  const { mode, serverVersion, clusterId, synced } = view.freshness();
  const expiry = tls && firstToExpire(tls.certificates());
  return {
    mode,
    ...(serverVersion === "" ? {} : { serverVersion }),
    ...(clusterId === "" ? {} : { clusterId }),
    ...(viewAge === undefined ? {} : { viewAge }),
    ...(synced ? { instances: view.size, ignoredEntries: sum(view.ignoredTotals) } : {}),
    ...(expiry === undefined ? {} : { certificateExpiry: secondTime(expiry.notAfter) }),
  };
}

function sum(totals: Readonly<Record<string, number>>): number {
  return Object.values(totals).reduce((total, count) => total + count, 0);
}
