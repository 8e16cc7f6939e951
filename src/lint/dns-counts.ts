/** The lookups of a pod without a policy's `spec.dns` and with it. */
import type { RegistrationPolicyDns } from "../api/v1alpha1/index.ts";
import { lookUp, type Libc, type Lookup, type Resolver } from "./dns-queries.ts";
import type { LookedUpName } from "./names.ts";
import { CLUSTER_NDOTS, resolvConf, resolverOf, type NodeDns, type PodDns, type ResolvConf } from "./resolver.ts";

/** Where the pods run, as far as it is known. */
export interface DnsContext {
  /** Undefined: any. */
  readonly namespace: string | undefined;
  /** For example `cluster.local`. */
  readonly clusterDomain: string;
  /** Search domains of the nodes, which the cluster's own are followed by. */
  readonly hostSearches: readonly string[];
  /** 1 where programs ask for addresses of one family only; default 2, or as the options of the pod have it. */
  readonly families?: 1 | 2;
  /** Counted instead of the typical ones. */
  readonly names?: readonly LookedUpName[];
}

/** One name looked up through one resolver, in a pod without and with the policy. */
export interface NameCount {
  readonly name: LookedUpName;
  readonly libc: Libc;
  readonly before: Lookup;
  readonly after: Lookup;
}

/** Stands for the address of the cluster's DNS service, whatever it is. */
const CLUSTER_NAMESERVER = "10.96.0.10";
/** Where no namespace is known. */
const SOME_NAMESPACE = "default";

/** What the policy makes of a pod that sets nothing itself. */
function podDnsOf(dns: RegistrationPolicyDns | undefined): PodDns {
  if (dns === undefined) return { dnsPolicy: "ClusterFirst" };
  const { searches = [], options = [] } = dns;
  const config = { searches, options: [{ name: "ndots", value: String(ndotsWith(dns)) }, ...options] };
  if (dns.searchMode === "Append") {
    return { dnsPolicy: "ClusterFirst", config: { ...config, nameservers: dns.nameservers ?? [] } };
  }
  return { dnsPolicy: "None", config: { ...config, nameservers: dns.nameservers ?? [CLUSTER_NAMESERVER] } };
}

/** What pods get where the policy does not say: what the cluster gives, also where its search domains are replaced. */
export function ndotsWith({ ndots }: RegistrationPolicyDns): number {
  return ndots ?? CLUSTER_NDOTS;
}

/** @param dns undefined for a pod without a policy */
export function confOf(
  dns: RegistrationPolicyDns | undefined,
  context: DnsContext,
  namespace = namespaceOf(context),
): ResolvConf {
  const { clusterDomain, hostSearches } = context;
  const node: NodeDns = {
    clusterNameservers: [CLUSTER_NAMESERVER],
    clusterDomain,
    nameservers: [],
    searches: hostSearches,
  };
  return resolvConf(podDnsOf(dns), namespace, node);
}

export function namespaceOf({ namespace }: DnsContext): string {
  return namespace ?? SOME_NAMESPACE;
}

/** Each name through each resolver. */
export function countNames(
  names: readonly LookedUpName[],
  libcs: readonly Libc[],
  before: ResolvConf,
  after: ResolvConf,
  families?: DnsContext["families"],
): readonly NameCount[] {
  const resolver = (conf: ResolvConf, libc: Libc): Resolver => {
    const usual = resolverOf(conf, libc);
    return families === 1 ? { ...usual, families } : usual;
  };
  return names.flatMap((name) => {
    const answerOf = (asked: string) => (asked === name.target ? "Address" : "NoSuchName");
    return libcs.map((libc) => ({
      name,
      libc,
      before: lookUp(name.name, resolver(before, libc), answerOf),
      after: lookUp(name.name, resolver(after, libc), answerOf),
    }));
  });
}
