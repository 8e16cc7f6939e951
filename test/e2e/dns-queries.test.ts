/** How many queries the lookup of a name costs on a real node, counted by the DNS server, against src/lint. */
import { afterAll, beforeAll, expect, test } from "vitest";

import { type Answer, type Libc, type Lookup, lookUp } from "../../src/lint/dns-queries.ts";
import { clusterSearches, type NodeDns, type PodDns, resolvConf, resolverOf } from "../../src/lint/resolver.ts";
import type { Query, Zone } from "../env/node/dns.ts";
import { DNS_ADDRESS } from "../env/node/settings.ts";
import { makeTemporaryDirectory, removeTemporaryDirectory } from "../env/supervisor.ts";
import { specOf } from "./pod-dns.ts";
import { type Pod, probeContainer, probePod } from "./pods.ts";
import { parseResolvConf } from "./resolv-conf.ts";
import { type LookUp, lookUpWithCgo, RESOLVERS, resolverFiles, whyNoCgo, whyNot } from "./resolvers.ts";
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

/** Search domains that have so many characters in a pod's resolv.conf, with the cluster's three. */
function searchesOf(characters: number, namespace: string): PodDns {
  const rest = characters - `${clusterSearches(namespace, NODE.clusterDomain).join(" ")} `.length;
  const domain = `${"x".repeat(31)}.`.repeat(8).slice(0, rest).replace(/\.$/, "x");
  return { dnsPolicy: "ClusterFirst", config: { searches: [domain] } };
}

/** A failure is asked for again, at most five times by glibc and without a limit by Go; both know the option. */
const SIX_ATTEMPTS: PodDns = { dnsPolicy: "ClusterFirst", config: { options: [{ name: "attempts", value: "6" }] } };

/** How Go programs that were built with cgo ask: as one resolver, and not as the other. */
const CGO: Readonly<Record<string, { dns: PodDns; netdns?: "go" | "cgo"; as: Libc; unlike: Libc }>> = {
  "with cgo Go asks as Go does": { dns: SIX_ATTEMPTS, as: "Go", unlike: "Glibc" },
  "with cgo and netdns=cgo Go asks as glibc does": { dns: SIX_ATTEMPTS, netdns: "cgo", as: "Glibc", unlike: "Go" },
  "with cgo and an option that it does not know Go asks as glibc does": {
    dns: withOption("no-aaaa"),
    as: "Glibc",
    unlike: "Go",
  },
  "with cgo, an option that it does not know and netdns=go Go asks as Go does": {
    dns: withOption("no-aaaa"),
    netdns: "go",
    as: "Go",
    unlike: "Glibc",
  },
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

  /** What the server is asked. */
  async function ask(resolver: LookUp, pod: Pod, name: string) {
    await stage.node.dns.forget();
    const found = await resolver(stage.pods, pod, name);
    return asLookup(await stage.node.dns.queries(), found);
  }

  /** What the linter says that it is asked. */
  function foretell(libc: Libc, dns: PodDns, name: string, zone: Zone) {
    const foretold = lookUp(name, resolverOf(resolvConf(dns, namespace, NODE), libc), (asked) => answerOf(zone, asked));
    return { ...foretold, found: foretold.found !== undefined };
  }

  async function measure(libc: Libc, pod: Pod, dns: PodDns, name: string, zone: Zone) {
    return { measured: await ask(RESOLVERS[libc], pod, name), foretold: foretell(libc, dns, name, zone) };
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
    for (const characters of [247, 248]) {
      testWith(libc, `${characters} characters of search domains`, async () => {
        const zone = zoneOf(namespace);
        await stage.node.dns.serve(zone);
        const dns = searchesOf(characters, namespace);
        const pod = await run(dns);
        const { resolvConf: text } = await stage.pods.environment(pod);
        expect(parseResolvConf(text).searches.join(" ")).toHaveLength(characters);
        const lookups = [];
        for (const name of ["web", "api.ns2"]) lookups.push(await measure(libc, pod, dns, name, zone));
        for (const { measured, foretold } of lookups) expect(measured).toEqual(foretold);
        // Beyond, musl asks for the name alone.
        const [web] = lookups;
        if (libc === "Musl" && characters > 247) expect(web?.measured).toMatchObject({ found: false, asked: ["web"] });
        else expect(web?.measured).toMatchObject({ found: true, asked: [`web.${namespace}.svc.cluster.local`] });
      });
    }

    testWith(libc, "use-vc", async () => {
      const zone = zoneOf(namespace);
      await stage.node.dns.serve(zone);
      const dns = withOption("use-vc");
      const pod = await run(dns);
      const { measured, foretold } = await measure(libc, pod, dns, "example.com", zone);
      expect(measured).toEqual(foretold);
      const transports = new Set((await stage.node.dns.queries()).map(({ transport }) => transport));
      // musl does not know it.
      expect([...transports]).toEqual([libc === "Musl" ? "udp" : "tcp"]);
    });

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

  for (const [name, { dns, netdns, as, unlike }] of Object.entries(CGO)) {
    testUnless(whyNoCgo(), name, async () => {
      const zone: Zone = { [`failing.example.${namespace}.svc.cluster.local`]: "ServerFailure" };
      await stage.node.dns.serve(zone);
      const env = netdns === undefined ? [] : [{ name: "GODEBUG", value: `netdns=${netdns}` }];
      const containers = [{ ...probeContainer("probe", "wait"), env }];
      const pod = await stage.pods.run(namespace, probePod({ ...specOf(dns), containers }));
      const measured = await ask(lookUpWithCgo, pod, "failing.example");
      expect(measured).toEqual(foretell(as, dns, "failing.example", zone));
      expect(measured).not.toEqual(foretell(unlike, dns, "failing.example", zone));
    });
  }
});

function testWith(libc: Libc, name: string, run: () => Promise<void>): void {
  testUnless(whyNot(libc), `${name} (${libc})`, run);
}

/** A test that is skipped, and says why, where something is in the way. */
function testUnless(obstacle: string | undefined, name: string, run: () => Promise<void>): void {
  test.skipIf(obstacle !== undefined)(obstacle === undefined ? name : `${name} (skipped: ${obstacle})`, run);
}

function answerOf(zone: Zone, name: string): Answer {
  const records = zone[name];
  if (records === undefined) return "NoSuchName";
  if (records === "ServerFailure") return "ServerFailure";
  return (records.A ?? []).length + (records.AAAA ?? []).length > 0 ? "Address" : "NoAddress";
}
