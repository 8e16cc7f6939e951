import { describe, expect, test } from "vitest";

import { lookUp } from "./dns-queries.ts";
import { namedBy, typicalNames } from "./names.ts";
import { clusterSearches } from "./resolver.ts";

describe("typical names", () => {
  test("are all found in a pod as Kubernetes makes it", () => {
    for (const namespace of ["shop", "other"]) {
      const searches = clusterSearches(namespace, "cluster.local");
      for (const { name, target } of typicalNames(namespace, "cluster.local")) {
        const resolver = { libc: "Musl", ndots: 5, searches, families: 2 } as const;
        const { found } = lookUp(name, resolver, (asked) => (asked === target ? "Address" : "NoSuchName"));
        expect({ name, found }).toEqual({ name, found: target });
      }
    }
  });
});

describe("a name that is asked about", () => {
  const cases: Record<string, [written: string, name: string, target: string]> = {
    "is a service of the namespace without dots": ["web", "web", "web.shop.svc.cluster.local"],
    "is one of the cluster when it ends in .svc": ["api.ns2.svc", "api.ns2.svc", "api.ns2.svc.cluster.local"],
    "is itself otherwise": ["example.com", "example.com", "example.com"],
    "is itself with a dot at its end": ["example.com.", "example.com.", "example.com"],
    "is what stands behind the sign": ["api.ns2=api.ns2.svc.cluster.local", "api.ns2", "api.ns2.svc.cluster.local"],
    "is what stands behind the sign, without a dot at its end": ["a.b=a.b.example.", "a.b", "a.b.example"],
  };
  for (const [sentence, [written, name, target]] of Object.entries(cases)) {
    test(sentence, () => expect(namedBy(written, "shop", "cluster.local")).toEqual({ name, target }));
  }
});
