import { afterEach, beforeEach, describe, expect, inject, test } from "vitest";

import { type EtcdServer, startEtcd } from "../env/index.ts";
import { Oracle } from "../support/oracle.ts";
import { etcdNaming, EtcdSession, goZero, kratos, Registrant } from "../support/registrants/index.ts";
import type { FixturePod } from "../support/cluster-fixture.ts";
import { TruthLog } from "../support/truth.ts";

/** A pod that only the truth log knows: these tests are about the registry's side. */
function podOf(truth: TruthLog, uid: string): FixturePod {
  const address = "10.0.0.1";
  truth.podBorn({ uid, namespace: "shop", name: uid, addresses: [address] });
  const node = { name: "n", address: "172.21.0.1", podCidrs: ["10.0.0.0/24"] };
  return { namespace: "shop", name: uid, uid, node, addresses: [address], address, containers: ["app"] };
}

const instance = (service: string) => ({
  service: `oracle-${crypto.randomUUID()}-${service}`,
  host: "10.0.0.1",
  port: 80,
});

let truth: TruthLog;
let session: EtcdSession;
let oracle: Oracle;

beforeEach(async () => {
  truth = new TruthLog();
  session = new EtcdSession({ endpoints: inject("env").etcdEndpoints });
  oracle = await Oracle.start(session, truth);
});

afterEach(async () => {
  oracle.close();
  await session.close();
});

test("the key of a living pod that somebody deletes is a violation that names the pod", async () => {
  const pod = podOf(truth, "web-0");
  const registrant = await Registrant.register(session, kratos(instance("a")), { pod, truth });
  await session.delete(registrant.key);
  await expect(oracle.departure(registrant.key)).resolves.toMatchObject({ cause: "Evicted" });
  await expect(oracle.verify()).rejects.toThrow(
    /violations:\n\/microservices\/oracle-\S+ was taken away at revision \d+, while its pod shop\/web-0 \(web-0, 10\.0\.0\.1, kratos\) lived; its lease had 1\d\.\d s left/,
  );
  registrant.crash();
});

test("so it is for a living pod's key without a lease, and for a process that stands still", async () => {
  const unleased = await Registrant.register(session, etcdNaming({ ...instance("a"), lease: "Unleased" }), {
    pod: podOf(truth, "web-0"),
    truth,
  });
  const frozen = await Registrant.register(session, kratos(instance("b")), { pod: podOf(truth, "web-1"), truth });
  frozen.freeze();
  await session.delete(unleased.key);
  await session.delete(frozen.key);
  await expect(oracle.verify()).rejects.toThrow(/saw 2 violations:\n.*web-0.*it has no lease\n.*web-1/);
});

test("the key of a dead pod may be deleted, but its lease may not be revoked", async () => {
  const pod = podOf(truth, "web-0");
  const first = await Registrant.register(session, kratos(instance("a")), { pod, truth });
  const second = await Registrant.register(session, kratos(instance("b")), { pod, truth });
  first.crash();
  second.crash();
  truth.podDead(pod.uid);
  await session.delete(first.key);
  await oracle.verify();
  await session.revoke(second.lease);
  await expect(oracle.departure(second.key)).resolves.toMatchObject({ cause: "Revoked" });
  await expect(oracle.verify()).rejects.toThrow("by revoking its lease, which nobody may");
});

test("a pod that has been asked to end keeps its key, unless the policy drains", async () => {
  const pod = podOf(truth, "web-0");
  const draining = await Oracle.start(session, truth, { draining: "Allowed" });
  const registrant = await Registrant.register(session, kratos(instance("a")), { pod, truth });
  truth.podTerminating(pod.uid);
  await session.delete(registrant.key);
  await draining.verify();
  await expect(oracle.verify()).rejects.toThrow("had not ended yet");
  registrant.crash();
  draining.close();
});

test("a lease that runs out and a process that leaves in order are nobody's fault", async () => {
  const pod = podOf(truth, "web-0");
  const silent = await Registrant.register(session, kratos(instance("a")), { pod, truth, ttl: 2 });
  const leaving = await Registrant.register(session, goZero(instance("b")), { pod, truth });
  silent.crash();
  await leaving.deregister();
  await expect(oracle.departure(leaving.key)).resolves.toMatchObject({ cause: "Deregistered" });
  await expect(oracle.departure(silent.key)).resolves.toMatchObject({ cause: "Expired" });
  await oracle.verify();
});

test("a newborn's rewrite of a dead pod's key is told from the dead pod's own", async () => {
  const [dead, newborn] = [podOf(truth, "web-0"), podOf(truth, "web-1")];
  const layout = etcdNaming(instance("a"));
  const first = await Registrant.register(session, layout, { pod: dead, truth });
  first.crash();
  truth.podDead(dead.uid);
  await session.delete(first.key);
  const second = await Registrant.register(session, layout, { pod: newborn, truth });
  await oracle.verify();
  await session.delete(second.key);
  await expect(oracle.verify()).rejects.toThrow("shop/web-1");
  second.crash();
});

test("protected keys may neither change nor leave", async () => {
  const prefix = `oracle-foreign-${crypto.randomUUID()}/`;
  await session.put(`${prefix}a`, "1");
  await session.put(`${prefix}b`, "1");
  oracle.protect(prefix);
  await oracle.verify();
  await session.put(`${prefix}a`, "2");
  await session.delete(`${prefix}b`);
  await expect(oracle.verify()).rejects.toThrow(/2 violations:\n.*a was changed.*\n.*b was taken away.*not ours/);
});

test("a registrant acts as its framework does when its key is deleted while it lives", async () => {
  const goes = await Registrant.register(session, kratos(instance("a")), { ttl: 2 });
  const comesBack = await Registrant.register(session, goZero(instance("b")), { truth });
  const before = await session.get(comesBack.key);
  await session.delete(goes.key);
  await session.delete(comesBack.key);
  await expect.poll(() => session.get(comesBack.key)).toMatchObject({ lease: before?.lease, value: before?.value });
  // Its lease is renewed for longer than the lease lasts, and the key is not put back.
  const remaining = async (): Promise<number> => session.remaining(goes.lease);
  const end = performance.now() + 3_000;
  await expect.poll(() => performance.now() > end, { timeout: 5_000 }).toBe(true);
  expect(await remaining()).toBeGreaterThan(0);
  expect(await session.get(goes.key)).toBeUndefined();
  goes.crash();
  comesBack.crash();
});

test("a frozen process finds its lease lost and registers again, a crashed one does not", async () => {
  const frozen = await Registrant.register(session, kratos(instance("a")), { truth, ttl: 2 });
  const crashed = await Registrant.register(session, kratos(instance("b")), { truth, ttl: 2 });
  const lease = frozen.lease;
  frozen.freeze();
  crashed.crash();
  await oracle.departure(frozen.key);
  await oracle.departure(crashed.key);
  await frozen.thaw();
  await expect.poll(() => session.get(frozen.key)).toBeDefined();
  expect(frozen.lease).not.toBe(lease);
  expect(await session.get(crashed.key)).toBeUndefined();
  await oracle.verify();
  frozen.crash();
});

describe("with an etcd that fails", () => {
  let etcd: EtcdServer;
  let ownSession: EtcdSession;
  let ownOracle: Oracle;

  beforeEach(async () => {
    etcd = await startEtcd();
    ownSession = new EtcdSession(etcd);
    ownOracle = await Oracle.start(ownSession, truth);
  });

  afterEach(async () => {
    ownOracle.close();
    await ownSession.close();
    await etcd.stop();
  });

  test("what was taken away while the oracle was cut off is found, compacted or not", async () => {
    const pod = podOf(truth, "web-0");
    const layout = etcdNaming({ ...instance("a"), lease: "Unleased" });
    const registrant = await Registrant.register(ownSession, layout, { pod, truth });
    await ownOracle.verify();
    await etcd.members[0]?.kill();
    await etcd.members[0]?.start();
    await etcd.ctl("del", registrant.key);
    await etcd.compact();
    await expect(ownOracle.verify()).rejects.toThrow(/saw 1 violations:\n.*shop\/web-0/);
  });

  test("what the test itself wiped is nobody's fault, what is written afterwards counts again", async () => {
    const pod = podOf(truth, "web-0");
    const first = await Registrant.register(ownSession, goZero(instance("a")), { pod, truth });
    first.crash();
    ownOracle.registryLost();
    await etcd.wipe();
    await ownOracle.verify();
    const second = await Registrant.register(ownSession, kratos(instance("b")), { pod, truth });
    await ownOracle.verify();
    await etcd.ctl("del", second.key);
    await expect(ownOracle.verify()).rejects.toThrow("shop/web-0");
    second.crash();
  });
});
