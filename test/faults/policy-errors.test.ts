import { setTimeout as delay } from "node:timers/promises";

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

import type { Operator } from "../support/operator.ts";
import { applyPolicy } from "../support/operator-objects.ts";
import { untilCondition, untilEvent } from "../support/operator-seen.ts";
import { POLICY, REGISTRY, Stage, type StagedInstance } from "../support/operator-stage.ts";
import { eventually } from "../support/operator-wait.ts";

/** Nothing leaves by itself during the test. */
const TTL = 600;
/** At one a second these last longer than the tests. */
const MASS = 60;
const oneASecond = { budget: { evictionsPerSecond: 1, burst: 1 } } as const;
/** So many leave before a test steps in. */
const SOME = 2;
/** A test looks for as long as so many evictions would take. */
const LOOK_FOR = 4;

const API = "/apis/hygeia.dev/v1alpha1";

let stage: Stage;
let operator: Operator;

beforeAll(async () => {
  stage = await Stage.start({ zombies: oneASecond });
  operator = await stage.operator({ flags: { "sweep-interval": "1s" } });
  await operator.untilReady();
});

afterAll(async () => {
  await stage.stop();
});

function rpol(name: string): { readonly kind: "RegistrationPolicy"; readonly name: string } {
  return { kind: "RegistrationPolicy", name };
}

async function remove(plural: "registries" | "registrationpolicies", name: string): Promise<void> {
  await stage.fixture.client.delete(`${API}/${plural}/${name}`);
}

/** The cells of one row of `kubectl get rpol`, by the header of their column. */
async function columns(name: string): Promise<Readonly<Record<string, string>>> {
  const [header = "", row = ""] = (await stage.fixture.kubectl("get", "rpol", name, "-o", "wide")).split("\n");
  const starts = Array.from(header.matchAll(/\S+/g), ({ 0: title, index }) => ({ title, index }));
  return Object.fromEntries(
    starts.map(({ title, index }, i) => [title, row.slice(index, starts[i + 1]?.index).trim()]),
  );
}

describe("a policy with a mistake", () => {
  test("in a selector's shape is refused, and the refusal names the field", async () => {
    const manifest = (match: object): string =>
      JSON.stringify({
        apiVersion: "hygeia.dev/v1alpha1",
        kind: "RegistrationPolicy",
        metadata: { name: "refused" },
        spec: { match, registration: { registries: [{ name: REGISTRY }] } },
      });
    const apply = (match: object): Promise<string> => stage.fixture.kubectlWith(manifest(match), "apply", "-f", "-");
    await expect(apply({ podSelector: { matchExpressions: [{ key: "app", operator: "In" }] } })).rejects.toThrow(
      /spec\.match\.podSelector\.matchExpressions\[0\]\.values: .*values must be set/,
    );
    await expect(
      apply({ namespaceSelector: { matchExpressions: [{ key: "team", operator: "Is", values: ["a"] }] } }),
    ).rejects.toThrow(/spec\.match\.namespaceSelector\.matchExpressions\[0\]\.operator: .*"In"/);
  });

  test("in a selector's meaning is not in force, and names the field", async () => {
    const body = {
      apiVersion: "hygeia.dev/v1alpha1",
      kind: "RegistrationPolicy",
      metadata: { name: "bad-selector" },
      spec: {
        mode: "Enforce",
        // It would win over the good one.
        priority: 10,
        match: { podSelector: { matchLabels: { "a..b/app": "x" } } },
        registration: { registries: [{ name: REGISTRY }] },
      },
    };
    await stage.fixture.client.create(`${API}/registrationpolicies`, body);
    const says = /spec\.match\.podSelector\.matchLabels\[a\.\.b\/app\]/;
    await untilCondition(stage.fixture.client, rpol("bad-selector"), {
      type: "Accepted",
      status: "False",
      reason: "InvalidSelector",
      says,
    });
    await untilEvent(stage.fixture.client, rpol("bad-selector"), "PolicyNotAccepted", says);
    expect(await columns("bad-selector")).toMatchObject({ READY: "False", BLOCKED: "NotAccepted" });
    await remove("registrationpolicies", "bad-selector");
  });

  test("in the name of a registry says which one", async () => {
    await applyPolicy(stage.fixture.client, "astray", { registries: [REGISTRY, "nowhere"], priority: -1 });
    const says = /spec\.registration\.registries\[1\]\.name: there is no Registry "nowhere"/;
    const expected = { type: "Ready", status: "False", reason: "RegistryNotFound", says } as const;
    await untilCondition(stage.fixture.client, rpol("astray"), expected);
    await untilEvent(stage.fixture.client, rpol("astray"), "RegistryNotFound", says);
    expect(await columns("astray")).toMatchObject({ READY: "False", REGISTRIES: `${REGISTRY}, nowhere(NotFound)` });
    await remove("registrationpolicies", "astray");
  });

  test("of standing in another one's way says who is in charge", async () => {
    await stage.fixture.runPod({ namespace: stage.namespace, node: stage.node });
    await applyPolicy(stage.fixture.client, "overlapped", { registries: [REGISTRY], priority: -1 });
    const wholly = {
      type: "Superseded",
      status: "True",
      reason: "WhollySuperseded",
      says: /spec\.match .* spec\.priority .*: "all" \(\d+ pods?\)/,
    } as const;
    await untilCondition(stage.fixture.client, rpol("overlapped"), wholly);
    await untilEvent(stage.fixture.client, rpol("overlapped"), "PolicySuperseded", /spec\.priority .*"all"/);
    await untilCondition(stage.fixture.client, rpol("overlapped"), {
      type: "Ready",
      status: "False",
      reason: "Superseded",
      says: /"all"/,
    });
    expect(await columns("overlapped")).toMatchObject({ READY: "False", PRIORITY: "-1", MATCHED: "0" });
    expect(await columns(POLICY)).toMatchObject({ READY: "True" });
    await remove("registrationpolicies", "overlapped");
  });
});

describe("in the middle of a mass eviction nothing further leaves", () => {
  let dying: readonly StagedInstance[];
  let bystander: StagedInstance;

  beforeAll(async () => {
    const wish = { framework: "Kitex", service: "mass", ttl: TTL } as const;
    [bystander, ...dying] = (await stage.instances(Array.from({ length: MASS + 1 }, () => wish))) as [
      StagedInstance,
      ...StagedInstance[],
    ];
    await stage.untilLive(operator, MASS + 1);
    await stage.untilCaughtUp(operator);
    await stage.fixture.each(dying, (instance) => stage.crash(instance));
  });

  beforeEach(async () => {
    const before = stage.oracle.departures.length;
    await eventually("evictions go on", () => stage.oracle.departures.length >= before + SOME);
  });

  async function expectNothingLeaves(): Promise<void> {
    await stage.oracle.verify();
    const before = stage.oracle.departures.length;
    await delay((LOOK_FOR * 1_000) / oneASecond.budget.evictionsPerSecond);
    await stage.oracle.verify();
    expect(stage.oracle.departures).toHaveLength(before);
    // Otherwise there was nothing more to evict.
    expect(before + LOOK_FOR).toBeLessThan(MASS);
    expect(await stage.session.get(bystander.key)).toBeDefined();
  }

  /** Waits until the operator's metrics show nothing any more of an object that is gone. */
  async function untilForgotten(metric: string, labels: Readonly<Record<string, string>>): Promise<void> {
    await eventually(`${metric} is gone`, async () => !(await operator.metrics()).has(metric, labels));
  }

  test("once the policy is paused", async () => {
    await applyPolicy(stage.fixture.client, POLICY, { registries: [REGISTRY], mode: "Paused", zombies: oneASecond });
    const paused = { type: "EvictionBlocked", status: "True", reason: "Paused" } as const;
    await untilCondition(stage.fixture.client, rpol(POLICY), paused);
    await expectNothingLeaves();
    expect(await columns(POLICY)).toMatchObject({ MODE: "Paused", READY: "False", BLOCKED: "Paused" });
    await applyPolicy(stage.fixture.client, POLICY, { registries: [REGISTRY], zombies: oneASecond });
  });

  test("once the policy is deleted", async () => {
    await remove("registrationpolicies", POLICY);
    await untilForgotten("hygeia_budget_left", { policy: POLICY });
    await expectNothingLeaves();
    await applyPolicy(stage.fixture.client, POLICY, { registries: [REGISTRY], zombies: oneASecond });
  });

  test("once the Registry is deleted", async () => {
    await remove("registries", REGISTRY);
    await untilForgotten("hygeia_registry_instances", { registry: REGISTRY });
    await expectNothingLeaves();
    expect(await columns(POLICY)).toMatchObject({ READY: "False", REGISTRIES: `${REGISTRY}(NotFound)` });
  });
});
