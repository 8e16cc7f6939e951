/** How a kubelet forms the resolv.conf of a pod, and what a resolver reads in it (pkg/kubelet/network/dns, 1.36). */
import { DEFAULT_ATTEMPTS, type Libc, type Resolver } from "./dns-queries.ts";

export interface ResolverOption {
  readonly name: string;
  /** Most have none. */
  readonly value?: string | undefined;
}

/** What a pod's spec says about DNS. */
export interface PodDns {
  readonly dnsPolicy: "ClusterFirst" | "ClusterFirstWithHostNet" | "Default" | "None";
  readonly hostNetwork?: boolean;
  /** spec.dnsConfig. */
  readonly config?: {
    readonly nameservers?: readonly string[];
    readonly searches?: readonly string[];
    readonly options?: readonly ResolverOption[];
  };
}

/** What the kubelet of a node knows. */
export interface NodeDns {
  /** Addresses of the cluster's DNS service. */
  readonly clusterNameservers: readonly string[];
  /** For example `cluster.local`. */
  readonly clusterDomain: string;
  /** The node's own resolv.conf. */
  readonly nameservers: readonly string[];
  readonly searches: readonly string[];
  readonly options?: readonly ResolverOption[];
}

export interface ResolvConf {
  readonly nameservers: readonly string[];
  readonly searches: readonly string[];
  /** Name -> value. The order in the file is random. */
  readonly options: ReadonlyMap<string, string | undefined>;
  /** What the limits left out, in its order. */
  readonly dropped: { readonly nameservers: readonly string[]; readonly searches: readonly string[] };
}

/** Name servers that a resolv.conf may hold. */
export const MAX_NAMESERVERS = 3;
/** Search domains that a kubelet writes. */
export const MAX_SEARCHES = 32;
/** Characters of all search domains together, with the spaces between them, that a kubelet writes. */
export const MAX_SEARCH_CHARACTERS = 2048;
/** Characters of one search domain that a kubelet writes. */
const MAX_SEARCH_DOMAIN = 253;
/**
 * Characters of search domains that musl reads. A line of resolv.conf must fit into 255 bytes with its end; of a longer
 * one it reads nothing. `search ` and the end take 8.
 */
export const MUSL_MAX_SEARCH_CHARACTERS = 247;
/** What a cluster gives a pod. */
export const CLUSTER_NDOTS = 5;
/** Without the option, and the most that any resolver takes. */
const DEFAULT_NDOTS = 1;
const MAX_NDOTS = 15;

/** @param namespace of the pod */
export function resolvConf(pod: PodDns, namespace: string, node: NodeDns): ResolvConf {
  const base = baseOf(pod, namespace, node);
  const { nameservers = [], searches = [], options = [] } = pod.config ?? {};
  const servers = unique([...base.nameservers, ...nameservers]);
  const domains = unique([...base.searches, ...searches]);
  const kept = withinLimits(domains);
  return {
    nameservers: servers.slice(0, MAX_NAMESERVERS),
    searches: kept,
    options: new Map([...base.options, ...options].map(({ name, value }) => [name, value])),
    dropped: {
      nameservers: servers.slice(MAX_NAMESERVERS),
      searches: domains.filter((domain) => !kept.includes(domain)),
    },
  };
}

/** What the resolver makes of the file. */
export function resolverOf({ searches, options }: ResolvConf, libc: Libc): Resolver {
  const isGlibc = libc === "Glibc";
  return {
    libc,
    ndots: ndotsOf(options),
    searches: libc === "Musl" && searchLength(searches) > MUSL_MAX_SEARCH_CHARACTERS ? [] : searches,
    families: isGlibc && options.has("no-aaaa") ? 1 : 2,
    attempts: attemptsOf(options, libc),
    noTldQuery: isGlibc && options.has("no-tld-query"),
  };
}

/** Characters of the search domains in the file. */
export function searchLength(searches: readonly string[]): number {
  return searches.join(" ").length;
}

function baseOf(
  { dnsPolicy, hostNetwork = false }: PodDns,
  namespace: string,
  node: NodeDns,
): { nameservers: readonly string[]; searches: readonly string[]; options: readonly ResolverOption[] } {
  if (dnsPolicy === "None") return { nameservers: [], searches: [], options: [] };
  const wantsCluster = dnsPolicy === "ClusterFirstWithHostNet" || (dnsPolicy === "ClusterFirst" && !hostNetwork);
  // A kubelet that knows no cluster DNS falls back to its node's.
  if (!wantsCluster || node.clusterNameservers.length === 0) {
    return { nameservers: node.nameservers, searches: node.searches, options: node.options ?? [] };
  }
  return {
    nameservers: node.clusterNameservers,
    searches: [...clusterSearches(namespace, node.clusterDomain), ...node.searches],
    options: [{ name: "ndots", value: String(CLUSTER_NDOTS) }],
  };
}

/** The search domains that a cluster gives a pod; none where the kubelet was not told the cluster's domain. */
export function clusterSearches(namespace: string, clusterDomain: string): readonly string[] {
  if (clusterDomain === "") return [];
  return [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain];
}

/** In the kubelet's order: first the number, then the length of each, then the length of all; cut from the end. */
function withinLimits(domains: readonly string[]): readonly string[] {
  const kept = domains.slice(0, MAX_SEARCHES).filter((domain) => domain.length <= MAX_SEARCH_DOMAIN);
  while (searchLength(kept) > MAX_SEARCH_CHARACTERS) kept.pop();
  return kept;
}

function ndotsOf(options: ResolvConf["options"]): number {
  const value = options.get("ndots") ?? "";
  return /^\d+$/.test(value) ? Math.min(Number(value), MAX_NDOTS) : DEFAULT_NDOTS;
}

/** musl caps it at 10 and glibc at 5; Go does not, and takes none for one. */
function attemptsOf(options: ResolvConf["options"], libc: Libc): number {
  const value = options.get("attempts") ?? "";
  if (!/^\d+$/.test(value)) return DEFAULT_ATTEMPTS;
  const most = { Glibc: 5, Musl: 10, Go: Infinity }[libc];
  return Math.min(Math.max(1, Number(value)), most);
}

function unique(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)];
}
