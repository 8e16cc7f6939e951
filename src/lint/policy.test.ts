import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { parsedPolicy } from "../../test/support/parsed-policy.ts";
import type { RegistrationPolicySpec } from "../api/v1alpha1/index.ts";
import type { DnsContext } from "./dns-counts.ts";
import { PRESETS } from "./paths.ts";
import { findingsOf, lintPolicy } from "./policy.ts";

const CONTEXT: DnsContext = { namespace: undefined, clusterDomain: "cluster.local", hostSearches: [] };

function specOf(spec: object): RegistrationPolicySpec {
  const parsed = parsedPolicy(spec);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.object.spec;
}

const seconds = (max: number) => fc.integer({ min: 1, max }).map((count) => `${count}s`);
const domain = fc.stringMatching(/^[a-z]{1,60}(\.[a-z]{1,20}){0,3}$/);
const optional = { requiredKeys: [] as never[] };

const dns = fc.record(
  {
    ndots: fc.integer({ min: 1, max: 15 }),
    searches: fc.uniqueArray(domain, { minLength: 1, maxLength: 32 }),
    searchMode: fc.constantFrom("Append", "Replace"),
    nameservers: fc.uniqueArray(fc.ipV4(), { minLength: 1, maxLength: 3 }),
    options: fc
      .uniqueArray(fc.constantFrom("rotate", "no-aaaa", "no-tld-query", "use-vc"), { minLength: 1 })
      .map((all) => all.map((name) => ({ name }))),
    libc: fc.constantFrom("Any", "Glibc", "Musl"),
  },
  optional,
);
const path = fc.record(
  {
    name: fc.constant("hop"),
    preset: fc.constantFrom(...Object.keys(PRESETS)),
    idleTimeout: seconds(99_999),
    tcpKeepalive: fc.constantFrom("Counts", "Ignored"),
  },
  { requiredKeys: ["name"] },
);
const keepalive = fc.record(
  {
    time: seconds(32_767),
    interval: seconds(32_767),
    probes: fc.integer({ min: 1, max: 127 }),
    paths: fc.array(path, { minLength: 1, maxLength: 16 }),
  },
  { requiredKeys: ["time", "interval", "probes"] },
);

describe("any policy that fits the schema", () => {
  test("is judged, with a finding for every path and a sentence for every finding", () => {
    fc.assert(
      fc.property(fc.record({ dns, keepalive }, optional), (asked) => {
        const spec = specOf(asked);
        const lint = lintPolicy(spec, CONTEXT);
        expect(lint.keepalive?.paths.length ?? 0).toBe(spec.keepalive?.paths?.length ?? 0);
        for (const { message, field } of findingsOf(lint)) {
          expect(field).toMatch(/^spec\.(dns|keepalive)(\.|$)/);
          expect(message).not.toMatch(/undefined|NaN|Infinity|\[object| -\d/);
        }
      }),
    );
  });

  test("never makes a name of more queries than there are search domains, and one", () => {
    fc.assert(
      fc.property(dns, (asked) => {
        const { after, counts } = lintPolicy(specOf({ dns: asked }), CONTEXT).dns ?? { counts: [] };
        for (const count of counts) {
          expect(count.after.queries).toBeLessThanOrEqual(2 * ((after?.searches.length ?? 0) + 1));
          expect(count.after.queries).toBeGreaterThan(0);
        }
      }),
    );
  });
});
