import type { ClusterReader } from "../../../src/cluster/types.ts";
import { decide } from "../../../src/verdict/chain.ts";
import type { DeadWriter, EndpointFacts, Facts } from "../../../src/verdict/facts.ts";
import { gather, type JudgeInput } from "../../../src/verdict/gather.ts";
import { afterJudgement } from "../../../src/verdict/memory.ts";
import type { Weaknesses } from "./etcd-server.ts";
import type { Core } from "./operator.ts";

/** A rule left out or weakened on purpose. The histories must find out, or they prove nothing. */
export interface BrokenRule {
  readonly core: Partial<Core>;
  /** What the registry must lack for it to matter. */
  readonly weaknesses?: Weaknesses;
  /** Found within a few histories; the others need a night. */
  readonly isCommon: boolean;
}

/** Judges with what it is given twisted before, and what was gathered twisted after. */
function judging(twist: {
  readonly input?: (input: JudgeInput) => JudgeInput;
  readonly facts?: (facts: Facts, input: JudgeInput) => Facts;
}): Partial<Core> {
  return {
    judge: (given) => {
      const input = twist.input?.(given) ?? given;
      const gathered = gather(input);
      const facts = twist.facts?.(gathered, input) ?? gathered;
      const verdict = decide(facts);
      return { verdict, memory: afterJudgement(facts, verdict) };
    },
  };
}

function withCluster(twist: Partial<ClusterReader>): Partial<Core> {
  return judging({
    input: (input) => {
      const { cluster } = input;
      const twisted = new Proxy(cluster, {
        get: (target, name) => {
          const value: unknown = Reflect.get(Object.hasOwn(twist, name) ? twist : target, name);
          return typeof value === "function" ? (value.bind(target) as unknown) : value;
        },
      });
      return { ...input, cluster: twisted };
    },
  });
}

function withEndpoints(twist: (endpoint: EndpointFacts, facts: Facts) => EndpointFacts): Partial<Core> {
  return judging({
    facts: (facts) => ({ ...facts, endpoints: facts.endpoints.map((endpoint) => twist(endpoint, facts)) }),
  });
}

function withWriters(twist: (writer: DeadWriter, facts: Facts) => DeadWriter): Partial<Core> {
  return withEndpoints((endpoint, facts) => ({
    ...endpoint,
    writers: endpoint.writers.map((writer) => twist(writer, facts)),
  }));
}

export const brokenRules: Readonly<Record<string, BrokenRule>> = {
  "pods without a known address are ignored": {
    core: withCluster({ hiddenSince: () => Infinity }),
    isCommon: true,
  },
  "a view need not have caught up with the record": {
    core: withEndpoints((endpoint) => ({ ...endpoint, writersKnown: true })),
    isCommon: true,
  },
  "the delete does not compare the version": { core: { comparesVersion: false }, isCommon: true },
  "a delete that compares nothing comes late": {
    core: { deletesAtOnce: false },
    weaknesses: { silentRewrites: true, unguardedDeletes: true },
    isCommon: true,
  },
  "a removal is a death, confirmed or not": {
    core: withWriters((writer) => ({ ...writer, confirmed: true })),
    isCommon: true,
  },
  "a pod missing from a list is dead": {
    core: withWriters((writer) => ({
      ...writer,
      confirmed: writer.confirmed || writer.tombstone.reason === "NotWitnessed",
    })),
    isCommon: true,
  },
  "a lease is silent as soon as it was read": {
    core: judging({
      facts: (facts) => {
        const { memory, record, now } = facts;
        if (memory.life === undefined) return facts;
        const refreshes = { refreshedAfter: -Infinity, refreshedBefore: record.seenAt - 1e9 };
        const life = { ...memory.life, ...refreshes, readings: 2, firstAt: record.seenAt, lastAt: now };
        return { ...facts, memory: { ...memory, life } };
      },
    }),
    isCommon: true,
  },
  "every node is out of service": {
    core: withCluster({
      node: (name) => ({
        name,
        ready: false,
        since: 0,
        returnedAt: undefined,
        addresses: [],
        podCIDRs: [],
        outOfService: true,
        labels: {},
        system: { operatingSystem: "linux", kubeletVersion: "v1.36.3", kernelVersion: "6.1.0" },
      }),
    }),
    isCommon: true,
  },
  "an older record at a living pod's address is dead, of whatever service": {
    core: withEndpoints((endpoint) => ({
      ...endpoint,
      owners: endpoint.owners.filter(({ mayHaveWritten }) => mayHaveWritten),
      strangers: [...endpoint.strangers, ...endpoint.owners.filter(({ mayHaveWritten }) => !mayHaveWritten)],
    })),
    isCommon: true,
  },
  "a terminating pod is dead": {
    core: withEndpoints((endpoint) => ({
      ...endpoint,
      owners: endpoint.owners.filter(({ pod }) => !pod.deleting),
    })),
    isCommon: true,
  },
  "stale views decide": {
    core: judging({ facts: (facts) => ({ ...facts, clusterProblem: undefined, registryProblem: undefined }) }),
    isCommon: false,
  },
  "nothing is confirmed by a read": { core: { confirms: false }, isCommon: false },
  "containers seen terminated are dead two seconds later, by our view's time": {
    core: withWriters((writer, { record }) => ({
      ...writer,
      confirmed:
        writer.confirmed ||
        (writer.tombstone.reason === "ContainersTerminated" && record.seenAt < writer.tombstone.seenAt - 2_000),
    })),
    isCommon: false,
  },
  "every node is Ready": {
    core: withCluster({
      node: (name) => ({
        name,
        ready: true,
        since: -Infinity,
        returnedAt: undefined,
        addresses: [],
        podCIDRs: [],
        outOfService: false,
        labels: {},
        system: { operatingSystem: "linux", kubeletVersion: "v1.36.3", kernelVersion: "6.1.0" },
      }),
    }),
    isCommon: false,
  },
  "a node out of touch does not matter where nobody is known to have died": {
    core: withCluster({ unreachableUntil: () => -Infinity }),
    isCommon: false,
  },
  "every guard is exact": {
    core: judging({ input: (input) => ({ ...input, exactGuard: true }) }),
    isCommon: false,
  },
};
