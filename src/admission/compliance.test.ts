import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { arbitraryPod, arbitraryPolicy, arbitrarySite } from "../../test/support/admission-arbitraries.ts";
import { admissionCases, dnsPolicy, KEEPALIVE, SITE } from "../../test/support/admission-cases.ts";
import { templateOf } from "../cluster/pod-template.ts";
import { judgePod } from "./compliance.ts";
import { applyPatch } from "./json-patch.ts";
import { mutatePod } from "./mutate.ts";
import type { PodPolicy } from "./types.ts";

const NDOTS_2 = dnsPolicy({ options: [{ name: "ndots", value: "2" }] });
const ALL: PodPolicy = {
  ...NDOTS_2,
  sysctls: KEEPALIVE.sysctls,
  goResolver: { netdns: "go", containers: ["app", "agent"] },
  gracePeriod: 60,
  preStopSleep: 5,
};

const pod = (spec: object = {}) => ({ metadata: {}, spec: { containers: [{ name: "app" }], ...spec } });

describe("a pod", () => {
  it.each(Object.entries(admissionCases))("that is created as it should be does not drift: %s", (_, row) => {
    const { pod, policy, site, expected, skipped } = row;
    const after = applyPatch(pod, mutatePod(pod, policy, site).patch);
    const state = skipped.length === 0 ? "Compliant" : "Exempt";
    expect(judgePod(after, policy, site)).toMatchObject({ state, differences: [] });
    if (JSON.stringify(expected) !== JSON.stringify(pod)) {
      expect(judgePod(pod, policy, site)).toMatchObject({ state: "Drifted" });
    }
  });

  it("that was created without the policy drifted, in every field of it", () => {
    const before = pod({ initContainers: [{ name: "agent", restartPolicy: "Always" }] });
    expect(judgePod(before, ALL, SITE)).toEqual({
      state: "Drifted",
      differences: [
        { field: "spec.dnsConfig.options[ndots]", have: undefined, want: "2" },
        { field: "spec.securityContext.sysctls[net.ipv4.tcp_keepalive_time]", have: undefined, want: "600" },
        { field: "spec.securityContext.sysctls[net.ipv4.tcp_keepalive_intvl]", have: undefined, want: "30" },
        { field: "spec.securityContext.sysctls[net.ipv4.tcp_keepalive_probes]", have: undefined, want: "3" },
        { field: "spec.terminationGracePeriodSeconds", have: "30", want: "60" },
        { field: "spec.initContainers[agent].env[GODEBUG]", have: undefined, want: "netdns=go" },
        { field: "spec.containers[app].env[GODEBUG]", have: undefined, want: "netdns=go" },
        { field: "spec.containers[app].lifecycle.preStop", have: undefined, want: "sleep 5s" },
      ],
      skipped: [],
    });
  });

  it("that an earlier generation made drifted, and has what that set", () => {
    const created = applyPatch(pod(), mutatePod(pod(), NDOTS_2, SITE).patch);
    const later = dnsPolicy({
      options: [{ name: "ndots", value: "3" }],
      searches: ["svc.cluster.local"],
      replacesSearches: true,
    });
    expect(judgePod(created, later, SITE).differences).toEqual([
      { field: "spec.dnsPolicy", have: "ClusterFirst", want: "None" },
      { field: "spec.dnsConfig.nameservers", have: undefined, want: "10.96.0.10" },
      { field: "spec.dnsConfig.searches", have: undefined, want: "svc.cluster.local" },
      { field: "spec.dnsConfig.options[ndots]", have: "2", want: "3" },
    ]);
  });

  it("obeys with options and search domains in any order", () => {
    const policy = dnsPolicy({
      options: [
        { name: "ndots", value: "2" },
        { name: "use-vc", value: undefined },
      ],
      searches: ["a.example", "b.example"],
    });
    const options = [{ name: "use-vc" }, { name: "ndots", value: "2" }];
    const before = pod({ dnsConfig: { searches: ["b.example", "x.example", "a.example"], options } });
    expect(judgePod(before, policy, SITE).state).toBe("Compliant");
  });

  it("that lost our annotations obeys all the same", () => {
    const after = applyPatch(pod(), mutatePod(pod(), ALL, SITE).patch);
    expect(judgePod({ ...after, metadata: {} }, ALL, SITE).state).toBe("Compliant");
  });

  it("drifted in one part though another is left out, and both are said", () => {
    const judgement = judgePod(pod({ hostNetwork: true }), ALL, SITE);
    expect(judgement.state).toBe("Drifted");
    expect(judgement.differences.map(({ field }) => field)).toContain("spec.terminationGracePeriodSeconds");
    expect(judgement.skipped.map(({ part, reason }) => [part, reason])).toEqual([
      ["dns", "HostNetwork"],
      ["keepalive", "HostNetwork"],
    ]);
  });
});

describe("what is kept of a pod", () => {
  it("is enough to judge it", () => {
    fc.assert(
      fc.property(arbitraryPod, arbitraryPolicy, arbitraryPolicy, arbitrarySite, (pod, earlier, policy, site) => {
        for (const one of [pod, applyPatch(pod, mutatePod(pod, earlier, site).patch)]) {
          expect(judgePod(JSON.parse(templateOf(one)), policy, site)).toEqual(judgePod(one, policy, site));
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it("drifts exactly when it has a difference", () => {
    fc.assert(
      fc.property(arbitraryPod, arbitraryPolicy, arbitrarySite, (pod, policy, site) => {
        const { state, differences } = judgePod(pod, policy, site);
        expect(differences.length > 0).toBe(state === "Drifted");
      }),
      { numRuns: 1_000 },
    );
  });
});
