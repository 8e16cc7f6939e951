import { describe, expect, test } from "vitest";

import type { RegistrationPolicyDns } from "../api/v1alpha1/index.ts";
import type { Libc } from "./dns-queries.ts";
import { lintDns, type DnsContext, type DnsLint } from "./dns.ts";

const ANYWHERE: DnsContext = { namespace: undefined, clusterDomain: "cluster.local", hostSearches: [] };
const SHOP: DnsContext = { ...ANYWHERE, namespace: "shop" };

function dns(fields: Partial<RegistrationPolicyDns> = {}): RegistrationPolicyDns {
  return { searchMode: "Append", onConflict: "AuthorWins", libc: "Any", goResolver: "Unset", ...fields };
}

function codes({ findings }: DnsLint): string[] {
  return findings.map(({ code }) => code);
}

function message(lint: DnsLint, code: string): string {
  return lint.findings.find((finding) => finding.code === code)?.message ?? "";
}

/** Domains whose line is so long. */
function domains(length: number): string[] {
  const labels: string[] = [];
  for (let left = length; left > 0; left -= 64) labels.push("d".repeat(Math.min(63, left)));
  return labels.map((label, i) => `${i}${label.slice(1)}`);
}

describe("a policy's DNS", () => {
  const replaced = ["svc.cluster.local", "cluster.local"];
  const cases: Record<string, { dns: RegistrationPolicyDns; context?: DnsContext; codes: string[] }> = {
    "is safe with ndots 2 and glibc": { dns: dns({ ndots: 2, libc: "Glibc" }), codes: [] },
    "is safe with nothing but options": { dns: dns({ options: [{ name: "single-request-reopen" }] }), codes: [] },
    "is safe with ndots 4 and any resolver": { dns: dns({ ndots: 4 }), codes: [] },
    "loses a rare name with ndots 3 and musl": { dns: dns({ ndots: 3, libc: "Musl" }), codes: ["RareNamesLost"] },
    "loses names with ndots 2 and musl": {
      dns: dns({ ndots: 2, libc: "Musl" }),
      codes: ["NamesLost", "RareNamesLost"],
    },
    "loses names with ndots 2 where any resolver must be safe": {
      dns: dns({ ndots: 2 }),
      codes: ["NamesLost", "RareNamesLost"],
    },
    "asks outside of the cluster first with ndots 1": {
      dns: dns({ ndots: 1, libc: "Glibc" }),
      codes: ["AskedUpstreamFirst"],
    },
    "loses names where the pod's own domain is replaced": {
      dns: dns({ searchMode: "Replace", searches: replaced, ndots: 5 }),
      codes: ["NamesLost"],
    },
    "is safe where the domains are replaced by the same": {
      dns: dns({ searchMode: "Replace", searches: ["shop.svc.cluster.local", ...replaced], ndots: 5 }),
      context: SHOP,
      codes: [],
    },
    "falls to ndots 1 where domains are replaced without saying ndots": {
      dns: dns({ searchMode: "Replace", searches: ["shop.svc.cluster.local", ...replaced], libc: "Glibc" }),
      context: SHOP,
      codes: ["AskedUpstreamFirst"],
    },
    "is too long for musl in a namespace with a long name": {
      dns: dns({ searches: domains(150) }),
      codes: ["MuslSearchIgnored"],
    },
    "is not too long for musl in one with a short name": {
      dns: dns({ searches: domains(150) }),
      context: SHOP,
      codes: [],
    },
    "is too long for musl with the domains of the nodes": {
      dns: dns({ searches: ["a.example"] }),
      context: { ...SHOP, hostSearches: domains(190) },
      codes: ["MuslSearchIgnored"],
    },
    "is not too long for anything but musl": { dns: dns({ searches: domains(400), libc: "Glibc" }), codes: [] },
    "is longer than a kubelet writes": {
      dns: dns({ searches: domains(2040), libc: "Glibc" }),
      codes: ["SearchesTruncated"],
    },
    "has more domains than a kubelet writes": {
      dns: dns({ searches: Array.from({ length: 30 }, (_, i) => `d${i}`), libc: "Glibc" }),
      codes: ["SearchesTruncated"],
    },
    "has as many domains as a kubelet writes": {
      dns: dns({ searches: Array.from({ length: 29 }, (_, i) => `d${i}`), libc: "Glibc" }),
      codes: [],
    },
    "lets name servers race with musl": { dns: dns({ nameservers: ["192.0.2.1"] }), codes: ["NameserversRaced"] },
    "lets no name servers race with glibc": { dns: dns({ nameservers: ["192.0.2.1"], libc: "Glibc" }), codes: [] },
    "lets no name servers race where they replace the cluster's": {
      dns: dns({
        searchMode: "Replace",
        searches: ["shop.svc.cluster.local", ...replaced],
        ndots: 5,
        nameservers: ["192.0.2.1", "192.0.2.2"],
      }),
      context: SHOP,
      codes: [],
    },
    "has more name servers than a kubelet writes": {
      dns: dns({ nameservers: ["192.0.2.1", "192.0.2.2", "192.0.2.3"], libc: "Glibc" }),
      codes: ["NameserversTruncated"],
    },
  };
  for (const [sentence, { dns: asked, context = ANYWHERE, codes: expected }] of Object.entries(cases)) {
    test(sentence, () => expect(codes(lintDns(asked, context))).toEqual(expected));
  }

  test("warns and never refuses: it can not see what pods look up", () => {
    for (const { dns: asked, context = ANYWHERE } of Object.values(cases)) {
      for (const { severity } of lintDns(asked, context).findings) expect(severity).toBe("Warning");
    }
  });
});

describe("what is said about a policy's DNS", () => {
  test("names the lost names by resolver and the ndots that keeps them", () => {
    const lint = lintDns(dns({ ndots: 1 }), SHOP);
    expect(message(lint, "NamesLost")).toBe(
      "no longer found with musl: db-0.db, api.other, api.other.svc, db-0.db.other. With spec.dns.ndots 3 they would " +
        "be, or spec.dns.libc Glibc if no image uses musl",
    );
    expect(message(lint, "RareNamesLost")).toContain(
      "no longer found with musl: db-0.db.other.svc. With spec.dns.ndots 4",
    );
    expect(lint.findings.find(({ code }) => code === "NamesLost")?.field).toBe("spec.dns.ndots");
  });

  test("names the domains that Replace leaves out", () => {
    const lint = lintDns(dns({ searchMode: "Replace", searches: ["corp.example"], ndots: 5 }), SHOP);
    expect(message(lint, "NamesLost")).toContain("no longer found with glibc: web, db-0.db, api.other");
    expect(message(lint, "NamesLost")).toContain(
      "add those of <namespace>.svc.cluster.local, svc.cluster.local, cluster.local, or set spec.dns.searchMode to Append",
    );
    expect(lint.findings[0]?.field).toBe("spec.dns.searches");
  });

  test("says from which length of a namespace's name musl reads nothing", () => {
    const searches = domains(150);
    const text = message(lintDns(dns({ searches }), ANYWHERE), "MuslSearchIgnored");
    // .svc.cluster.local, svc.cluster.local, cluster.local and three spaces take 51 characters.
    expect(text).toContain("up to 264 characters long");
    expect(text).toContain("more than 247 in a namespace whose name is longer than 46 characters");
    const at = (length: number) => lintDns(dns({ searches }), { ...ANYWHERE, namespace: "n".repeat(length) });
    expect(codes(at(46))).toEqual([]);
    expect(codes(at(47))).toEqual(["MuslSearchIgnored"]);
    expect(message(at(47), "MuslSearchIgnored")).toContain("the search domains are 248 characters long, and musl");
    expect(message(lintDns(dns({ searches: domains(240) }), ANYWHERE), "MuslSearchIgnored")).toContain(
      "more than 247 in every namespace",
    );
  });

  test("names what a kubelet leaves out", () => {
    const searches = Array.from({ length: 32 }, (_, i) => `d${i}`);
    const text = message(lintDns(dns({ searches, libc: "Glibc" }), SHOP), "SearchesTruncated");
    expect(text).toContain("with those of the cluster there are 35 search domains of");
    expect(text).toContain("leaves out d29, d30, d31: remove some");
  });

  test("counts every typical name through every resolver, before and after", () => {
    const lint = lintDns(dns({ ndots: 3 }), SHOP);
    const of = (name: string, libc: Libc) => {
      const count = lint.counts.find((each) => each.name.name === name && each.libc === libc);
      return [count?.before.queries, count?.after.found === undefined ? "fails" : count.after.queries];
    };
    expect(lint.libcs).toEqual(["Glibc", "Musl", "Go"]);
    for (const libc of lint.libcs) {
      expect(of("web", libc)).toEqual([2, 2]);
      expect(of("api.other", libc)).toEqual([4, 4]);
      expect(of("api.other.svc.cluster.local", libc)).toEqual([8, 2]);
      expect(of("example.com", libc)).toEqual([8, 8]);
      expect(of("s3.us-east-1.amazonaws.com", libc)).toEqual([8, 2]);
    }
    expect(of("db-0.db.other.svc", "Glibc")).toEqual([6, 8]);
    expect(of("db-0.db.other.svc", "Musl")).toEqual([6, "fails"]);
  });

  test("counts the nodes' domains and those of the policy", () => {
    const lint = lintDns(dns({ searches: ["a.example"] }), { ...SHOP, hostSearches: ["corp.example"] });
    const count = lint.counts.find(({ name, libc }) => name.name === "example.com" && libc === "Go");
    expect([count?.before.queries, count?.after.queries]).toEqual([10, 12]);
  });

  test("counts the names that are asked about, and judges them beside the typical ones", () => {
    const names = [{ name: "a.b.c.d", target: "a.b.c.d.svc.cluster.local" }];
    const lint = lintDns(dns({ ndots: 3, libc: "Musl" }), { ...SHOP, names });
    expect(lint.counts.map(({ name }) => name.name)).toEqual(["a.b.c.d", "a.b.c.d"]);
    expect(message(lint, "NamesLost")).toContain("no longer found with musl: a.b.c.d. With spec.dns.ndots 4");
    expect(codes(lint)).toEqual(["NamesLost", "RareNamesLost"]);
  });

  test("is half where glibc asks for no IPv6 addresses", () => {
    const lint = lintDns(dns({ libc: "Glibc", options: [{ name: "no-aaaa" }] }), SHOP);
    const glibc = lint.counts.find(({ name, libc }) => name.name === "example.com" && libc === "Glibc");
    expect([glibc?.before.queries, glibc?.after.queries]).toEqual([8, 4]);
  });
});
