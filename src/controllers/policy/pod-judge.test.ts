import { describe, expect, test } from "vitest";

import { admissionCases, dnsPolicy, SITE } from "../../../test/support/admission-cases.ts";
import type { Site } from "../../admission/types.ts";
import { templateOf } from "../../cluster/pod-template.ts";
import type { PodRecord } from "../../cluster/types.ts";
import type { CompiledPolicy } from "../types.ts";
import { ComplianceTally, MAX_POD_FINDINGS } from "./compliance-count.ts";
import { PodJudge } from "./pod-judge.ts";

const WISH = dnsPolicy({ options: [{ name: "ndots", value: "2" }] });
const NDOTS_2 = { dnsConfig: { options: [{ name: "ndots", value: "2" }] } };

function policy(fields: Partial<CompiledPolicy> = {}, mode = "Enforce"): CompiledPolicy {
  return { name: "p", podPolicy: WISH, plan: { mode }, ...fields } as CompiledPolicy;
}

function pod(name: string, spec: object = {}, fields: Partial<PodRecord> = {}): PodRecord {
  const template = templateOf({ metadata: {}, spec: { containers: [{ name: "app" }], ...spec } });
  return { name, namespace: "shop", workload: "shop/Deployment/web", template, ...fields } as PodRecord;
}

function judgeOf(site: Site | undefined = SITE) {
  let sites = 0;
  const siteOf = () => {
    sites++;
    return site;
  };
  return { judge: new PodJudge({ siteOf }, new Set(["kube-system"])), sites: () => sites };
}

describe("judging pods", () => {
  test("is done once for pods of one template in one namespace", () => {
    const { judge, sites } = judgeOf();
    const verdicts = ["a", "b"].map((name) => judge.judge(pod(name), policy()));
    expect(verdicts[0]?.state).toBe("Drifted");
    expect(verdicts[1]).toBe(verdicts[0]);
    expect(judge.judge(pod("c", NDOTS_2), policy())?.state).toBe("Compliant");
    expect(judge.judge(pod("d", {}, { namespace: "other" }), policy())).not.toBe(verdicts[0]);
    expect(sites()).toBe(2);
  });

  test("is done once for many passes, as long as the policy and the site are the same", () => {
    let site: Site = SITE;
    const judge = new PodJudge({ siteOf: () => ({ ...site }) }, new Set());
    const wish = policy({ podPolicy: admissionCases["all parts at once"]?.policy });
    const pass = (by = wish) => {
      judge.begin();
      return judge.judge(pod("a"), by);
    };
    const first = pass();
    expect(pass()).toBe(first);
    site = { ...SITE, serverMinor: 29 };
    const second = pass();
    expect(second).not.toEqual(first);
    expect(pass()).toBe(second);
    expect(pass(policy())).not.toEqual(second);
    expect(pass()).not.toBe(second);
  });

  test("is done by each policy for itself", () => {
    const { judge } = judgeOf();
    const other = policy({ name: "q", podPolicy: dnsPolicy({ options: [{ name: "ndots", value: "3" }] }) });
    expect(judge.judge(pod("a", NDOTS_2), policy())?.state).toBe("Compliant");
    expect(judge.judge(pod("a", NDOTS_2), other)?.state).toBe("Exempt");
  });

  test("is also done in mode Audit, and not when the policy is paused", () => {
    expect(judgeOf().judge.judge(pod("a"), policy({}, "Audit"))?.state).toBe("Drifted");
    expect(judgeOf().judge.judge(pod("a"), policy({}, "Paused"))).toBeUndefined();
  });

  test("is not done where the policy wants nothing of pods, or the site is not known", () => {
    expect(judgeOf().judge.judge(pod("a"), policy({ podPolicy: undefined }))).toBeUndefined();
    const judge = new PodJudge({ siteOf: () => undefined }, new Set());
    expect(judge.judge(pod("a"), policy())).toBeUndefined();
  });

  test("spares the pods of namespaces that are left alone", () => {
    const verdict = judgeOf().judge.judge(pod("a", {}, { namespace: "kube-system" }), policy());
    expect(verdict).toEqual({
      state: "Exempt",
      differences: [],
      skipped: [{ part: "dns", reason: "ExcludedNamespace", message: "pods of namespace kube-system are left alone" }],
    });
  });
});

describe("adding up", () => {
  const { judge } = judgeOf();
  const count = (...pods: readonly PodRecord[]) => {
    const tally = new ComplianceTally();
    for (const one of pods) tally.add(one, judge.judge(one, policy()));
    return tally.count;
  };

  test("counts every pod in one state, and tells of those that do not obey by workload", () => {
    const counted = count(
      pod("web-1"),
      pod("web-2"),
      pod("ok", NDOTS_2),
      pod("host", { hostNetwork: true }, { workload: "shop/DaemonSet/agent" }),
    );
    expect(counted).toMatchObject({ compliant: 1, drifted: 2, exempt: 1, unknown: 0 });
    expect(counted.findings).toMatchObject([
      { workload: "shop/Deployment/web", pods: 2, example: "web-1", compliance: { state: "Drifted" } },
      { workload: "shop/DaemonSet/agent", pods: 1, example: "host", compliance: { state: "Exempt" } },
    ]);
  });

  test("keeps pods of one workload apart that stand otherwise", () => {
    const { findings } = count(pod("old"), pod("new", { dnsConfig: { searches: ["a.example"] } }));
    expect(findings.map(({ example }) => example)).toEqual(["old", "new"]);
  });

  test("tells of drifted ones before exempt ones, of many before few, and of no more than a report holds", () => {
    const exempt = Array.from({ length: 150 }, (_, i) =>
      pod(`e${i}`, { hostNetwork: true }, { workload: `shop/X/e${i}` }),
    );
    const drifted = Array.from({ length: 150 }, (_, i) => pod(`d${i}`, {}, { workload: `shop/X/d${i}` }));
    const many = [pod("m1", {}, { workload: "shop/X/zz" }), pod("m2", {}, { workload: "shop/X/zz" })];
    const more = Array.from({ length: 100 }, (_, i) => pod(`f${i}`, {}, { workload: `shop/X/f${i}` }));
    expect(count(...drifted, ...more, ...many).findings[0]).toMatchObject({ workload: "shop/X/zz", pods: 2 });
    const counted = count(...exempt, ...drifted, ...many);
    expect(counted).toMatchObject({ exempt: 150, drifted: 152 });
    expect(counted.findings).toHaveLength(MAX_POD_FINDINGS);
    expect(counted.findings[0]).toMatchObject({ workload: "shop/X/zz", pods: 2 });
    expect(counted.findings.slice(0, 151).every(({ compliance }) => compliance.state === "Drifted")).toBe(true);
  });

  test("counts what is not known apart", () => {
    const tally = new ComplianceTally();
    tally.add(pod("a"), undefined);
    expect(tally.count).toEqual({ compliant: 0, drifted: 0, exempt: 0, unknown: 1, findings: [] });
  });
});
