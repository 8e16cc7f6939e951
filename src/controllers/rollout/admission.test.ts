import { describe, expect, test } from "vitest";

import type { AdmissionStanding } from "../admission/standing.ts";
import { admissionProblem, type NewPods } from "./admission.ts";

const NOW = 100_000;

function newPods(standing: Partial<AdmissionStanding> = {}, fields: Partial<NewPods> = {}): NewPods {
  return {
    generation: 4,
    isKnown: true,
    standing: {
      way: "Policy",
      generation: 4,
      changedAt: NOW - 15_000,
      leftOut: [],
      isTooDeep: false,
      problem: undefined,
      checkProblem: undefined,
      ...standing,
    },
    webhookProblem: undefined,
    now: NOW,
    ...fields,
  };
}

describe("new pods obey", () => {
  const rows: Record<string, NewPods> = {
    "where the API server has gone by its policy for a while": newPods(),
    "where the webhook answers": newPods({ way: "Webhook", changedAt: undefined }),
    "where the webhook is off, and the API server changes pods": newPods({}, { webhookProblem: "it is off" }),
    "where nobody is warned of pods that escape": newPods({ checkProblem: "not allowed" }),
    // Parts that no pod gets make no pod differ.
    "where a part is left out for every pod": newPods({ leftOut: ["spec.keepalive: NodeTooOld"] }),
  };
  test.each(Object.entries(rows))("%s", (_, facts) => {
    expect(admissionProblem(facts)).toBeUndefined();
  });
});

describe("new pods would not obey", () => {
  const rows: Record<string, [NewPods, RegExp]> = {
    "while the cluster is not known": [newPods({}, { isKnown: false }), /not known well enough/],
    "while nothing is known of admission": [newPods({}, { standing: undefined }), /not known yet how/],
    "while the way is not known": [newPods({ way: "NotKnownYet" }), /not known yet how/],
    "where nothing changes pods": [newPods({ way: "None" }), /--admission/],
    "where the API server has no such kind": [newPods({ way: "NotServed" }), /serves no MutatingAdmissionPolicy/],
    "where the operator may not write it": [newPods({ way: "NotAllowed" }), /config\/default-policy/],
    "while the last change of the policy is not applied": [newPods({ generation: 3 }), /last change/],
    "while the webhook's check does not know the last change": [
      newPods({ way: "Webhook", generation: 3 }),
      /last change/,
    ],
    "where the webhook does not serve": [
      newPods({ way: "Webhook" }, { webhookProblem: "no certificate" }),
      /^no certificate$/,
    ],
    "where too many policies come before it": [newPods({ isTooDeep: true }), /come before it/],
    "where the object could not be written": [newPods({ problem: "Forbidden: no" }), /^Forbidden: no$/],
    "just after the object changed": [newPods({ changedAt: NOW - 14_999 }), /just changed/],
    "where no object is known to have been written": [newPods({ changedAt: undefined }), /just changed/],
  };
  test.each(Object.entries(rows))("%s", (_, [facts, message]) => {
    expect(admissionProblem(facts)).toMatch(message);
  });
});
