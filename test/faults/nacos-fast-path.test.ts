/** What is done at once, without a sweep: a frozen gRPC client leaves the callers' list, and an heir at its address is in it. */
import { afterAll, beforeAll, expect, test } from "vitest";

import { getRegistry } from "../support/operator-objects.ts";
import { eventually } from "../support/operator-wait.ts";
import type { FixturePod } from "../support/cluster-fixture.ts";
import { startGrpcRegistrant } from "../support/nacos-registrants.ts";
import { NacosStage } from "../support/nacos-stage.ts";

/** No sweep comes to the rescue. */
const NO_SWEEP = "1h";
/** "At once", milliseconds: with the report that has to name it first, and the half second of Nacos' own cache. */
const AT_ONCE = 3_000;
/** Nobody tells of an instance that appears: lists are a second apart and a second late. */
const LISTED_AND_RELEASED = 5_000;

let stage: NacosStage;

beforeAll(async () => {
  stage = await NacosStage.start({ sweepInterval: NO_SWEEP });
});

afterAll(async () => {
  await stage.stop();
});

/** The process of a pod, known to the operator and to its callers. */
async function startProcess(pod: FixturePod, service: string) {
  // Those of an earlier test have ended.
  await stage.untilLive(0);
  const { ip, port } = stage.of(pod, service);
  const process = await startGrpcRegistrant(stage.nacos, service, [`${ip}:${String(port)}`], stage.api);
  await stage.untilLive(1);
  await stage.untilCaughtUp();
  return process;
}

test("a frozen Java client is out of rotation within seconds, and back as soon as a pod has its address", async () => {
  const service = "frozen";
  const pod = await stage.pod();
  const process = await startProcess(pod, service);
  process.pause();
  await stage.fixture.confirmDeath(pod);
  expect(await stage.untilCallersSee(service, 0)).toBeLessThan(AT_ONCE);
  expect(await stage.api.list(service)).toMatchObject([
    { enabled: false, weight: 3, metadata: { owner: "registrant" } },
  ]);

  await stage.fixture.removePod(pod);
  await stage.pod(pod.addresses);
  expect(await stage.untilCallersSee(service, 1)).toBeLessThan(AT_ONCE);
});

test("one that registers at the address of another that has left in quarantine is in rotation within seconds", async () => {
  const service = "inherited";
  const pod = await stage.pod();
  const process = await startProcess(pod, service);
  process.pause();
  await stage.fixture.confirmDeath(pod);
  await stage.untilCallersSee(service, 0);
  await process.kill();
  await eventually("it has left", async () => (await stage.api.publishers(service)).length === 0);
  await stage.fixture.removePod(pod);

  const heir = await stage.pod(pod.addresses);
  const { ip, port } = stage.of(heir, service);
  await startGrpcRegistrant(stage.nacos, service, [`${ip}:${String(port)}`], stage.api);
  expect(await stage.untilCallersSee(service, 1)).toBeLessThan(LISTED_AND_RELEASED);
});

test("the Registry says how far behind the operator is at most", async () => {
  const viewAge = await eventually(
    "it says so",
    async () => (await getRegistry(stage.fixture.client, stage.registry)).status?.viewAge,
  );
  expect(["5s", "15s"]).toContain(viewAge);
});
