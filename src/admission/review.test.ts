import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { annotate, everywhere, reviewOf } from "../../test/support/admission-review.ts";
import { review, type ReviewParts, type ReviewReason, reviewReasons } from "./review.ts";

const parts: ReviewParts = {
  snapshot: () => everywhere,
  mutate: annotate,
  exemptNamespaces: new Set(["kube-system", "hygeia-system"]),
};

interface Answer {
  readonly apiVersion: string;
  readonly kind: string;
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly patchType?: string;
    readonly patch?: string;
    readonly auditAnnotations?: Readonly<Record<string, string>>;
  };
}

function ask(body: unknown, changed: Partial<ReviewParts> = {}): { reason: ReviewReason; answer: Answer } {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const { reason, answer } = review(text, { ...parts, ...changed });
  return { reason, answer: answer as Answer };
}

const metadata = (fields: object): object => ({ metadata: { name: "web-0", ...fields } });

describe("review", () => {
  test("a pod that is being created gets its patch as base64 of a JSONPatch", () => {
    const { reason, answer } = ask(reviewOf());
    expect(reason).toBe("Changed");
    expect(answer).toMatchObject({
      apiVersion: "admission.k8s.io/v1",
      kind: "AdmissionReview",
      response: { uid: "705ab4f5-6393-11e8-b7cc-42010a800002", allowed: true, patchType: "JSONPatch" },
    });
    expect(JSON.parse(Buffer.from(answer.response.patch ?? "", "base64").toString())).toEqual([
      { op: "add", path: "/metadata/annotations", value: { "test/mutated": "yes" } },
    ]);
    expect(answer.response.auditAnnotations).toEqual({ policy: "web@3", applied: "gracePeriod" });
  });

  const unchanged: Record<string, { body: unknown; parts?: Partial<ReviewParts>; reason: ReviewReason }> = {
    "a pod that obeys already": {
      body: reviewOf({}, metadata({ annotations: { "test/mutated": "yes" } })),
      reason: "Compliant",
    },
    "a pod that no policy is in charge of": { body: reviewOf({ namespace: "unclaimed" }), reason: "NoPolicy" },
    "a pod whose label exempts it": {
      body: reviewOf({}, metadata({ labels: { "hygeia.dev/admission": "Disabled" } })),
      reason: "OptedOut",
    },
    "the mirror of a static pod": {
      body: reviewOf({}, metadata({ annotations: { "kubernetes.io/config.mirror": "" } })),
      reason: "MirrorPod",
    },
    "a pod of kube-system": { body: reviewOf({ namespace: "kube-system" }), reason: "ExemptNamespace" },
    "a pod of the operator's own namespace": {
      body: reviewOf({ namespace: "hygeia-system" }),
      reason: "ExemptNamespace",
    },
    "an update": { body: reviewOf({ operation: "UPDATE" }), reason: "NotCreate" },
    "an eviction": { body: reviewOf({ subResource: "eviction" }), reason: "SubResource" },
    "another kind": {
      body: reviewOf({ kind: { group: "apps", version: "v1", kind: "Deployment" } }),
      reason: "OtherKind",
    },
    "a pod of another version": {
      body: reviewOf({ kind: { group: "", version: "v2", kind: "Pod" } }),
      reason: "OtherKind",
    },
    "a review while policies are not known yet": {
      body: reviewOf(),
      parts: { snapshot: () => undefined },
      reason: "NotReady",
    },
    "a review of a version that is not known": {
      body: { ...reviewOf(), apiVersion: "admission.k8s.io/v2" },
      reason: "UnknownVersion",
    },
    "a mistake in the mutation": {
      body: reviewOf(),
      parts: {
        mutate: () => {
          throw new TypeError("mistake");
        },
      },
      reason: "Exception",
    },
    "a mistake in the snapshot": {
      body: reviewOf(),
      parts: {
        snapshot: () => {
          throw new TypeError("mistake");
        },
      },
      reason: "Exception",
    },
    "all parts left out": {
      body: reviewOf(),
      parts: {
        mutate: () => ({
          patch: [],
          applied: [],
          changed: [],
          skipped: [{ part: "keepalive", reason: "HostNetwork", message: "" }],
        }),
      },
      reason: "Skipped",
    },
    "text that is no JSON": { body: "{", reason: "BadReview" },
    "JSON that is no object": { body: "[]", reason: "BadReview" },
    "another kind of object": { body: { kind: "Pod" }, reason: "BadReview" },
    "a review without a request": {
      body: { apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview" },
      reason: "BadReview",
    },
    "a review without a pod": { body: reviewOf({ object: null }), reason: "BadReview" },
    "a pod without a spec": { body: reviewOf({}, { spec: null }), reason: "BadReview" },
    "a pod without a namespace": { body: reviewOf({ namespace: "" }), reason: "BadReview" },
  };
  test.each(Object.entries(unchanged))("%s is allowed and left as it is", (_, { body, parts: changed, reason }) => {
    const seen = ask(body, changed);
    expect(seen.reason).toBe(reason);
    expect(seen.answer.response.allowed).toBe(true);
    expect(seen.answer.response).not.toHaveProperty("patch");
    expect(seen.answer.response).not.toHaveProperty("patchType");
  });

  test("a probe in a dry run is answered by an annotation; without a dry run it is a pod like any other", () => {
    const asked = metadata({ annotations: { "hygeia.dev/probe": "abc", other: "x" } });
    const { reason, answer } = ask(reviewOf({ dryRun: true }, asked));
    expect(reason).toBe("Probe");
    expect(JSON.parse(Buffer.from(answer.response.patch ?? "", "base64").toString())).toEqual([
      { op: "add", path: "/metadata/annotations/hygeia.dev~1probed", value: "abc" },
    ]);
    expect(ask(reviewOf({}, asked)).reason).toBe("Changed");
  });

  test("each reason is met by a case, so that none is there for nothing", () => {
    const met = new Set([...Object.values(unchanged).map(({ reason }) => reason), "Changed", "Probe"]);
    expect([...met].toSorted()).toEqual(Object.keys(reviewReasons).toSorted());
  });

  test("a dry run is answered like any other", () => {
    expect(ask(reviewOf({ dryRun: true }))).toEqual(ask(reviewOf()));
  });

  test("what is skipped stands in the audit annotation", () => {
    const { answer } = ask(reviewOf(), unchanged["all parts left out"]?.parts);
    expect(answer.response.auditAnnotations).toEqual({ policy: "web@3", skipped: "keepalive=HostNetwork" });
  });

  test("whatever is sent, it is allowed, and a request's uid comes back", () => {
    const value = fc.jsonValue({ maxDepth: 4 });
    const anyReview = fc.record({
      apiVersion: fc.oneof(fc.constant("admission.k8s.io/v1"), value),
      kind: fc.oneof(fc.constant("AdmissionReview"), value),
      request: fc.oneof(
        value,
        fc.record({ uid: fc.string(), operation: fc.oneof(fc.constant("CREATE"), value), object: value, kind: value }),
      ),
    });
    const field = fc.constantFrom("operation", "subResource", "kind", "resource", "namespace", "object");
    const bent = fc.tuple(field, value).map(([name, put]) => reviewOf({ [name]: put }));
    fc.assert(
      fc.property(fc.oneof(value, anyReview, bent), (body) => {
        const { answer } = ask(body);
        expect(answer.response.allowed).toBe(true);
        const sent = (body as { request?: { uid?: unknown } } | null)?.request?.uid;
        if (typeof sent === "string") expect(answer.response.uid).toBe(sent);
      }),
      { numRuns: 500 },
    );
  });
});
