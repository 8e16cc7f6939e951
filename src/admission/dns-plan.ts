import { canonicalIp } from "../net/address.ts";
import type { Ledger } from "./ledger.ts";
import type { DnsConfigShape } from "./pod-shape.ts";
import type { DnsRule, ResolverOption } from "./types.ts";

/** Kubernetes' own ndots where a pod has the cluster's name servers; without them resolvers take 1. */
const CLUSTER_NDOTS = "5";

/** What a dnsConfig lacks of what a rule asks for, and what its author has set otherwise. */
export interface DnsPlan {
  /** These come before the author's own, which the kubelet would append to them too. */
  readonly frontNameservers: readonly string[];
  readonly nameservers: readonly string[];
  readonly searches: readonly string[];
  readonly newOptions: readonly ResolverOption[];
  readonly changedOptions: readonly { readonly index: number; readonly option: ResolverOption }[];
  /** Options that stay as the author set them although the rule asks for another value. */
  readonly authors: readonly ResolverOption[];
}

/** @param clusterNameservers those that take the place of the cluster's own under dnsPolicy None, else empty */
export function planDns(
  rule: DnsRule,
  clusterNameservers: readonly string[],
  config: DnsConfigShape | undefined,
  ledger: Pick<Ledger, "isOurs">,
): DnsPlan {
  const present = config?.options ?? [];
  const newOptions: ResolverOption[] = [];
  const changedOptions: { index: number; option: ResolverOption }[] = [];
  const authors: ResolverOption[] = [];
  for (const option of rule.options) {
    // Of several options of one name the kubelet takes the last.
    const index = present.findLastIndex(({ name }) => name === option.name);
    const found = present[index];
    if (found === undefined) newOptions.push(option);
    else if (valueOf(found) !== valueOf(option)) {
      if (rule.overrides || ledger.isOurs(found.name, valueOf(found))) changedOptions.push({ index, option });
      else authors.push(found);
    }
  }
  const saysNdots = [...rule.options, ...present].some(({ name }) => name === "ndots");
  if (rule.replacesSearches && !saysNdots) newOptions.push({ name: "ndots", value: CLUSTER_NDOTS });
  const nameservers = config?.nameservers ?? [];
  const missing = (wanted: readonly string[]): string[] => withoutThose(wanted, nameservers, canonicalAddress);
  return {
    frontNameservers: missing(clusterNameservers),
    nameservers: rule.replacesSearches ? [] : missing(rule.nameservers),
    searches: withoutThose(rule.searches, config?.searches ?? [], canonicalDomain),
    newOptions,
    changedOptions,
    authors,
  };
}

/** An option without a value is written like one with an empty value. */
export function valueOf({ value }: ResolverOption): string {
  return value ?? "";
}

function withoutThose(
  wanted: readonly string[],
  present: readonly string[],
  canonical: (text: string) => string,
): string[] {
  const known = new Set(present.map(canonical));
  return wanted.filter((text) => !known.has(canonical(text)));
}

function canonicalAddress(text: string): string {
  return canonicalIp(text) ?? text;
}

function canonicalDomain(text: string): string {
  return text.toLowerCase().replace(/\.$/, "");
}
