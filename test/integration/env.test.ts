import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { describe, expect, inject, onTestFinished, test, vi } from "vitest";

import { DEATH_ANNOTATION, type EtcdOptions, type EtcdServer, startControlPlane, startEtcd } from "../env/index.ts";
import { isAlive } from "../env/pid.ts";
import { ClusterFixture, clusterOf } from "../support/cluster-fixture.ts";

async function etcdFor(options: EtcdOptions): Promise<EtcdServer> {
  const etcd = await startEtcd(options);
  onTestFinished(() => etcd.stop());
  return etcd;
}

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "hygeia-test-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** A process of its own that starts an etcd and says `{ pids, directory }`, then lives on. */
async function startParent(): Promise<{ parent: ChildProcess; pids: number[]; directory: string }> {
  const parent = spawn(process.execPath, [fileURLToPath(new URL("env-parent.ts", import.meta.url))], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => {
    parent.kill("SIGKILL");
  });
  for await (const line of createInterface({ input: parent.stdout })) {
    return { parent, ...(JSON.parse(line) as { pids: number[]; directory: string }) };
  }
  throw new Error("the parent ended before it had started anything");
}

describe("etcd with three members, TLS, client certificates and users", () => {
  test("serves whom it knows and no one else, and does without any one member", async () => {
    const user = { name: "shop", password: "shop-secret", prefixes: ["/shop/"] };
    const etcd = await etcdFor({
      members: 3,
      tls: { clientAuth: true },
      auth: { rootPassword: "root-secret", users: [user] },
    });
    const [first] = etcd.members;
    expect(etcd.endpoints).toHaveLength(3);
    expect(etcd.endpoints[0]).toMatch(/^https:/);

    await etcd.ctl("put", "/other/a", "1");
    const asUser = [`--user=${user.name}:${user.password}`, "--command-timeout=5s"];
    await expect(etcd.ctl(...asUser, "put", "/shop/a", "1")).resolves.toContain("OK");
    await expect(etcd.ctl(...asUser, "get", "/other/a")).rejects.toThrow("permission denied");
    await expect(etcd.ctl("--user=shop:wrong", "get", "/shop/a")).rejects.toThrow("authentication failed");
    await expect(etcd.ctl("--cert=", "--key=", "--command-timeout=2s", "get", "/shop/a")).rejects.toThrow();

    first?.pause();
    const others = `--endpoints=${etcd.endpoints.slice(1).join(",")}`;
    // Where the first was the leader, the others elect one before they answer.
    await vi.waitFor(async () => expect(await etcd.ctl(others, "put", "/shop/b", "2")).toContain("OK"), 30_000);
    first?.resume();
    await expect(etcd.ctl(`--endpoints=${etcd.endpoints[0] ?? ""}`, "get", "/shop/b")).resolves.toContain("2");

    await first?.kill();
    expect(first?.running).toBe(false);
    await first?.start();
    await expect(etcd.ctl(`--endpoints=${etcd.endpoints[0] ?? ""}`, "get", "/shop/b")).resolves.toContain("2");
  });
});

test("etcd goes back to a snapshot, forgets all when wiped, and compacts, on the same ports", async () => {
  const etcd = await etcdFor({ members: 3 });
  const { endpoints } = etcd;
  const file = join(await temporaryDirectory(), "snapshot");
  await etcd.ctl("put", "a", "before");
  await etcd.saveSnapshot(file);
  const revision = await etcd.revision();
  await etcd.ctl("put", "a", "after");
  await etcd.ctl("put", "b", "after");

  await etcd.restoreSnapshot(file);
  expect(etcd.endpoints).toEqual(endpoints);
  await expect(etcd.ctl("get", "--prefix", "")).resolves.toBe("a\nbefore\n");
  expect(await etcd.revision()).toBe(revision);

  await etcd.ctl("put", "a", "again");
  const compacted = await etcd.compact();
  await expect(etcd.ctl("get", "a", `--rev=${compacted - 1}`)).rejects.toThrow("has been compacted");

  await etcd.wipe();
  expect(await etcd.revision()).toBe(1);
});

test("a stopped etcd leaves no process, no port and no file", async () => {
  const etcd = await startEtcd({ tls: {} });
  const pids = etcd.members.map(({ pid }) => pid);
  const caFile = etcd.tls?.caFile ?? "";
  expect(existsSync(caFile)).toBe(true);
  await etcd.stop();
  expect(pids.some(isAlive)).toBe(false);
  expect(existsSync(caFile)).toBe(false);
});

describe("when the process that started servers is gone", () => {
  test.each(["SIGKILL", "SIGINT", "SIGTERM"] as const)("by %s, so are they and their data", async (signal) => {
    const { parent, pids, directory } = await startParent();
    expect(pids).toHaveLength(2);
    expect(pids.every(isAlive)).toBe(true);
    parent.kill(signal);
    await expect.poll(() => pids.some(isAlive), { timeout: 10_000 }).toBe(false);
    await expect.poll(() => existsSync(directory), { timeout: 10_000 }).toBe(false);
  });
});

test("a second apiserver on the same etcd shows the same objects, one on another etcd shows none of them", async () => {
  const controlPlane = await startControlPlane();
  onTestFinished(() => controlPlane.stop());
  const otherEtcd = await etcdFor({});
  const [second, other] = await Promise.all([
    controlPlane.startApiserver(),
    controlPlane.startApiserver({ etcdEndpoints: otherEtcd.endpoints }),
  ]);
  const fixture = new ClusterFixture(controlPlane);
  onTestFinished(() => fixture.close());
  const namespace = await fixture.namespace();
  const at = (url: string): Promise<string> => fixture.kubectl(`--server=${url}`, "get", "namespace", namespace);
  await expect(at(second.url)).resolves.toContain("Active");
  await expect(at(other.url)).rejects.toThrow("not found");
});

test("kwok ends a pod as a kubelet does, and without a word where the pod's annotation says so", async () => {
  const controlPlane = await startControlPlane({ kwok: true, nodes: 2 });
  onTestFinished(() => controlPlane.stop());
  const fixture = new ClusterFixture(controlPlane);
  const namespace = await fixture.namespace();
  onTestFinished(() => fixture.close());
  const pods = `/api/v1/namespaces/${namespace}/pods`;
  const create = (name: string, annotations: Record<string, string>): Promise<unknown> =>
    fixture.client.create(pods, {
      metadata: { name, annotations },
      spec: { nodeName: "kwok-1", containers: [{ name: "app", image: "registry.invalid/app:1" }] },
    });
  interface PodStatus {
    status: { phase: string; podIP?: string; containerStatuses?: { state: object }[] };
  }
  const statusOf = async (name: string): Promise<PodStatus["status"]> =>
    (await fixture.client.get<PodStatus>(`${pods}/${name}`)).status;

  await create("confirmed", {});
  await create("unconfirmed", { [DEATH_ANNOTATION]: "Unconfirmed" });
  await expect.poll(async () => (await statusOf("confirmed")).podIP, { timeout: 20_000 }).toMatch(/^10\.64\.[4-7]\./);
  await expect.poll(async () => (await statusOf("unconfirmed")).phase, { timeout: 20_000 }).toBe("Running");

  const start = (await fixture.client.get<{ metadata: { resourceVersion: string } }>(pods)).metadata.resourceVersion;
  await fixture.client.delete(`${pods}/confirmed`);
  await fixture.client.delete(`${pods}/unconfirmed`);
  await expect.poll(async () => (await fixture.client.list(pods)).length, { timeout: 20_000 }).toBe(0);
  const watched = await fixture.client.watch(pods, start);
  const last = watched.filter(({ type }) => type === "DELETED");
  const lastOf = (name: string): unknown => last.find(({ object }) => object.metadata.name === name)?.object;
  expect(lastOf("confirmed")).toMatchObject({
    status: { phase: "Failed", containerStatuses: [{ state: { terminated: { exitCode: 143 } } }] },
  });
  expect(lastOf("unconfirmed")).toMatchObject({
    status: { phase: "Running", containerStatuses: [{ state: { running: {} } }] },
  });
});

describe("the fixture on the shared control plane", () => {
  const open = (): ClusterFixture => {
    const fixture = new ClusterFixture(clusterOf(inject("env")));
    onTestFinished(() => fixture.close());
    return fixture;
  };

  test("runs pods at addresses of their own, in both families, on nodes that are Ready", async () => {
    const fixture = open();
    const namespace = await fixture.namespace();
    const nodes = [await fixture.node("DualStack"), await fixture.node()] as const;
    const options = Array.from({ length: 60 }, (_, i) => ({ namespace, node: nodes[i % 2] ?? nodes[0] }));
    const pods = await fixture.runPods(options);
    expect(new Set(pods.flatMap(({ addresses }) => addresses)).size).toBe(90);
    const shown = await fixture.kubectl(
      "get",
      "pods",
      "-n",
      namespace,
      "-o",
      "jsonpath={.items[*].status.podIPs[*].ip}",
    );
    expect(new Set(shown.split(" "))).toEqual(new Set(pods.flatMap(({ addresses }) => addresses)));
    await expect(fixture.kubectl("get", "node", nodes[0].name)).resolves.toContain(" Ready ");
  });

  test("shows a confirmed death and an unconfirmed one in the pod's last object", async () => {
    const fixture = open();
    const namespace = await fixture.namespace();
    const node = await fixture.node();
    const [confirmed, lost] = await fixture.runPods([
      { namespace, node },
      { namespace, node },
    ]);
    if (confirmed === undefined || lost === undefined) throw new Error("runPods gives as many as it was asked for");
    const pods = `/api/v1/namespaces/${namespace}/pods`;
    const start = (await fixture.client.get<{ metadata: { resourceVersion: string } }>(pods)).metadata.resourceVersion;
    await fixture.terminatePod(confirmed);
    await fixture.forceDeletePod(lost, "Lives");
    const seen = await fixture.client.watch(pods, start);
    const last = (name: string): unknown =>
      seen.find(({ type, object }) => type === "DELETED" && object.metadata.name === name)?.object;
    expect(last(confirmed.name)).toMatchObject({
      status: { phase: "Failed", containerStatuses: [{ state: { terminated: {} } }] },
    });
    expect(last(lost.name)).toMatchObject({
      status: { phase: "Running", containerStatuses: [{ state: { running: {} } }] },
    });
    expect(fixture.truth.pod(confirmed.uid)?.deadSince).toBeLessThan(performance.now());
    expect(fixture.truth.pod(lost.uid)?.deadSince).toBe(Infinity);
  });

  test("acts as a ServiceAccount, with its rights and no more", async () => {
    const fixture = open();
    const namespace = await fixture.namespace();
    await fixture.serviceAccount(namespace, "reader");
    const kubeconfig = await fixture.serviceAccountKubeconfig(namespace, "reader");
    const asReader = (...args: string[]): Promise<string> => fixture.kubectl(`--kubeconfig=${kubeconfig}`, ...args);
    await expect(asReader("auth", "whoami")).resolves.toContain(`system:serviceaccount:${namespace}:reader`);
    await expect(asReader("get", "pods", "-A")).rejects.toThrow("Forbidden");
  });
});
