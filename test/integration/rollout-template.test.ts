/** spec.rollout with strategy Template: the operator as a process, Deployments on a real API server with its controllers. */
import { afterAll, beforeAll, expect, test } from "vitest";

import type { KubeObject } from "../support/kube-client.ts";
import type { Operator } from "../support/operator.ts";
import { eventually } from "../support/operator-wait.ts";
import {
  annotationOf,
  BREAKS_WITH_DNS,
  isServing,
  obeys,
  type Pod,
  RolloutStage,
  type Workload,
} from "../support/rollout-stage.ts";

let stage: RolloutStage;
let operator: Operator;

beforeAll(async () => {
  stage = await RolloutStage.start();
  operator = await stage.operator();
});

afterAll(async () => {
  await operator.stop();
  await stage.stop();
});

interface Event extends KubeObject {
  readonly reason: string;
  readonly regarding: { readonly kind: string; readonly name: string };
}

async function eventReasons(kind: string, name: string): Promise<string[]> {
  const events = await stage.client.list<Event>("/apis/events.k8s.io/v1/events");
  return events
    .filter(({ regarding }) => regarding.kind === kind && regarding.name === name)
    .map(({ reason }) => reason)
    .filter((reason) => reason.startsWith("Rollout"));
}

/** As much of an EndpointSlice as a client goes by. */
interface EndpointSlice extends KubeObject {
  readonly endpoints:
    | readonly { readonly conditions: { readonly ready?: boolean }; readonly targetRef: { readonly uid: string } }[]
    | null;
}

/** UIDs of the pods that a client of the Service would be sent to. */
function readyEndpoints(slices: Iterable<EndpointSlice>): string[] {
  return [...slices].flatMap(({ endpoints }) =>
    (endpoints ?? []).flatMap(({ conditions, targetRef }) => (conditions.ready === true ? [targetRef.uid] : [])),
  );
}

/** A Service before the pods labelled `app`. @returns the path of its EndpointSlices, once they have so many endpoints */
async function serve(namespace: string, app: string, endpoints: number): Promise<string> {
  const spec = { clusterIP: "None", selector: { app }, ports: [{ port: 80 }] };
  await stage.client.create(`/api/v1/namespaces/${namespace}/services`, { metadata: { name: app }, spec });
  const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;
  await eventually(
    "the Service has its endpoints",
    async () => readyEndpoints(await stage.client.list<EndpointSlice>(path)).length === endpoints,
  );
  return path;
}

/** Asks for the endpoints, one read after the other, as clients that dial anew each time. @returns ends it, with what was seen */
function keepAsking(path: string): () => Promise<string[][]> {
  const seen: string[][] = [];
  const end = new AbortController();
  const asking = (async () => {
    while (!end.signal.aborted) seen.push(readyEndpoints(await stage.client.list<EndpointSlice>(path)));
  })();
  return async () => {
    end.abort();
    await asking;
    return seen;
  };
}

/**
 * Load here is clients that look up the Service's endpoints without a pause; kwok's pods answer nobody, so that no request
 * is carried through. What is shown is that an endpoint to go to is always listed, and how many are.
 */
test("a Deployment of 10 is replaced pod by pod and always has the pods that its strategy promises", async () => {
  const shop = await stage.shop("ten");
  // So long a new pod is not counted on: the old ones stay meanwhile.
  await shop.create("Deployment", "web", 10, { minReadySeconds: 2 });
  await shop.untilSettled("Deployment");
  const before = await shop.workload("Deployment", "web");
  const slicesPath = await serve(shop.name, "web", 10);
  const pods = await shop.history(shop.podsPath);
  const slices = await shop.history(slicesPath);
  const deployments = await shop.history(shop.pathOf("Deployment"));
  const endAsking = keepAsking(slicesPath);
  await shop.enforce({ strategy: "Template" });

  const status = await shop.untilRolledOut("Complete", operator);
  const asked = await endAsking();
  expect(status.rollouts).toMatchObject({ state: "Complete", done: 1, pending: 0, failed: 0, progress: "1/1" });
  const after = await shop.workload("Deployment", "web");
  const { uid } = await stage.client.get(`/apis/hygeia.dev/v1alpha1/registrationpolicies/ten`).then((x) => x.metadata);
  expect(annotationOf(after)).toBe(`ten@1-${uid.slice(0, 8)}`);
  const { annotations, ...metadata } = after.spec.template.metadata;
  expect(Object.keys(annotations ?? {})).toEqual(["hygeia.dev/rollout"]);
  expect({ ...after.spec, template: { ...after.spec.template, metadata } }).toEqual(before.spec);

  // 25 % of 10, rounded down, may be missing.
  const states = await pods.states<Pod>();
  const serving = states.map((state) => [...state.values()].filter(isServing).length);
  expect(Math.min(...serving)).toBeGreaterThanOrEqual(8);
  const last = [...(states.at(-1)?.values() ?? [])].filter(isServing);
  expect(last.map(obeys)).toEqual(Array.from({ length: 10 }, () => true));
  // Each was replaced once: no more pods were made than were needed.
  const uids = new Set(states.flatMap((state) => [...state.values()].map((pod) => pod.metadata.uid)));
  expect(uids.size).toBe(20);
  // So it is for whoever goes by the Service: at every change of its EndpointSlices, and whenever a client asks.
  const listed = (await slices.states<EndpointSlice>()).map((state) => readyEndpoints(state.values()));
  for (const endpoints of [listed, asked]) {
    expect(Math.min(...endpoints.map(({ length }) => length))).toBeGreaterThanOrEqual(8);
    expect(new Set(endpoints.flat())).toEqual(uids);
  }
  const templates = (await deployments.states<Workload>()).map((state) => state.get("web")?.metadata.generation);
  expect(new Set(templates).size).toBe(2);

  expect(await shop.remembered()).toMatchObject([{ name: "web", result: "Done", strategy: "Template" }]);
  await eventually("the Deployment's Events tell", async () =>
    (await eventReasons("Deployment", "web")).includes("RolloutDone"),
  );
  expect((await eventReasons("RegistrationPolicy", "ten")).toSorted()).toEqual(["RolloutDone", "RolloutStarted"]);
  const metrics = await operator.metrics();
  const total = (result: string) => metrics.sum("hygeia_rollouts_total", { policy: "ten", result });
  expect([total("Started"), total("Done"), total("Failed")]).toEqual([1, 1, 0]);
});

test("a new template that fails stops the roll-out after the first workload", async () => {
  const shop = await stage.shop("failing");
  await shop.create("Deployment", "a", 4, { progressDeadlineSeconds: 5, annotations: BREAKS_WITH_DNS });
  for (const name of ["b", "c"]) await shop.create("Deployment", name, 4);
  await shop.untilSettled("Deployment");
  const pods = await shop.history(shop.podsPath);
  await shop.enforce({ strategy: "Template", availableWithin: "30s" });

  const status = await shop.untilRolledOut("Stopped", operator);
  expect(status.rollouts).toMatchObject({ state: "Stopped", done: 0, pending: 2, failed: 1 });
  const [failed] = await shop.remembered();
  expect(failed).toMatchObject({ name: "a", result: "Failed" });
  expect(failed?.message).toMatch(/^its progressDeadlineSeconds are over: /);
  expect((await operator.metrics()).sum("hygeia_rollout_stopped", { policy: "failing" })).toBe(1);
  // It has had every occasion to go on.
  await operator.restart();
  await operator.untilReady();
  await eventually(
    "it knows again that it stopped",
    async () => (await operator.metrics()).sum("hygeia_rollout_stopped", { policy: "failing" }) === 1,
  );
  const workloads = await shop.workloads("Deployment");
  expect(workloads.map((each) => [each.metadata.name, annotationOf(each) !== undefined])).toEqual([
    ["a", true],
    ["b", false],
    ["c", false],
  ]);
  const serving = (await pods.states<Pod>()).map((state) => [...state.values()].filter(isServing).length);
  expect(Math.min(...serving)).toBeGreaterThanOrEqual(11);

  // Put right, and the policy changed: it goes on, and does not repeat what is as it should be.
  const template = { metadata: { annotations: { "test.hygeia.dev/starts": null } } };
  await stage.client.patch(shop.pathOf("Deployment", "a"), { spec: { template } });
  await shop.untilSettled("Deployment");
  await shop.enforce({ strategy: "Template", availableWithin: "31s" });
  const { rollouts } = await shop.untilRolledOut("Complete", operator);
  expect(rollouts).toMatchObject({ done: 2, failed: 0 });
  expect((await shop.pods()).filter(isServing).every(obeys)).toBe(true);
});
