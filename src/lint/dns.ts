/**
 * What a policy's `spec.dns` does to lookups in its pods: names that would no longer be found, search domains that a
 * resolver would not read, and the queries that each name costs before and after. docs/pods.md has a worked example.
 */
import type { RegistrationPolicyDns } from "../api/v1alpha1/index.ts";
import { lookUp, type Libc, type Lookup } from "./dns-queries.ts";
import type { Finding } from "./finding.ts";
import { typicalNames, type LookedUpName } from "./names.ts";
import {
  clusterSearches,
  MAX_NAMESERVERS,
  MAX_SEARCHES,
  MAX_SEARCH_CHARACTERS,
  MUSL_MAX_SEARCH_CHARACTERS,
  resolvConf,
  resolverOf,
  searchLength,
  type NodeDns,
  type PodDns,
  type ResolvConf,
} from "./resolver.ts";

/** Where the pods run, as far as it is known. */
export interface DnsContext {
  /** Undefined: any. */
  readonly namespace: string | undefined;
  /** For example `cluster.local`. */
  readonly clusterDomain: string;
  /** Search domains of the nodes, which the cluster's own are followed by. */
  readonly hostSearches: readonly string[];
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

/** What there is to say about `spec.dns`. */
export interface DnsLint {
  readonly libcs: readonly Libc[];
  /** The pod's resolv.conf without and with the policy, of a pod that sets nothing itself. */
  readonly before: ResolvConf;
  readonly after: ResolvConf;
  /** For each name, one for each resolver. */
  readonly counts: readonly NameCount[];
  readonly findings: readonly Finding[];
}

/** Stands for the address of the cluster's DNS service, whatever it is. */
const CLUSTER_NAMESERVER = "10.96.0.10";
/** Where no namespace is known. */
const SOME_NAMESPACE = "default";
const LONGEST_NAMESPACE = 63;
const MOST_NDOTS = 15;

/** @param dns of a policy that fits the schema */
export function lintDns(dns: RegistrationPolicyDns, context: DnsContext): DnsLint {
  const libcs = possibleLibcs(dns.libc);
  const before = confOf(undefined, context);
  const after = confOf(dns, context);
  const count = (names: readonly LookedUpName[]) => countNames(names, libcs, before, after);
  const typical = typicalNames(namespaceOf(context), context.clusterDomain);
  const counts = count(context.names ?? typical);
  const judged = context.names === undefined ? counts : [...counts, ...count(typical)];
  return {
    libcs,
    before,
    after,
    counts,
    findings: [
      ...truncatedSearches(dns, context),
      ...ignoredByMusl(dns, context, libcs),
      ...lostNames(dns, context, judged, after),
      ...askedUpstreamFirst(dns, judged),
      ...nameservers(dns, after, libcs),
    ],
  };
}

/** Which resolvers the pods may have. A Go program brings its own along, whatever the image. */
function possibleLibcs(libc: RegistrationPolicyDns["libc"]): readonly Libc[] {
  return { Any: ["Glibc", "Musl", "Go"] as const, Glibc: ["Glibc", "Go"] as const, Musl: ["Musl", "Go"] as const }[
    libc
  ];
}

/** What the policy makes of a pod that sets nothing itself. */
function podDnsOf(dns: RegistrationPolicyDns | undefined): PodDns {
  if (dns === undefined) return { dnsPolicy: "ClusterFirst" };
  const { ndots, searches = [], options = [] } = dns;
  const config = {
    searches,
    options: [...(ndots === undefined ? [] : [{ name: "ndots", value: String(ndots) }]), ...options],
  };
  if (dns.searchMode === "Append") {
    return { dnsPolicy: "ClusterFirst", config: { ...config, nameservers: dns.nameservers ?? [] } };
  }
  return { dnsPolicy: "None", config: { ...config, nameservers: dns.nameservers ?? [CLUSTER_NAMESERVER] } };
}

function confOf(
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

function namespaceOf({ namespace }: DnsContext): string {
  return namespace ?? SOME_NAMESPACE;
}

function countNames(
  names: readonly LookedUpName[],
  libcs: readonly Libc[],
  before: ResolvConf,
  after: ResolvConf,
): readonly NameCount[] {
  return names.flatMap((name) => {
    const answerOf = (asked: string) => (asked === name.target ? "Address" : "NoSuchName");
    return libcs.map((libc) => ({
      name,
      libc,
      before: lookUp(name.name, resolverOf(before, libc), answerOf),
      after: lookUp(name.name, resolverOf(after, libc), answerOf),
    }));
  });
}

/** The search line that a kubelet would cut. */
function truncatedSearches(dns: RegistrationPolicyDns, context: DnsContext): Finding[] {
  const { dropped, searches } = confOf(dns, context, longestNamespace(context));
  if (dropped.searches.length === 0) return [];
  const all = [...searches, ...dropped.searches];
  const limits = `at most ${MAX_SEARCHES} domains and ${MAX_SEARCH_CHARACTERS} characters`;
  return [
    {
      severity: "Warning",
      code: "SearchesTruncated",
      field: "spec.dns.searches",
      message:
        `with those of the cluster${nodesToo(context)} there are ${all.length} search domains of ${searchLength(all)} ` +
        `characters${whereNamed(dns, context)}; a kubelet writes ${limits} and leaves out ` +
        `${some(dropped.searches)}: remove some`,
    },
  ];
}

/** The search line that musl would skip whole. */
function ignoredByMusl(dns: RegistrationPolicyDns, context: DnsContext, libcs: readonly Libc[]): Finding[] {
  if (!libcs.includes("Musl")) return [];
  const longest = longestNamespace(context);
  const length = searchLength(confOf(dns, context, longest).searches);
  const over = length - MUSL_MAX_SEARCH_CHARACTERS;
  if (over <= 0) return [];
  const room = longest.length - over;
  const where =
    dns.searchMode === "Replace" || context.namespace !== undefined
      ? ""
      : room < 1
        ? " in every namespace"
        : ` in a namespace whose name is longer than ${room} characters`;
  const shown = where === "" ? `${length} characters long` : `up to ${length} characters long`;
  return [
    {
      severity: "Warning",
      code: "MuslSearchIgnored",
      field: "spec.dns.searches",
      message:
        `the search domains are ${shown}, and musl (Alpine) reads none of a line with more than ` +
        `${MUSL_MAX_SEARCH_CHARACTERS}${where}: short names would not be found there at all. Remove some, or set ` +
        "spec.dns.libc to Glibc if no image uses musl",
    },
  ];
}

/** Names that are found without the policy and not with it. */
function lostNames(
  dns: RegistrationPolicyDns,
  context: DnsContext,
  counts: readonly NameCount[],
  after: ResolvConf,
): Finding[] {
  // Where musl reads no search domain at all, that is the finding.
  const isMuslBlind = searchLength(after.searches) > MUSL_MAX_SEARCH_CHARACTERS;
  const lost = counts.filter((count) => isLost(count) && !(isMuslBlind && count.libc === "Musl"));
  const bySeriousness = [
    { code: "NamesLost", counts: lost.filter(({ name }) => name.isRare !== true) },
    { code: "RareNamesLost", counts: lost.filter(({ name }) => name.isRare === true) },
  ];
  return bySeriousness.flatMap(({ code, counts: group }): Finding[] => {
    if (group.length === 0) return [];
    const byLibc = Map.groupBy(group, ({ libc }) => libc);
    const parts = [...byLibc].map(([libc, of]) => `${nameOf(libc)}: ${some(unique(of.map(({ name }) => name.name)))}`);
    const message = `no longer found with ${parts.join("; with ")}. ${remedy(dns, context, group)}`;
    return [{ severity: "Warning", code, field: fieldOf(dns), message }];
  });
}

function isLost({ before, after }: NameCount): boolean {
  return before.found !== undefined && after.found === undefined;
}

function fieldOf({ searchMode }: RegistrationPolicyDns): string {
  return searchMode === "Replace" ? "spec.dns.searches" : "spec.dns.ndots";
}

/** What to write so that these names are found again. */
function remedy(dns: RegistrationPolicyDns, context: DnsContext, lost: readonly NameCount[]): string {
  const names = unique(lost.map(({ name }) => name));
  const libcs = unique(lost.map(({ libc }) => libc));
  const before = confOf(undefined, context);
  const keeps = (change: Partial<RegistrationPolicyDns>): boolean =>
    !countNames(names, libcs, before, confOf({ ...dns, ...change }, context)).some(isLost);
  for (let ndots = (dns.ndots ?? 1) + 1; ndots <= MOST_NDOTS; ndots++) {
    if (!keeps({ ndots })) continue;
    const unless = libcs.every((libc) => libc === "Musl") ? ", or spec.dns.libc Glibc if no image uses musl" : "";
    return `With spec.dns.ndots ${ndots} they would be${unless}`;
  }
  if (dns.searchMode === "Replace") {
    const domains = clusterSearches("<namespace>", context.clusterDomain);
    return `Replace leaves out domains that they need: add those of ${domains.join(", ")}, or set spec.dns.searchMode to Append`;
  }
  return "Write them with a dot at the end, or remove search domains";
}

/** `service.namespace` is asked for outside of the cluster first, where a top-level domain may be called the same. */
function askedUpstreamFirst(dns: RegistrationPolicyDns, counts: readonly NameCount[]): Finding[] {
  const searching = counts.filter(
    ({ name: { name, target }, before, after }) =>
      name.split(".").length === 2 &&
      name !== target &&
      before.asked[0] !== name &&
      after.asked[0] === name &&
      after.found !== undefined,
  );
  if (searching.length === 0) return [];
  const names = some(unique(searching.map(({ name }) => name.name)));
  return [
    {
      severity: "Warning",
      code: "AskedUpstreamFirst",
      field: "spec.dns.ndots",
      message:
        `with ${unique(searching.map(({ libc }) => nameOf(libc))).join(" and ")} ${names} would be asked for outside of ` +
        "the cluster first: where a namespace is called as a top-level domain (dev, app, cloud) somebody else answers. " +
        `Set spec.dns.ndots to 2 or more, not ${dns.ndots ?? 1}`,
    },
  ];
}

function nameservers(dns: RegistrationPolicyDns, after: ResolvConf, libcs: readonly Libc[]): Finding[] {
  const field = "spec.dns.nameservers";
  const findings: Finding[] = [];
  const { dropped, nameservers: kept } = after;
  const added = dns.searchMode === "Append" && dns.nameservers !== undefined && kept.length > 1;
  if (added && libcs.includes("Musl")) {
    const message =
      "musl (Alpine) asks all name servers at once and believes the first answer: one that does not know the " +
      "cluster's names says that they do not exist. Remove them, forward their domains in the cluster's DNS, or set " +
      "spec.dns.libc to Glibc if no image uses musl";
    findings.push({ severity: "Warning", code: "NameserversRaced", field, message });
  }
  if (dropped.nameservers.length > 0) {
    const message =
      `with the cluster's own there are ${kept.length + dropped.nameservers.length}; a kubelet writes the first ` +
      `${MAX_NAMESERVERS} and leaves out ${some(dropped.nameservers)}: remove some`;
    findings.push({ severity: "Warning", code: "NameserversTruncated", field, message });
  }
  return findings;
}

function longestNamespace({ namespace }: DnsContext): string {
  return namespace ?? "n".repeat(LONGEST_NAMESPACE);
}

function whereNamed({ searchMode }: RegistrationPolicyDns, { namespace }: DnsContext): string {
  if (searchMode === "Replace" || namespace !== undefined) return "";
  return ` (in a namespace whose name has ${LONGEST_NAMESPACE})`;
}

function nodesToo({ hostSearches }: DnsContext): string {
  return hostSearches.length === 0 ? "" : " and of the nodes";
}

/** How people write it. */
export function nameOf(libc: Libc): string {
  return { Glibc: "glibc", Musl: "musl", Go: "Go" }[libc];
}

/** The first few, and how many more. */
function some(texts: readonly string[]): string {
  const shown = texts.slice(0, 5).join(", ");
  return texts.length <= 5 ? shown : `${shown} and ${texts.length - 5} more`;
}

function unique<T>(items: readonly T[]): readonly T[] {
  return [...new Set(items)];
}
