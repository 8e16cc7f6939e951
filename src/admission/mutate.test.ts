import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { admissionCases, dnsPolicy, KEEPALIVE, SITE } from "../../test/support/admission-cases.ts";
import { applyPatch } from "./json-patch.ts";
import { arbitraryPod, arbitraryPolicy, arbitrarySite } from "../../test/support/admission-arbitraries.ts";
import { mutatePod } from "./mutate.ts";
import { APPLIED_ANNOTATION, type PodPolicy, SET_ANNOTATION, SKIPPED_ANNOTATION } from "./types.ts";

interface Manifest {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
}

/** The pod without the annotations that tell what was done, and without an annotations object that is empty then. */
function withoutOurWords(pod: Manifest): unknown {
  const annotations = Object.entries(pod.metadata.annotations ?? {}).filter(([key]) => !key.startsWith("hygeia.dev/"));
  const { annotations: _, ...metadata } = pod.metadata;
  return {
    ...pod,
    metadata: annotations.length === 0 ? metadata : { ...metadata, annotations: Object.fromEntries(annotations) },
  };
}

const NDOTS_2 = dnsPolicy({ options: [{ name: "ndots", value: "2" }] });

const pod = (spec: object = {}, metadata: object = {}) => ({
  metadata,
  spec: { containers: [{ name: "app", image: "app" }], ...spec },
});

describe("what is done to a pod", () => {
  it.each(Object.entries(admissionCases))("%s", (_, { pod, policy, site, expected, skipped }) => {
    const mutation = mutatePod(pod, policy, site);
    const after = applyPatch(pod, mutation.patch);
    expect(withoutOurWords(after)).toEqual(withoutOurWords(expected));
    expect(mutation.skipped.map(({ part, reason }) => [part, reason])).toEqual(skipped);
    expect(mutatePod(after, policy, site).patch).toEqual([]);
  });
});

describe("the annotations", () => {
  const annotationsAfter = (before: Manifest, policy: PodPolicy, site = SITE) =>
    applyPatch(before, mutatePod(before, policy, site).patch).metadata.annotations;

  it("say by which policy and generation, and which values were set", () => {
    expect(annotationsAfter(pod(), NDOTS_2)).toEqual({ [APPLIED_ANNOTATION]: "shop@3", [SET_ANNOTATION]: "ndots=2" });
  });

  it("are added to those that are there", () => {
    const after = annotationsAfter(pod({}, { annotations: { a: "1" } }), NDOTS_2);
    expect(after).toEqual({ a: "1", [APPLIED_ANNOTATION]: "shop@3", [SET_ANNOTATION]: "ndots=2" });
  });

  it("say what was left out and why, and nothing of applied parts where there are none", () => {
    const after = annotationsAfter(pod({ hostNetwork: true }), { ...KEEPALIVE, dns: NDOTS_2.dns });
    expect(after).toEqual({ [SKIPPED_ANNOTATION]: "dns=HostNetwork,keepalive=HostNetwork" });
  });

  it("are not put on a pod that obeys by itself", () => {
    expect(mutatePod(pod({ dnsConfig: { options: [{ name: "ndots", value: "2" }] } }), NDOTS_2, SITE)).toEqual({
      patch: [],
      applied: ["dns"],
      changed: [],
      skipped: [],
    });
  });

  it("take back a skip that no longer holds", () => {
    const before = pod({}, { annotations: { [SKIPPED_ANNOTATION]: "dns=ConflictingInjection" } });
    expect(annotationsAfter(before, NDOTS_2)?.[SKIPPED_ANNOTATION]).toBe("");
  });

  it("that would grow too large leave the pod as it is", () => {
    const before = pod({}, { annotations: { large: "x".repeat(256 * 1024 - 40) } });
    expect(mutatePod(before, NDOTS_2, SITE)).toMatchObject({ patch: [], skipped: [{ reason: "AnnotationsFull" }] });
  });
});

it("a search domain is the same in any case of letters", () => {
  const policy = dnsPolicy({ searches: ["a.example", "b.example"] });
  const before = pod({ dnsConfig: { searches: ["A.Example."] } });
  expect(applyPatch(before, mutatePod(before, policy, SITE).patch).spec).toMatchObject({
    dnsConfig: { searches: ["A.Example.", "b.example"] },
  });
});

describe("a later generation of the policy", () => {
  const later = dnsPolicy({ options: [{ name: "ndots", value: "3" }] });
  const before = pod();
  const first = applyPatch(before, mutatePod(before, NDOTS_2, SITE).patch);

  it("sets anew what an earlier one set", () => {
    const after = applyPatch(first, mutatePod(first, { ...later, generation: 4 }, SITE).patch);
    expect(after).toMatchObject({
      metadata: { annotations: { [APPLIED_ANNOTATION]: "shop@4", [SET_ANNOTATION]: "ndots=3" } },
      spec: { dnsConfig: { options: [{ name: "ndots", value: "3" }] } },
    });
  });

  it("leaves what another webhook set since", () => {
    const changed = applyPatch(first, [{ op: "add", path: "/spec/dnsConfig/options/0/value", value: "4" }]);
    expect(mutatePod(changed, later, SITE)).toMatchObject({
      changed: [],
      skipped: [{ part: "dns", reason: "SetByAuthor" }],
    });
  });

  it("sets sysctls, sleep and netdns anew too", () => {
    const policy: PodPolicy = { ...KEEPALIVE, goResolver: { netdns: "go", containers: ["app"] }, preStopSleep: 5 };
    const after = applyPatch(before, mutatePod(before, policy, SITE).patch);
    const sysctls = [
      { name: "net.ipv4.tcp_keepalive_time", value: "300" },
      ...(policy.sysctls?.slice(1) ?? []),
      { name: "net.ipv4.tcp_fin_timeout", value: "30" },
    ];
    const next: PodPolicy = {
      ...policy,
      generation: 4,
      sysctls,
      goResolver: { netdns: "cgo", containers: ["app"] },
      preStopSleep: 7,
    };
    const mutation = mutatePod(after, next, SITE);
    expect(mutation.changed).toEqual(["goResolver", "keepalive", "preStop"]);
    expect(applyPatch(after, mutation.patch)).toMatchObject({
      spec: {
        securityContext: { sysctls },
        containers: [
          { env: [{ name: "GODEBUG", value: "netdns=cgo" }], lifecycle: { preStop: { sleep: { seconds: 7 } } } },
        ],
      },
    });
  });
});

describe("an odd pod is left as it is", () => {
  it.each(
    Object.entries<unknown>({
      "no object": 7,
      null: null,
      "without metadata": { spec: { containers: [] } },
      "without a spec": { metadata: {} },
      "containers that are no list": { metadata: {}, spec: { containers: {} } },
      "a container that is no object": { metadata: {}, spec: { containers: ["app"] } },
      "a container without a name": { metadata: {}, spec: { containers: [{}] } },
      "annotations that are no texts": pod({}, { annotations: { a: 1 } }),
      "a dnsConfig that is a list": pod({ dnsConfig: [] }),
      "an option without a name": pod({ dnsConfig: { options: [{ value: "2" }] } }),
      "a sysctl with a number": pod({ securityContext: { sysctls: [{ name: "a.b", value: 1 }] } }),
      "a grace period that is a text": pod({ terminationGracePeriodSeconds: "30" }),
      "hostNetwork as a text": pod({ hostNetwork: "true" }),
    }),
  )("%s", (_, odd) => {
    const message = "the pod is not of the form that is known";
    expect(mutatePod(odd, { ...KEEPALIVE, dns: NDOTS_2.dns }, SITE)).toEqual({
      patch: [],
      applied: [],
      changed: [],
      skipped: [
        { part: "dns", reason: "NotUnderstood", message },
        { part: "keepalive", reason: "NotUnderstood", message },
      ],
    });
  });

  it("a static pod's mirror is another that can not be changed", () => {
    const mirror = pod({}, { annotations: { "kubernetes.io/config.mirror": "x" } });
    expect(mutatePod(mirror, NDOTS_2, SITE)).toMatchObject({ patch: [], skipped: [{ reason: "StaticPod" }] });
  });

  it("what is null is absent", () => {
    const before = pod({ dnsConfig: { options: null }, securityContext: null }, { annotations: null });
    const after = applyPatch(before, mutatePod(before, { ...KEEPALIVE, dns: NDOTS_2.dns }, SITE).patch);
    expect(after.spec).toMatchObject({
      dnsConfig: { options: [{ name: "ndots", value: "2" }] },
      securityContext: { sysctls: KEEPALIVE.sysctls },
    });
  });
});

describe("for every pod, policy and site", () => {
  it("the patch is idempotent", () => {
    fc.assert(
      fc.property(arbitraryPod, arbitraryPolicy, arbitrarySite, (pod, policy, site) => {
        const after = applyPatch(pod, mutatePod(pod, policy, site).patch);
        expect(mutatePod(after, policy, site)).toMatchObject({ patch: [], changed: [] });
      }),
      { numRuns: 1_000 },
    );
  });

  it("the patch settles after another webhook changed the pod, or another policy did", () => {
    fc.assert(
      fc.property(
        arbitraryPod,
        arbitraryPod,
        arbitraryPolicy,
        arbitraryPolicy,
        arbitrarySite,
        (pod, other, one, two, site) => {
          const first = applyPatch(pod, mutatePod(pod, one, site).patch);
          const changed = { ...first, spec: { ...first.spec, ...other.spec } };
          const after = applyPatch(changed, mutatePod(changed, two, site).patch);
          expect(mutatePod(after, two, site).patch).toEqual([]);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it("only additions are made, and no entry of the author's is lost", () => {
    fc.assert(
      fc.property(arbitraryPod, arbitraryPolicy, arbitrarySite, (drawn, policy, site) => {
        // What that annotation names is ours, and may be set to something else.
        const annotations = { ...drawn.metadata.annotations, [SET_ANNOTATION]: "" };
        const pod = { ...drawn, metadata: { ...drawn.metadata, annotations } };
        const { patch } = mutatePod(pod, policy, site);
        const after = applyPatch(pod, patch);
        expect(new Set(patch.map(({ op }) => op))).toEqual(new Set(patch.length > 0 ? ["add"] : []));
        expectKept(pod.spec, after.spec, policy);
      }),
      { numRuns: 1_000 },
    );
  });

  it("what is not a pod never throws", () => {
    fc.assert(
      fc.property(fc.jsonValue(), arbitraryPod, arbitraryPolicy, arbitrarySite, (json, pod, policy, site) => {
        expect(mutatePod(json, policy, site).patch).toEqual([]);
        for (const field of Object.keys(pod.spec)) {
          const odd = { ...pod, spec: { ...pod.spec, [field]: json } };
          applyPatch(odd, mutatePod(odd, policy, site).patch);
        }
      }),
      { numRuns: 300 },
    );
  });
});

type Spec = Readonly<Record<string, unknown>>;

function expectKept(before: Spec, after: Spec, policy: PodPolicy): void {
  const list = (spec: Spec, ...path: readonly string[]): readonly unknown[] => {
    let value: unknown = spec;
    for (const key of path) value = (value as Record<string, unknown> | undefined)?.[key];
    return (value as unknown[] | undefined) ?? [];
  };
  for (const key of ["nameservers", "searches"]) {
    const kept = list(after, "dnsConfig", key).filter((item) => list(before, "dnsConfig", key).includes(item));
    expect(kept).toEqual(list(before, "dnsConfig", key));
  }
  const sysctls = list(before, "securityContext", "sysctls");
  expect(list(after, "securityContext", "sysctls").slice(0, sysctls.length)).toEqual(sysctls);
  const options = list(before, "dnsConfig", "options") as { name: string; value?: string }[];
  const now = list(after, "dnsConfig", "options").slice(0, options.length) as typeof options;
  expect(now.map(({ name }) => name)).toEqual(options.map(({ name }) => name));
  if (policy.dns?.overrides !== true) expect(now).toEqual(options);
  expect(list(after, "containers").length).toBe(list(before, "containers").length);
}
