/** The resolv.conf that a real kubelet writes, against the one that src/lint foretells. */
import { afterAll, beforeAll, expect, test } from "vitest";

import { resolvConf, type NodeDns, type PodDns } from "../../src/lint/resolver.ts";
import { DNS_ADDRESS } from "../env/node/settings.ts";
import { specOf } from "./pod-dns.ts";
import { probePod } from "./pods.ts";
import { parseResolvConf } from "./resolv-conf.ts";
import { describeOnRealNode, type Stage, startStage } from "./stage.ts";

const NODE: NodeDns = {
  clusterNameservers: [DNS_ADDRESS],
  clusterDomain: "cluster.local",
  nameservers: [DNS_ADDRESS],
  searches: ["corp.example", "dc1.corp.example"],
};

const PODS: Readonly<Record<string, PodDns>> = {
  "ClusterFirst: the cluster's domains, then the node's": { dnsPolicy: "ClusterFirst" },
  "ClusterFirst on the host network is the node's file": { dnsPolicy: "ClusterFirst", hostNetwork: true },
  "ClusterFirstWithHostNet on the host network is the cluster's": {
    dnsPolicy: "ClusterFirstWithHostNet",
    hostNetwork: true,
  },
  "Default is the node's file": { dnsPolicy: "Default" },
  "Default with options and searches of its own": {
    dnsPolicy: "Default",
    config: { searches: ["own.example"], options: [{ name: "ndots", value: "2" }] },
  },
  "None is what the pod says and nothing else": {
    dnsPolicy: "None",
    config: { nameservers: [DNS_ADDRESS], searches: ["own.example"], options: [{ name: "timeout", value: "1" }] },
  },
  "an option of the pod takes the place of the cluster's, and one without value stays without": {
    dnsPolicy: "ClusterFirst",
    config: {
      options: [{ name: "ndots", value: "2" }, { name: "single-request-reopen" }, { name: "timeout", value: "1" }],
    },
  },
  "a search domain that is there already is not added, new ones come last": {
    dnsPolicy: "ClusterFirst",
    config: { searches: ["cluster.local", "own.example", "corp.example"] },
  },
  "a fourth name server is left out": {
    dnsPolicy: "ClusterFirst",
    config: { nameservers: ["10.9.9.1", "10.9.9.2", "10.9.9.3"] },
  },
  "32 domains of the pod: the last ones are left out": {
    dnsPolicy: "ClusterFirst",
    config: { searches: Array.from({ length: 32 }, (_, i) => `d${i}.example`) },
  },
  "2,000 characters of the pod: what does not fit is left out from the end": {
    dnsPolicy: "ClusterFirst",
    config: { searches: Array.from({ length: 10 }, (_, i) => `d${i}.${"long-domain.".repeat(16)}example`) },
  },
};

describeOnRealNode("the resolv.conf of a pod", () => {
  let stage: Stage;
  let namespace: string;

  beforeAll(async () => {
    stage = await startStage({ searches: NODE.searches });
    namespace = await stage.pods.namespace();
  });
  afterAll(async () => {
    await stage.stop();
  });

  for (const [name, dns] of Object.entries(PODS)) {
    test(name, async () => {
      const pod = await stage.pods.run(namespace, probePod(specOf(dns)));
      const seen = parseResolvConf((await stage.pods.environment(pod)).resolvConf);
      const foretold = resolvConf(dns, namespace, NODE);
      expect(seen).toEqual({
        nameservers: foretold.nameservers,
        searches: foretold.searches,
        options: [...foretold.options]
          .map(([option, value]) => (value === undefined ? option : `${option}:${value}`))
          .sort(),
      });
      const reasons = (await stage.pods.events(pod)).map(({ reason }) => reason);
      const { nameservers, searches } = foretold.dropped;
      expect(reasons.includes("DNSConfigForming")).toBe(nameservers.length + searches.length > 0);
    });
  }
});
