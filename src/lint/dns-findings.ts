/** What the linter finds in `spec.dns`, one function for each kind of mistake. */
import type { RegistrationPolicyDns } from "../api/v1alpha1/index.ts";
import { confOf, countNames, ndotsWith, type DnsContext, type NameCount } from "./dns-counts.ts";
import { nameOf, type Libc } from "./dns-queries.ts";
import type { Finding } from "./finding.ts";
import {
  clusterSearches,
  MAX_NAMESERVERS,
  MAX_SEARCHES,
  MAX_SEARCH_CHARACTERS,
  MUSL_MAX_SEARCH_CHARACTERS,
  searchLength,
  type ResolvConf,
} from "./resolver.ts";

const LONGEST_NAMESPACE = 63;
const MOST_NDOTS = 15;

/** The search line that a kubelet would cut. */
export function truncatedSearches(dns: RegistrationPolicyDns, context: DnsContext): Finding[] {
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
export function ignoredByMusl(dns: RegistrationPolicyDns, context: DnsContext, libcs: readonly Libc[]): Finding[] {
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
export function lostNames(
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
  for (let ndots = ndotsWith(dns) + 1; ndots <= MOST_NDOTS; ndots++) {
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
export function askedUpstreamFirst(dns: RegistrationPolicyDns, counts: readonly NameCount[]): Finding[] {
  const searching = counts.filter(
    ({ name: { name, target }, after }) =>
      name.split(".").length === 2 && name !== target && after.asked[0] === name && after.found !== undefined,
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
        `Set spec.dns.ndots to 2 or more, not ${ndotsWith(dns)}`,
    },
  ];
}

/** Name servers that pods would not ask as the policy means it. */
export function nameservers(dns: RegistrationPolicyDns, after: ResolvConf, libcs: readonly Libc[]): Finding[] {
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

/** The first few, and how many more. */
function some(texts: readonly string[]): string {
  const shown = texts.slice(0, 5).join(", ");
  return texts.length <= 5 ? shown : `${shown} and ${texts.length - 5} more`;
}

function unique<T>(items: readonly T[]): readonly T[] {
  return [...new Set(items)];
}
