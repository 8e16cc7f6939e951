/** How many queries the lookup of a name costs on a real node, counted by the DNS server, against src/lint. */
import { afterAll, beforeAll, expect, test } from "vitest";

import { type Answer, type Libc, type Lookup, lookUp } from "../../src/lint/dns-queries.ts";
import { type NodeDns, type PodDns, resolvConf, resolverOf } from "../../src/lint/resolver.ts";
import type { Query, Zone } from "../env/node/dns.ts";
import { DNS_ADDRESS } from "../env/node/settings.ts";
import { makeTemporaryDirectory, removeTemporaryDirectory } from "../env/supervisor.ts";
import { specOf } from "./pod-dns.ts";
import { type Pod, probePod } from "./pods.ts";
import { RESOLVERS, resolverFiles, whyNot } from "./resolvers.ts";
import { describeOnRealNode, type Stage, startStage } from "./stage.ts";

const NODE: NodeDns = {
  clusterNameservers: [DNS_ADDRESS],
  clusterDomain: "cluster.local",
  nameservers: [DNS_ADDRESS],
  searches: [],
};

const S3 = "s3.us-east-1.amazonaws.com";

/** Names that are looked up, and whose names have addresses; `web` is in the pod's own namespace. */
const NAMES = [
  "web",
  "api.ns2",
  "api.ns2.svc",
  "db-0.db.ns2",
  "api.ns2.svc.cluster.local",
  "db-0.db.ns2.svc.cluster.local",
  "example.com",
  S3,
  `${S3}.`,
  "nobody",
  "nobody.example",
];

function zoneOf(namespace: string): Zone {
  const address = { A: ["10.1.2.3"] };
  return {
    [`web.${namespace}.svc.cluster.local`]: address,
    "api.ns2.svc.cluster.local": address,
    "db-0.db.ns2.svc.cluster.local": address,
    "example.com": { A: ["10.1.2.4"], AAAA: ["fd00::4"] },
    [S3]: address,
  };
}

/** Two search domains more than a cluster's three. */
const MORE = ["corp.example", "dc1.corp.example"];

function ndots(value: number, searches: readonly string[] = []): PodDns {
  return { dnsPolicy: "ClusterFirst", config: { searches, options: [{ name: "ndots", value: String(value) }] } };
}

function withOption(name: string): PodDns {
  return { dnsPolicy: "ClusterFirst", config: { options: [{ name }] } };
}

const PODS: Readonly<Record<string, PodDns>> = {
  "three search domains, ndots 5 as the kubelet has it": { dnsPolicy: "ClusterFirst" },
  "three search domains, ndots 3": ndots(3),
  "three search domains, ndots 2": ndots(2),
  "three search domains, ndots 1": ndots(1),
  "three search domains, no-aaaa": withOption("no-aaaa"),
  "three search domains, no-tld-query": withOption("no-tld-query"),
  "five search domains, ndots 5 as the kubelet has it": { dnsPolicy: "ClusterFirst", config: { searches: MORE } },
  "five search domains, ndots 2": ndots(2, MORE),
};

const LIBCS = Object.keys(RESOLVERS) as Libc[];

/** What was asked, as a Lookup: each name once, and all queries. */
function asLookup(queries: readonly Query[], found: boolean): Omit<Lookup, "found"> & { found: boolean } {
  const asked = queries.map(({ name }) => name).filter((name, i, names) => name !== names[i - 1]);
  return { asked, queries: queries.length, found };
}

describeOnRealNode("the DNS queries of a lookup", () => {
  let stage: Stage;
  let namespace: string;

  beforeAll(async () => {
    const directory = makeTemporaryDirectory("resolvers");
    stage = await startStage({ files: resolverFiles(directory) });
    removeTemporaryDirectory(directory);
    namespace = await stage.pods.namespace();
  });
  afterAll(async () => {
    await stage.stop();
  });

  async function run(dns: PodDns): Promise<Pod> {
    return stage.pods.run(namespace, probePod(specOf(dns)));
  }

  /** What the server was asked, and what the linter says that it is asked. */
  async function measure(libc: Libc, pod: Pod, dns: PodDns, name: string, zone: Zone) {
    await stage.node.dns.forget();
    const found = await RESOLVERS[libc](stage.pods, pod, name);
    const measured = asLookup(await stage.node.dns.queries(), found);
    const foretold = lookUp(name, resolverOf(resolvConf(dns, namespace, NODE), libc), (asked) => answerOf(zone, asked));
    return { measured, foretold: { ...foretold, found: foretold.found !== undefined } };
  }

  for (const [name, dns] of Object.entries(PODS)) {
    for (const libc of LIBCS) {
      testWith(libc, name, async () => {
        const zone = zoneOf(namespace);
        await stage.node.dns.serve(zone);
        const pod = await run(dns);
        for (const lookedUp of NAMES) {
          const { measured, foretold } = await measure(libc, pod, dns, lookedUp, zone);
          expect(measured, lookedUp).toEqual(foretold);
        }
      });
    }
  }

  for (const libc of LIBCS) {
    testWith(libc, "a domain that answers with a failure, or with no address", async () => {
      const own = `${namespace}.svc.cluster.local`;
      const zone: Zone = {
        ...zoneOf(namespace),
        [`failing.example.${own}`]: "ServerFailure",
        [`empty.example.${own}`]: {},
        "failing.example": { A: ["10.1.2.5"] },
        "empty.example": { A: ["10.1.2.6"] },
      };
      await stage.node.dns.serve(zone);
      const dns: PodDns = { dnsPolicy: "ClusterFirst" };
      const pod = await run(dns);
      const empty = await measure(libc, pod, dns, "empty.example", zone);
      expect(empty.measured).toEqual(empty.foretold);
      const failing = await measure(libc, pod, dns, "failing.example", zone);
      // A failure is asked for again: once more by glibc and Go, five times more by musl, which takes five seconds.
      expect(failing.measured).toEqual(failing.foretold);
    });
  }
});

/** A test that is skipped, and says why, where the resolver cannot be tried. */
function testWith(libc: Libc, name: string, run: () => Promise<void>): void {
  const obstacle = whyNot(libc);
  test.skipIf(obstacle !== undefined)(
    `${name} (${libc}${obstacle === undefined ? "" : `, skipped: ${obstacle}`})`,
    run,
  );
}

function answerOf(zone: Zone, name: string): Answer {
  const records = zone[name];
  if (records === undefined) return "NoSuchName";
  if (records === "ServerFailure") return "ServerFailure";
  return (records.A ?? []).length + (records.AAAA ?? []).length > 0 ? "Address" : "NoAddress";
}
