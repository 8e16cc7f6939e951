/** The real node itself: what a pod without any policy gets, how its death is told, and what is left of the node. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";

import { systemClock } from "../../src/clock/system.ts";
import { watchCluster } from "../../src/cluster/reflectors.ts";
import { isConfirmed } from "../../src/cluster/types.ts";
import { KubeTransport, loadKubeConfig } from "../../src/kube/transport.ts";
import { type Pod, probePod } from "./pods.ts";
import { parseResolvConf } from "./resolv-conf.ts";
import { describeOnRealNode, type Stage, startStage } from "./stage.ts";
import { machineState, NO_TRACES, runtimeCgroups, tracesOf } from "./traces.ts";

describeOnRealNode("a pod without a policy on a real node", () => {
  let stage: Stage;

  beforeAll(async () => {
    stage = await startStage();
  });
  afterAll(async () => {
    await stage.stop();
  });

  test("has an address, the cluster's search domains, ndots 5 and the kernel's keepalive", async () => {
    const namespace = await stage.pods.namespace();
    const pod = await stage.pods.run(namespace, probePod());
    expect(pod.status.podIP).toMatch(/^10\.244\.0\.\d+$/);
    expect(pod.spec.nodeName).toBe(stage.node.name);
    const { resolvConf, sysctls, hostname } = await stage.pods.environment(pod);
    expect(parseResolvConf(resolvConf)).toEqual({
      nameservers: ["10.255.0.10"],
      searches: [`${namespace}.svc.cluster.local`, "svc.cluster.local", "cluster.local"],
      options: ["ndots:5"],
    });
    expect(hostname).toBe(pod.metadata.name);
    expect(sysctls).toMatchObject({
      "net.ipv4.tcp_keepalive_time": "7200",
      "net.ipv4.tcp_keepalive_intvl": "75",
      "net.ipv4.tcp_keepalive_probes": "9",
    });
  });

  test("ends with every container terminated before its object goes, which the operator takes for a confirmed death", async () => {
    const config = await loadKubeConfig(stage.controlPlane.kubeconfig);
    const transport = new KubeTransport({ config, clock: systemClock });
    const cluster = watchCluster({
      transport,
      clock: systemClock,
      random: Math.random,
      metrics: () => ({
        listed: () => undefined,
        listFailed: () => undefined,
        watchEnded: () => undefined,
        events: () => undefined,
        handlerFailed: (handler) => expect.unreachable(`${handler} failed`),
      }),
      relistEveryMs: 300_000,
      freshForMs: 15_000,
      clusterDomain: "cluster.local",
    });
    const abort = new AbortController();
    const running = cluster.run(abort.signal);
    onTestFinished(async () => {
      abort.abort();
      await running;
      await transport.close();
    });

    const namespace = await stage.pods.namespace();
    const pod = await stage.pods.run(namespace, probePod());
    const at = () => cluster.view.lookup(pod.status.podIP ?? "", 8080);
    const { uid, resourceVersion } = pod.metadata;
    await vi.waitFor(() => expect(at().live.map((each) => each.pod.uid)).toEqual([uid]), 30_000);
    await stage.pods.delete(pod);
    const events = await stage.pods.client.watch(`/api/v1/namespaces/${namespace}/pods`, resourceVersion);
    const deleted = events.at(-1);
    expect(deleted?.type).toBe("DELETED");
    const { status } = deleted?.object as Pod;
    expect(status.containerStatuses?.map(({ state }) => state.terminated?.exitCode)).toEqual([0]);
    await vi.waitFor(() => expect(at().live).toEqual([]), 30_000);
    expect(at().tombstones.map(({ pod: dead, reason }) => [dead.uid, isConfirmed(reason)])).toEqual([[uid, true]]);
  });
});

describeOnRealNode("a real node leaves nothing on the machine", () => {
  test("when it is stopped with a pod on it", async () => {
    const before = machineState();
    const cgroupsBefore = runtimeCgroups();
    const stage = await startStage();
    onTestFinished(() => stage.stop());
    await stage.pods.run(await stage.pods.namespace(), probePod());
    const whileItRuns = tracesOf(stage.node);
    expect(whileItRuns.processes.length).toBeGreaterThan(5);
    expect(whileItRuns).toMatchObject({ mounts: [], directory: true });
    expect(whileItRuns.cgroups.length).toBeGreaterThan(0);
    expect(machineState()).toEqual(before);
    await stage.stop();
    expect(tracesOf(stage.node)).toEqual(NO_TRACES);
    expect(machineState()).toEqual(before);
    expect(cgroupsBefore).toEqual(expect.arrayContaining(runtimeCgroups()));
  });

  test("when its tests are killed, but for empty control groups, which go with the next start", async () => {
    const before = machineState();
    const program = fileURLToPath(new URL("node-parent.ts", import.meta.url));
    const parent = spawn(process.execPath, [program], { stdio: ["ignore", "pipe", "inherit"] });
    onTestFinished(() => {
      parent.kill("SIGKILL");
    });
    const node = await firstLine(parent.stdout);
    expect(tracesOf(node).directory).toBe(true);
    parent.kill("SIGKILL");
    await expect
      .poll(() => ({ ...tracesOf(node), cgroups: [] }), { timeout: 30_000, interval: 100 })
      .toEqual(NO_TRACES);
    expect(machineState()).toEqual(before);

    const next = await startStage();
    onTestFinished(() => next.stop());
    expect(tracesOf(node)).toEqual(NO_TRACES);
    const pod = await next.pods.run(await next.pods.namespace(), probePod());
    expect(pod.status.phase).toBe("Running");
  });
});

async function firstLine(output: NodeJS.ReadableStream): Promise<{ directory: string; cgroup: string }> {
  for await (const line of createInterface({ input: output })) {
    return JSON.parse(line) as { directory: string; cgroup: string };
  }
  throw new Error("it ended before it had started anything");
}
