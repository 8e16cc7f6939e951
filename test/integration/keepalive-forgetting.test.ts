/**
 * A keepalive beside how soon a real etcd forgets one of the policy's instances: by the usual TTL of its framework, as long
 * as nobody has asked for its lease.
 */
import { afterAll, beforeAll, test } from "vitest";

import type { Operator } from "../support/operator.ts";
import { eventually } from "../support/operator-wait.ts";
import { POLICY, Stage } from "../support/operator-stage.ts";

let stage: Stage;
let operator: Operator;

beforeAll(async () => {
  stage = await Stage.start();
  await stage.instance({ framework: "GoMicro", service: "slow" });
  const keepalive = { time: "40s", interval: "10s", probes: 4, paths: [{ name: "nlb", preset: "AWSNLB" }] };
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
  await untilSaid("Nested", /^a dead peer is found out after 80s; .*effective only for sockets with SO_KEEPALIVE/);
  const quick = await stage.instance({ framework: "Kratos", service: "quick" });
  await untilSaid(
    "NestedWithWarnings",
    /= 80s, later than the 15s of silence \(the shortest TTL of the policy's instances, in etcd .* the registry forgets it/,
  );
  await stage.crash(quick);
  await untilSaid("Nested", /^a dead peer is found out after 80s/);
});
