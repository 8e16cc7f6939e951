import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import type { Site } from "../../src/admission/types.ts";
import { systemClock } from "../../src/clock/system.ts";
import { PodProjector } from "../../src/cluster/project-pod.ts";
import type { PodRecord } from "../../src/cluster/types.ts";
import { type PodCount, countPods } from "../../src/controllers/policy/census.ts";
import { projectPolicy } from "../../src/controllers/policy/compile.ts";
import { PodJudge } from "../../src/controllers/policy/pod-judge.ts";
import { Policies } from "../../src/controllers/policy/policy-set.ts";
import { rawPod } from "../support/cluster-view-fixture.ts";

/** What one count of all pods costs. CPU in milliseconds. */
export interface DriftFigures {
  readonly pods: number;
  /** Of which differ from the policy, before it changes. */
  readonly drifted: number;
  /** Nothing has been judged before. */
  readonly firstMs: number;
  /** After a change of one pod: what is known is used again. Median of several. */
  readonly againMs: number;
  /** After a change of the policy. */
  readonly policyMs: number;
  /** Heap that the judgements take, for each pod. */
  readonly heapBytesPerPod: number;
}

const PODS_PER_WORKLOAD = 10;
const NAMESPACES = 50;
const ROUNDS = 15;

const site = (namespace: string): Site => ({
  namespace,
  namespaceLabels: { "kubernetes.io/metadata.name": namespace },
  serverMinor: 36,
  clusterNameservers: ["10.255.0.10"],
  sysctlObstacle: undefined,
  engineObjection: undefined,
});

/** Counts pods as the operator does, in this process, without a control plane. */
export async function runDrift(count: number, say: (text: string) => void): Promise<DriftFigures> {
  say(`drift: ${count} pods ...`);
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const pods = podsOf(count);
  const policies = new Policies((name) => site(name).namespaceLabels);
  policies.apply([{ type: "Added", object: policyObject(1), createdAfter: -Infinity }]);
  const judge = new PodJudge({ siteOf: site }, new Set());
  let counts: ReadonlyMap<string, PodCount> = new Map();
  const recount = async (): Promise<number> => {
    const before = process.cpuUsage();
    judge.begin();
    const signal = AbortSignal.timeout(600_000);
    counts = await countPods(pods, (pod) => policies.matching(pod), judge, systemClock, signal);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
  collect();
  const heapBefore = process.memoryUsage().heapUsed;
  const firstMs = await recount();
  const again: number[] = [];
  for (let round = 0; round < ROUNDS; round++) again.push(await recount());
  collect();
  const heapBytesPerPod = (process.memoryUsage().heapUsed - heapBefore) / count;
  const counted = counts.get("bench")?.compliance;
  if (counted === undefined || counted.compliant + counted.drifted !== count)
    throw new Error(`not every pod was judged: ${JSON.stringify(counted)}`);
  policies.apply([{ type: "Modified", object: policyObject(2), previous: policyObject(1) }]);
  const policyMs = await recount();
  const againMs = again.toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? NaN;
  return { pods: count, drifted: counted.drifted, firstMs, againMs, policyMs, heapBytesPerPod };
}

/** Half of the workloads obey. */
function podsOf(count: number): PodRecord[] {
  const projector = new PodProjector();
  return Array.from({ length: count }, (_, index) => {
    const workload = Math.floor(index / PODS_PER_WORKLOAD);
    const raw = rawPod({
      name: `web-${index}`,
      namespace: `team-${workload % NAMESPACES}`,
      graceSeconds: 30 + workload,
    });
    const { spec, ...rest } = raw as { spec: object };
    const dnsConfig = { options: [{ name: "ndots", value: "3" }] };
    const obeys = workload % 2 === 0 && { dnsConfig, securityContext: { sysctls: keepaliveOf(1) } };
    return projector.project({ ...rest, spec: { ...spec, ...obeys } });
  });
}

function keepaliveOf(generation: number): { name: string; value: string }[] {
  const values = { time: 300 * generation, intvl: 30, probes: 3 };
  return Object.entries(values).map(([name, value]) => ({ name: `net.ipv4.tcp_keepalive_${name}`, value: `${value}` }));
}

function policyObject(generation: number) {
  return projectPolicy({
    metadata: { name: "bench", uid: "bench", generation, resourceVersion: String(generation) },
    spec: {
      mode: "Enforce",
      registration: { registries: [{ name: "none" }] },
      dns: { ndots: 3, libc: "Any", onConflict: "AuthorWins", searchMode: "Append", goResolver: "Unset" },
      keepalive: { time: `${300 * generation}s`, interval: "30s", probes: 3 },
    },
  });
}
