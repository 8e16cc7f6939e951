/** The real node itself: what a pod without any policy gets, how its death is told, and what is left of the node. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";

import { isConfirmed } from "../../src/cluster/types.ts";
import { watch, type WatchedCluster } from "./cluster-view.ts";
import { type Pod, probePod, until } from "./pods.ts";
import { parseResolvConf } from "./resolv-conf.ts";
import { describeOnRealNode, type Stage, startStage } from "./stage.ts";
import { machineState, NO_TRACES, runtimeCgroups, tracesOf } from "./traces.ts";

/** Search domains of every cluster's pods, after that of their namespace. */
const DOMAINS = ["svc.cluster.local", "cluster.local"];

describeOnRealNode("a pod without a policy on a real node", () => {
  let stage: Stage;
  let cluster: WatchedCluster;

  beforeAll(async () => {
    stage = await startStage();
    cluster = await watch(stage.controlPlane);
  });
  afterAll(async () => {
    await cluster.stop();
    await stage.stop();
  });

  /** UIDs of the pods that the operator knows by a host name, alive and confirmed dead; undefined when it is no pod's. */
  function knownAs(host: string): { live: string[]; dead: string[] } | undefined {
    const found = cluster.view.lookupHost(host);
    const dead = found?.tombstones.filter(({ reason }) => isConfirmed(reason)) ?? [];
    return found && { live: found.live.map(({ pod }) => pod.uid), dead: dead.map(({ pod }) => pod.uid) };
  }

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

  test("calls itself, with setHostnameAsFQDN, by its name in DNS, and the operator knows it by each form of it", async () => {
    const namespace = await stage.pods.namespace();
    const names = { hostname: "web-0", subdomain: "web", setHostnameAsFQDN: true };
    const pod = await stage.pods.run(namespace, probePod(names));
    const { hostname, resolvConf } = await stage.pods.environment(pod);
    expect(hostname).toBe(`web-0.web.${namespace}.svc.cluster.local`);
    expect(parseResolvConf(resolvConf)).toMatchObject({ searches: [`${namespace}.svc.cluster.local`, ...DOMAINS] });

    const forms = [hostname, `web-0.web.${namespace}.svc`, `web-0.web.${namespace}`];
    const { uid } = pod.metadata;
    await vi.waitFor(() => expect(forms.map(knownAs)).toEqual(forms.map(() => ({ live: [uid], dead: [] }))), 30_000);
    await stage.pods.delete(pod);
    await vi.waitFor(() => expect(forms.map(knownAs)).toEqual(forms.map(() => ({ live: [], dead: [uid] }))), 30_000);
  });

  test("calls itself, without it, by one label, under which the operator knows nobody, alive or dead", async () => {
    const namespace = await stage.pods.namespace();
    const pod = await stage.pods.run(namespace, probePod({ hostname: "web-0", subdomain: "web" }));
    const { hostname } = await stage.pods.environment(pod);
    expect(hostname).toBe("web-0");
    const { uid } = pod.metadata;
    const full = `web-0.web.${namespace}`;
    await vi.waitFor(() => expect(knownAs(full)).toEqual({ live: [uid], dead: [] }), 30_000);
    expect(knownAs(hostname)).toBeUndefined();
    await stage.pods.delete(pod);
    await vi.waitFor(() => expect(knownAs(full)).toEqual({ live: [], dead: [uid] }), 30_000);
    expect(knownAs(hostname)).toBeUndefined();
  });

  test("calls itself by its hostnameOverride, which the operator does not take for the dead pod of that name", async () => {
    const namespace = await stage.pods.namespace();
    const first = await stage.pods.run(namespace, probePod({ hostname: "web-0", subdomain: "web" }));
    const hostnameOverride = `web-0.web.${namespace}.svc.cluster.local`;
    const heir = await stage.pods.run(namespace, probePod({ hostnameOverride }));
    const { hostname } = await stage.pods.environment(heir);
    expect(hostname).toBe(hostnameOverride);
    await stage.pods.delete(first);
    const [old, living] = [first.metadata.uid, heir.metadata.uid];
    await vi.waitFor(() => expect(knownAs(hostname)).toEqual({ live: [living], dead: [old] }), 30_000);
  });

  test("never starts with setHostnameAsFQDN and a name of more than 64 characters", async () => {
    const namespace = await stage.pods.namespace();
    const rest = `.web.${namespace}.svc.cluster.local`;
    const named = (length: number) =>
      probePod({ hostname: "x".repeat(length - rest.length), subdomain: "web", setHostnameAsFQDN: true });
    const pod = await stage.pods.create(namespace, named(65));
    const refusal = /FQDN x+\S+ is too long \(64 characters is the max, 65 characters requested\)/;
    await until("its kubelet says why", async () =>
      (await stage.pods.events(pod)).some(({ message }) => refusal.test(message)),
    );
    // The pod with one character less, made after it, runs; had it been a matter of time, so would this one.
    const other = await stage.pods.run(namespace, named(64));
    expect((await stage.pods.environment(other)).hostname).toHaveLength(64);
    const { phase, containerStatuses = [] } = (await stage.pods.read(pod))?.status ?? {};
    expect(phase).toBe("Pending");
    expect(containerStatuses.filter(({ state }) => state.waiting === undefined)).toEqual([]);
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
