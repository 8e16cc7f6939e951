import { mayRedirectDns } from "./consul-injection.ts";
import { type DnsPlan, planDns, valueOf } from "./dns-plan.ts";
import type { Ledger } from "./ledger.ts";
import { add, type PartOutcome, skip } from "./outcome.ts";
import type { DnsConfigShape, PodShape } from "./pod-shape.ts";
import type { DnsRule, PatchOperation, ResolverOption, Site, Skipped } from "./types.ts";

const part = "dns";

/** What the API server takes in a dnsConfig (Kubernetes, pkg/apis/core/validation). */
const MAX_NAMESERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_SEARCH_CHARS = 2_048;
/** Search domains with an underscore are accepted by default from this minor version on (KEP-4427, beta). */
const UNDERSCORE_SINCE_MINOR = 33;

/**
 * Adds to the pod's dnsConfig what the rule asks for and the pod lacks. Where the pod does not use the cluster's name
 * servers its author chose another resolver, for which the rule's values were not made: it is left alone, or, where the
 * rule overrides, given the options only.
 */
export function mutateDns(rule: DnsRule, pod: PodShape, site: Site, ledger: Ledger): PartOutcome {
  if (pod.hostNetwork && pod.dnsPolicy === "ClusterFirst") {
    const message = "on the host network dnsPolicy ClusterFirst gives the node's resolver: set ClusterFirstWithHostNet";
    return skip(part, "HostNetwork", message);
  }
  if (mayRedirectDns(pod, site)) {
    return skip(
      part,
      "ConflictingInjection",
      "consul-k8s sets the DNS of this pod, and refuses one that has a dnsConfig",
    );
  }
  const servers = clusterServers(rule, site);
  const plan = planDns(rule, servers ?? [], pod.dnsConfig, ledger);
  if (!usesClusterServers(pod, ledger)) return forOwnResolver(rule, plan, pod);
  if (servers === undefined) {
    const message = "the addresses of the cluster's DNS service are not known for certain: set spec.dns.nameservers";
    return skip(part, "ClusterDNSUnknown", message);
  }
  return refusal(plan, pod.dnsConfig, site) ?? outcomeOf(rule, plan, pod, authorsOf(plan));
}

/** Those that take the place of the cluster's own: none unless dnsPolicy is to be None; undefined when not known. */
function clusterServers(rule: DnsRule, site: Site): readonly string[] | undefined {
  if (!rule.replacesSearches) return [];
  const servers = rule.nameservers.length > 0 ? rule.nameservers : site.clusterNameservers;
  // dnsPolicy None without a name server is refused.
  return servers?.length === 0 ? undefined : servers;
}

function usesClusterServers({ dnsPolicy }: PodShape, ledger: Ledger): boolean {
  return (
    dnsPolicy === "ClusterFirst" ||
    dnsPolicy === "ClusterFirstWithHostNet" ||
    (dnsPolicy === "None" && ledger.isOurs("dnsPolicy", "None"))
  );
}

/** For a pod with dnsPolicy Default or None by its author's choice, which stays. */
function forOwnResolver(rule: DnsRule, plan: DnsPlan, pod: PodShape): PartOutcome {
  const message = `the pod's dnsPolicy is ${pod.dnsPolicy}: its author chose another resolver than the cluster's`;
  const isOtherPolicy = rule.replacesSearches && pod.dnsPolicy !== "None";
  if (isEmpty(plan) && plan.authors.length === 0 && !isOtherPolicy) return outcomeOf(rule, plan, pod, undefined);
  if (!rule.overrides || rule.options.length === 0) return skip(part, "SetByAuthor", message);
  const newOptions = plan.newOptions.filter((option) => rule.options.includes(option));
  const optionsOnly: DnsPlan = { ...plan, frontNameservers: [], nameservers: [], searches: [], newOptions };
  const isMore = isOtherPolicy || plan.frontNameservers.length + plan.nameservers.length + plan.searches.length > 0;
  return outcomeOf(rule, optionsOnly, pod, isMore ? { part, reason: "SetByAuthor", message } : undefined);
}

function isEmpty(plan: DnsPlan): boolean {
  const { frontNameservers, nameservers, searches, newOptions, changedOptions } = plan;
  return [frontNameservers, nameservers, searches, newOptions, changedOptions].every((list) => list.length === 0);
}

/** Why the API server, or a kubelet, would not take the merged dnsConfig. */
function refusal(plan: DnsPlan, config: DnsConfigShape | undefined, site: Site): PartOutcome | undefined {
  const added = [...plan.frontNameservers, ...plan.nameservers];
  const nameservers = (config?.nameservers ?? []).length + added.length;
  if (added.length > 0 && nameservers > MAX_NAMESERVERS) {
    const message = `with the pod's own there would be ${nameservers} name servers, and ${MAX_NAMESERVERS} are allowed`;
    return skip(part, "TooManyNameservers", message);
  }
  if (plan.searches.length === 0) return undefined;
  const searches = [...(config?.searches ?? []), ...plan.searches];
  const chars = searches.join(" ").length;
  if (searches.length > MAX_SEARCHES || chars > MAX_SEARCH_CHARS) {
    const message = `with the pod's own there would be ${searches.length} search domains of ${chars} characters, and ${MAX_SEARCHES} of ${MAX_SEARCH_CHARS} are allowed`;
    return skip(part, "TooManySearches", message);
  }
  const odd = plan.searches.find((domain) => domain.includes("_"));
  if (odd !== undefined && site.serverMinor < UNDERSCORE_SINCE_MINOR) {
    const message = `search domain ${odd} needs Kubernetes 1.${UNDERSCORE_SINCE_MINOR}, this is 1.${site.serverMinor}`;
    return skip(part, "SearchNotAccepted", message);
  }
  return undefined;
}

function authorsOf({ authors }: DnsPlan): Skipped | undefined {
  if (authors.length === 0) return undefined;
  const list = authors.map((option) => `${option.name} ${valueOf(option)}`.trimEnd()).join(", ");
  return { part, reason: "SetByAuthor", message: `the pod sets ${list} itself` };
}

function outcomeOf(rule: DnsRule, plan: DnsPlan, pod: PodShape, skipped: Skipped | undefined): PartOutcome {
  const replacesPolicy =
    rule.replacesSearches && (pod.dnsPolicy === "ClusterFirst" || pod.dnsPolicy === "ClusterFirstWithHostNet");
  const patch = [...(replacesPolicy ? [add("/spec/dnsPolicy", "None")] : []), ...configPatch(plan, pod.dnsConfig)];
  const options = [...plan.newOptions, ...plan.changedOptions.map(({ option }) => option)];
  const isAllAuthors =
    plan.authors.length === rule.options.length && rule.searches.length + rule.nameservers.length === 0;
  return {
    part,
    patch,
    set: [
      ...(replacesPolicy ? [["dnsPolicy", "None"] as const] : []),
      ...options.map((option) => [option.name, valueOf(option)] as const),
    ],
    applied: patch.length > 0 || !isAllAuthors,
    skipped,
  };
}

function configPatch(plan: DnsPlan, config: DnsConfigShape | undefined): PatchOperation[] {
  const path = "/spec/dnsConfig";
  const nameservers = [...plan.frontNameservers, ...plan.nameservers];
  if (config === undefined) {
    const lists = { nameservers, searches: plan.searches, options: plan.newOptions.map(asJson) };
    const value = Object.fromEntries(Object.entries(lists).filter(([, list]) => list.length > 0));
    return Object.keys(value).length === 0 ? [] : [add(path, value)];
  }
  const front =
    config.nameservers === undefined
      ? []
      : plan.frontNameservers.map((server, index) => add(`${path}/nameservers/${index}`, server));
  return [
    ...front,
    ...listPatch(`${path}/nameservers`, config.nameservers, front.length > 0 ? plan.nameservers : nameservers),
    ...listPatch(`${path}/searches`, config.searches, plan.searches),
    ...listPatch(`${path}/options`, config.options, plan.newOptions.map(asJson)),
    ...plan.changedOptions.map(({ index, option }) => add(`${path}/options/${index}/value`, valueOf(option))),
  ];
}

function listPatch(path: string, present: readonly unknown[] | undefined, added: readonly unknown[]): PatchOperation[] {
  if (added.length === 0) return [];
  return present === undefined ? [add(path, added)] : added.map((item) => add(`${path}/-`, item));
}

/** JSON has no undefined. */
function asJson({ name, value }: ResolverOption): { readonly name: string; readonly value?: string } {
  return value === undefined ? { name } : { name, value };
}
