/** A keepalive beside what a registry knows of a policy's instances: how soon it forgets one, by the leases of a real etcd. */
import { afterAll, beforeAll, test } from "vitest";

import type { Operator } from "../support/operator.ts";
import { eventually } from "../support/operator-wait.ts";
import { POLICY, Stage } from "../support/operator-stage.ts";

let stage: Stage;
let operator: Operator;

beforeAll(async () => {
  stage = await Stage.start();
  await stage.instance({ framework: "Kratos", service: "slow", ttl: 600 });
  const keepalive = { time: "120s", interval: "20s", probes: 4, paths: [{ name: "nlb", preset: "AWSNLB" }] };
  const path = `/apis/hygeia.dev/v1alpha1/registrationpolicies/${POLICY}`;
  await stage.fixture.client.patch(path, { spec: { keepalive } });
  operator = await stage.operator();
  await stage.untilLive(operator, 1);
});

afterAll(async () => {
  await stage.stop();
});

async function untilSaid(reason: string, message: RegExp): Promise<void> {
  await eventually(`KeepaliveNested has reason ${reason} and says ${String(message)}`, async () => {
    const said = await stage.condition("KeepaliveNested");
    return said.status === "True" && said.reason === reason && message.test(said.message);
  });
}

test("it is warned of as long as an instance is forgotten sooner than its callers find out that it is dead", async () => {
  await untilSaid("Nested", /^a dead peer is found out after 200s; .*effective only for sockets with SO_KEEPALIVE/);
  const quick = await stage.instance({ framework: "GoMicro", service: "quick", ttl: 90 });
  await untilSaid(
    "NestedWithWarnings",
    /= 200s, later than the 90s of silence \(the shortest TTL of the policy's instances\) after which the registry forgets/,
  );
  await stage.crash(quick);
  await untilSaid("Nested", /^a dead peer is found out after 200s/);
});
