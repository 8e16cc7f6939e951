import type { ObjectIdentity } from "../kube/types.ts";
import { parseCidr } from "../net/address.ts";
import { canonicalIps, hasCondition, identityOf, sharedLabels, sharedList } from "./project.ts";
import { InternPool } from "./intern.ts";
import type { RawNode } from "./raw.ts";
import type { NodeSystem } from "./types.ts";

const systems = new InternPool<NodeSystem>();

/** What is kept of a Node. */
export interface NodeRecord extends ObjectIdentity {
  /** Condition Ready is True; Unknown and missing count as not ready. */
  readonly ready: boolean;
  /** Taint `node.kubernetes.io/out-of-service`. */
  readonly outOfService: boolean;
  /** Every address of any type that is an IP address, canonical. */
  readonly addresses: readonly string[];
  /** Canonical, host bits cleared. */
  readonly podCIDRs: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly system: NodeSystem;
}

/** @param raw a Node, parsed from JSON */
export function projectNode(raw: unknown): NodeRecord {
  const { metadata, spec, status } = raw as RawNode;
  const networks = new Set<string>();
  for (const text of [spec?.podCIDR ?? "", ...(spec?.podCIDRs ?? [])]) {
    const cidr = parseCidr(text);
    if (cidr !== undefined) networks.add(cidr.text);
  }
  return {
    ...identityOf(metadata),
    ready: hasCondition(status?.conditions, "Ready"),
    outOfService: spec?.taints?.some((taint) => taint.key === "node.kubernetes.io/out-of-service") ?? false,
    addresses: sharedList(canonicalIps((status?.addresses ?? []).map((entry) => entry.address))),
    podCIDRs: sharedList([...networks]),
    labels: sharedLabels(metadata?.labels, metadata?.name ?? ""),
    system: systemOf(status?.nodeInfo ?? {}),
  };
}

function systemOf({ operatingSystem = "", kubeletVersion = "", kernelVersion = "" }: Partial<NodeSystem>): NodeSystem {
  const system = { operatingSystem, kubeletVersion, kernelVersion };
  return systems.get(Object.values(system).join("\n"), () => Object.freeze(system));
}
