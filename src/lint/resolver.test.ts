import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import {
  MAX_NAMESERVERS,
  MAX_SEARCHES,
  MAX_SEARCH_CHARACTERS,
  MUSL_MAX_SEARCH_CHARACTERS,
  resolvConf,
  resolverOf,
  searchLength,
  type NodeDns,
  type PodDns,
  type ResolvConf,
} from "./resolver.ts";

const NODE: NodeDns = {
  clusterNameservers: ["10.96.0.10"],
  clusterDomain: "cluster.local",
  nameservers: ["192.0.2.53"],
  searches: ["corp.example"],
  options: [{ name: "edns0" }],
};
const CLUSTER = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"];

function written(pod: PodDns, node: NodeDns = NODE): Omit<ResolvConf, "options"> & { options: object } {
  const { options, ...rest } = resolvConf(pod, "shop", node);
  return { ...rest, options: Object.fromEntries(options) };
}

describe("the resolv.conf of a pod", () => {
  const cluster = { nameservers: ["10.96.0.10"], searches: [...CLUSTER, "corp.example"], options: { ndots: "5" } };
  const node = { nameservers: ["192.0.2.53"], searches: ["corp.example"], options: { edns0: undefined } };
  const cases: Record<string, { pod: PodDns; node?: NodeDns; conf: object }> = {
    "has the cluster's name servers and domains, then the node's domains": {
      pod: { dnsPolicy: "ClusterFirst" },
      conf: cluster,
    },
    "has the node's on the host network, whatever ClusterFirst promises": {
      pod: { dnsPolicy: "ClusterFirst", hostNetwork: true },
      conf: node,
    },
    "has the cluster's on the host network where that is asked for": {
      pod: { dnsPolicy: "ClusterFirstWithHostNet", hostNetwork: true },
      conf: cluster,
    },
    "has the node's with Default": { pod: { dnsPolicy: "Default" }, conf: node },
    "has the node's where the kubelet knows no cluster DNS": {
      pod: { dnsPolicy: "ClusterFirst" },
      node: { ...NODE, clusterNameservers: [] },
      conf: node,
    },
    "has the node's domains alone where the kubelet knows no cluster domain": {
      pod: { dnsPolicy: "ClusterFirst" },
      node: { ...NODE, clusterDomain: "" },
      conf: { ...cluster, searches: ["corp.example"] },
    },
    "has nothing but the pod's own with None": {
      pod: { dnsPolicy: "None", config: { nameservers: ["192.0.2.1"], searches: ["a.example"] } },
      conf: { nameservers: ["192.0.2.1"], searches: ["a.example"], options: {} },
    },
    "has the pod's own at the end, duplicates once": {
      pod: {
        dnsPolicy: "ClusterFirst",
        config: { nameservers: ["192.0.2.1", "10.96.0.10"], searches: ["svc.cluster.local", "a.example"] },
      },
      conf: {
        nameservers: ["10.96.0.10", "192.0.2.1"],
        searches: [...CLUSTER, "corp.example", "a.example"],
        options: { ndots: "5" },
      },
    },
    "has the pod's option where both have one of the name, the last of several": {
      pod: {
        dnsPolicy: "ClusterFirst",
        config: {
          options: [{ name: "ndots", value: "3" }, { name: "ndots", value: "2" }, { name: "use-vc" }],
        },
      },
      conf: { ...cluster, options: { ndots: "2", "use-vc": undefined } },
    },
  };
  for (const [sentence, { pod, node: on, conf }] of Object.entries(cases)) {
    test(sentence, () => {
      expect(written(pod, on)).toEqual({ ...conf, dropped: { nameservers: [], searches: [] } });
    });
  }

  test("has three name servers at most", () => {
    const nameservers = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
    const conf = written({ dnsPolicy: "ClusterFirst", config: { nameservers } });
    expect(conf.nameservers).toEqual(["10.96.0.10", "192.0.2.1", "192.0.2.2"]);
    expect(conf.dropped.nameservers).toEqual(["192.0.2.3"]);
  });

  test("has 32 search domains at most, cut from the end", () => {
    const searches = Array.from({ length: 32 }, (_, i) => `d${i}`);
    const conf = written({ dnsPolicy: "ClusterFirst", config: { searches } });
    expect(conf.searches).toEqual([...CLUSTER, "corp.example", ...searches.slice(0, 28)]);
    expect(conf.dropped.searches).toEqual(searches.slice(28));
  });

  test("has 2048 characters of search domains at most, cut from the end", () => {
    // 8 x 253 characters and 7 spaces are 2031.
    const eight = Array.from({ length: 8 }, (_, i) => `${i}${"d".repeat(252)}`);
    const fits = written({ dnsPolicy: "None", config: { searches: [...eight, "x".repeat(16)] } });
    expect(searchLength(fits.searches)).toBe(2048);
    const cut = written({ dnsPolicy: "None", config: { searches: [...eight, "x".repeat(17)] } });
    expect(cut.searches).toEqual(eight);
    expect(cut.dropped.searches).toEqual(["x".repeat(17)]);
  });

  test("leaves out a domain that makes a resolver abort", () => {
    const conf = written({ dnsPolicy: "None", config: { searches: ["d".repeat(254), "a.example"] } });
    expect(conf.searches).toEqual(["a.example"]);
  });

  test("stays within the limits, keeps a beginning of what is asked for, and loses nothing silently", () => {
    const domains = fc.array(fc.stringMatching(/^[a-z]{1,253}$/), { maxLength: 60 });
    fc.assert(
      fc.property(domains, domains, (searches, hostSearches) => {
        const pod: PodDns = { dnsPolicy: "ClusterFirst", config: { searches } };
        const conf = resolvConf(pod, "shop", { ...NODE, searches: hostSearches });
        const all = [...new Set([...CLUSTER, ...hostSearches, ...searches])];
        expect(conf.searches).toEqual(all.slice(0, conf.searches.length));
        expect([...conf.searches, ...conf.dropped.searches]).toEqual(all);
        expect(conf.searches.length).toBeLessThanOrEqual(MAX_SEARCHES);
        expect(searchLength(conf.searches)).toBeLessThanOrEqual(MAX_SEARCH_CHARACTERS);
        expect(conf.nameservers.length).toBeLessThanOrEqual(MAX_NAMESERVERS);
      }),
    );
  });
});

describe("what a resolver reads", () => {
  const conf = (searches: readonly string[], ...options: [string, string | undefined][]): ResolvConf => ({
    nameservers: ["10.96.0.10"],
    searches,
    options: new Map(options),
    dropped: { nameservers: [], searches: [] },
  });

  test("is ndots 1 where the file does not say, and 15 at most", () => {
    expect(resolverOf(conf([]), "Glibc").ndots).toBe(1);
    expect(resolverOf(conf([], ["ndots", "2"]), "Go").ndots).toBe(2);
    expect(resolverOf(conf([], ["ndots", "40"]), "Musl").ndots).toBe(15);
    expect(resolverOf(conf([], ["ndots", ""]), "Musl").ndots).toBe(1);
  });

  test("is no search domain with musl where the line does not fit into its 256 bytes", () => {
    // `search `, the domains, the end of the line and the end of the text.
    const fits = "d".repeat(MUSL_MAX_SEARCH_CHARACTERS - 2);
    expect(`search a ${fits}\n\0`).toHaveLength(256);
    expect(resolverOf(conf(["a", fits]), "Musl").searches).toEqual(["a", fits]);
    expect(resolverOf(conf(["a", `${fits}d`]), "Musl").searches).toEqual([]);
    expect(resolverOf(conf(["a", `${fits}d`]), "Glibc").searches).toHaveLength(2);
    expect(resolverOf(conf(["a", `${fits}d`]), "Go").searches).toHaveLength(2);
  });

  test("is options of glibc with glibc alone", () => {
    const file = conf([], ["no-aaaa", undefined], ["no-tld-query", undefined]);
    expect(resolverOf(file, "Glibc")).toMatchObject({ families: 1, noTldQuery: true });
    for (const libc of ["Musl", "Go"] as const) {
      expect(resolverOf(file, libc)).toMatchObject({ families: 2, noTldQuery: false });
    }
  });

  test("takes attempts as far as each resolver does", () => {
    const attempts = (value: string | undefined) =>
      (["Glibc", "Musl", "Go"] as const).map((libc) => resolverOf(conf([], ["attempts", value]), libc).attempts);
    expect(attempts("1")).toEqual([1, 1, 1]);
    expect(attempts("30")).toEqual([5, 10, 30]);
    expect(attempts("many")).toEqual([2, 2, 2]);
    expect(resolverOf(conf([]), "Go").attempts).toBe(2);
  });
});
