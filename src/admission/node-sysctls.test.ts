import { describe, expect, it } from "vitest";

import { sysctlObstacle } from "./node-sysctls.ts";

const KEEPALIVE = ["time", "intvl", "probes"].map((what) => ({ name: `net.ipv4.tcp_keepalive_${what}`, value: "3" }));
const FIN = [...KEEPALIVE, { name: "net.ipv4.tcp_fin_timeout", value: "30" }];

function node(kubeletVersion: string, kernelVersion: string, operatingSystem = "linux") {
  return {
    name: "n1",
    labels: { version: kubeletVersion },
    system: { operatingSystem, kubeletVersion, kernelVersion },
  };
}

const good = { ...node("v1.36.3", "6.1.0-18-amd64"), name: "n0" };

describe("a pod with keepalive sysctls", () => {
  const table: Record<string, { nodes: (typeof good)[]; sysctls?: typeof KEEPALIVE; obstacle: string | undefined }> = {
    "can run on current nodes": { nodes: [good], obstacle: undefined },
    "can run on the oldest kubelet and kernel that know them": {
      nodes: [good, node("v1.29.0", "4.5.0")],
      obstacle: undefined,
    },
    "can run where versions carry a provider's words": {
      nodes: [node("v1.29.3-eks-adc7111", "5.10.210-201.852.amzn2.x86_64"), node("v1.30+", "6.8.0-1010-gke")],
      obstacle: undefined,
    },
    "would fail on an older kubelet": {
      nodes: [good, node("v1.28.15", "6.1.0")],
      obstacle: "NodeTooOld: node n1 has kubelet v1.28.15, net.ipv4.tcp_keepalive_time needs v1.29",
    },
    "would fail on an older kernel": {
      nodes: [good, node("v1.36.3", "4.4.0-210-generic")],
      obstacle: "NodeTooOld: node n1 has kernel 4.4.0-210-generic, net.ipv4.tcp_keepalive_time needs 4.5",
    },
    "would fail on kernel 3.10": {
      nodes: [node("v1.36.3", "3.10.0-1160.el7.x86_64")],
      obstacle: "NodeTooOld: node n1 has kernel 3.10.0-1160.el7.x86_64, net.ipv4.tcp_keepalive_time needs 4.5",
    },
    "and tcp_fin_timeout would fail on a kernel that knows only the others": {
      nodes: [good, node("v1.36.3", "4.5.7")],
      sysctls: FIN,
      obstacle: "NodeTooOld: node n1 has kernel 4.5.7, net.ipv4.tcp_fin_timeout needs 4.6",
    },
    "and tcp_fin_timeout can run on kernel 4.6": {
      nodes: [node("v1.36.3", "4.6.0")],
      sysctls: FIN,
      obstacle: undefined,
    },
    "does not come to a Windows node": {
      nodes: [good, node("v1.28.0", "10.0.20348.2", "windows")],
      obstacle: undefined,
    },
    "has nowhere to run where only Windows nodes are known": {
      nodes: [node("v1.36.3", "10.0.20348.2", "windows")],
      obstacle: "NodesUnknown: no Linux node is known",
    },
    "has nowhere to run where no node is known": { nodes: [], obstacle: "NodesUnknown: no Linux node is known" },
    "could come to a node that has not said what it is": {
      nodes: [good, node("", "", "")],
      obstacle: "NodesUnknown: node n1 does not say which kubelet and kernel it has",
    },
    "could come to a node of an odd version": {
      nodes: [good, node("kwok-v0.8.0", "6.1.0")],
      obstacle: "NodesUnknown: node n1 does not say which kubelet and kernel it has",
    },
    "is told of nodes that are too old before those that say nothing": {
      nodes: [node("", ""), node("v1.28.0", "6.1.0"), node("v1.27.0", "6.1.0")],
      obstacle: "NodeTooOld: node n1 has kubelet v1.28.0, net.ipv4.tcp_keepalive_time needs v1.29; and 1 more",
    },
  };

  it.each(Object.entries(table))("%s", (_, { nodes, sysctls = KEEPALIVE, obstacle }) => {
    const found = sysctlObstacle(nodes, sysctls);
    expect(found && `${found.reason}: ${found.message}`).toBe(obstacle);
  });
});

describe("the obstacle tells the labels", () => {
  const labelsOf = (...nodes: (typeof good)[]) => sysctlObstacle(nodes, KEEPALIVE)?.nodeLabels;

  it("of all nodes that could fail the pod, for whatever reason, and of no others", () => {
    const labels = labelsOf(good, node("v1.28.0", "6.1.0"), node("odd", "6.1.0"), node("v1.27.0", "10", "windows"));
    expect(labels).toEqual(new Map([["version", { values: ["odd", "v1.28.0"], onAll: true }]]));
  });

  it("of none where no node is known", () => {
    expect(sysctlObstacle([], KEEPALIVE)).toMatchObject({ reason: "NodesUnknown", nodeLabels: undefined });
  });
});
