import { canonicalIp } from "../../net/address.ts";
import type { DnsRule } from "../types.ts";
import { add, firstOf, isOurs, lastIndex, when } from "./common.ts";
import { celMaps, celString, celStrings } from "./literal.ts";
import type { CelPart, CelVariable, Facts } from "./types.ts";

/** What the API server takes in a dnsConfig. */
const MAX_NAMESERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_SEARCH_CHARS = 2_048;
const UNDERSCORE_SINCE_MINOR = 33;
const CLUSTER_NDOTS = "5";

/** What mutateDns does, as CEL. */
export function celDns(rule: DnsRule, facts: Facts): CelPart {
  const active = 'variables.dns_skip == ""';
  const full = `${active} && variables.dns_cluster`;
  const isAllAuthors = rule.searches.length + rule.nameservers.length === 0;
  const effective: CelVariable[] = [
    { name: "dns_to_none", expression: `${full} && ${replacesPolicy(rule)}` },
    { name: "dns_add_front", expression: when(full, "variables.dns_front") },
    { name: "dns_add_servers", expression: when(full, "variables.dns_servers") },
    { name: "dns_add_searches", expression: when(full, "variables.dns_searches") },
    {
      name: "dns_add_options",
      expression: `${when(active, "variables.dns_new")} + ${when(full, "variables.dns_ndots")}`,
    },
    { name: "dns_set_options", expression: when(active, "variables.dns_changed") },
    { name: "dns_servers_change", expression: "(variables.dns_add_front + variables.dns_add_servers).size() > 0" },
    {
      name: "dns_options_change",
      expression: "variables.dns_add_options.size() + variables.dns_set_options.size() > 0",
    },
    {
      name: "dns_lists_change",
      expression:
        "variables.dns_servers_change || variables.dns_add_searches.size() > 0 || variables.dns_options_change",
    },
    { name: "dns_changes", expression: "variables.dns_to_none || variables.dns_lists_change" },
    {
      name: "dns_reason",
      expression: `${active} ? ((variables.dns_cluster ? variables.dns_authors.size() > 0 : variables.dns_other) ? "SetByAuthor" : "") : variables.dns_skip`,
    },
    {
      name: "dns_applied",
      expression: `${active} && (variables.dns_changes || !(${isAllAuthors} && variables.dns_authors.size() == ${rule.options.length}))`,
    },
    {
      name: "dns_set",
      expression: [
        when("variables.dns_to_none", '["dnsPolicy=None"]'),
        'variables.dns_add_options.map(o, o["name"] + "=" + o[?"value"].orValue(""))',
        'variables.dns_set_options.map(j, variables.dns_rule[j]["name"] + "=" + variables.dns_rule[j][?"value"].orValue(""))',
      ].join(" + "),
    },
  ];
  return {
    part: "dns",
    variables: [...plan(rule, facts), { name: "dns_skip", expression: skipOf(rule, facts) }, ...effective],
    reason: "variables.dns_reason",
    changes: "variables.dns_changes",
    applied: "variables.dns_applied",
    set: "variables.dns_set",
    operations: operations(),
    differences: differences(),
  };
}

/** What the pod has, what it lacks of the rule, and what its author has set otherwise. */
function plan(rule: DnsRule, facts: Facts): CelVariable[] {
  const config = "object.spec.?dnsConfig";
  const cluster = rule.replacesSearches ? serversOf(rule, facts) : [];
  const own = rule.replacesSearches ? [] : rule.nameservers;
  const indices = `lists.range(${rule.options.length})`;
  const optionAt = "variables.dns_options[variables.dns_at[j]]";
  const differs = `variables.dns_at[j] >= 0 && ${optionAt}.?value.orValue("") != variables.dns_rule[j][?"value"].orValue("")`;
  const mayChange = rule.overrides ? "true" : isOurs(`variables.dns_rule[j]["name"]`, `${optionAt}.?value.orValue("")`);
  const addsNdots = rule.replacesSearches && !rule.options.some(({ name }) => name === "ndots");
  return [
    { name: "dns_policy", expression: 'object.spec.?dnsPolicy.orValue("ClusterFirst")' },
    { name: "dns_options", expression: `${config}.?options.orValue([])` },
    { name: "dns_present_searches", expression: `${config}.?searches.orValue([])` },
    { name: "dns_present_servers", expression: `${config}.?nameservers.orValue([])` },
    { name: "dns_rule", expression: celMaps(rule.options.map(({ name, value }) => ({ name, value }))) },
    {
      name: "dns_at",
      expression: `variables.dns_rule.map(r, ${lastIndex("variables.dns_options", 'o.name == r["name"]')})`,
    },
    { name: "dns_new", expression: `${indices}.filter(j, variables.dns_at[j] < 0).map(j, variables.dns_rule[j])` },
    { name: "dns_changed", expression: `${indices}.filter(j, ${differs} && ${mayChange})` },
    { name: "dns_authors", expression: `${indices}.filter(j, ${differs} && !(j in variables.dns_changed))` },
    {
      name: "dns_ndots",
      expression: when(
        `${addsNdots} && !variables.dns_options.exists(o, o.name == "ndots")`,
        celMaps([{ name: "ndots", value: CLUSTER_NDOTS }]),
      ),
    },
    { name: "dns_front", expression: missingServers(cluster ?? []) },
    { name: "dns_servers", expression: missingServers(own) },
    { name: "dns_searches", expression: missingSearches(rule.searches) },
    {
      name: "dns_cluster",
      expression: `variables.dns_policy in ["ClusterFirst", "ClusterFirstWithHostNet"] || (variables.dns_policy == "None" && ${isOurs('"dnsPolicy"', '"None"')})`,
    },
    {
      name: "dns_other",
      expression: `(${rule.replacesSearches} && variables.dns_policy != "None") || variables.dns_front.size() + variables.dns_servers.size() + variables.dns_searches.size() > 0`,
    },
    {
      name: "dns_own_holds",
      expression:
        "!variables.dns_other && variables.dns_new.size() + variables.dns_ndots.size() + variables.dns_changed.size() + variables.dns_authors.size() == 0",
    },
    { name: "dns_redirected", expression: redirectedByConsul() },
  ];
}

/** Undefined where they are not known. */
function serversOf(rule: DnsRule, facts: Facts): readonly string[] | undefined {
  const servers = rule.nameservers.length > 0 ? rule.nameservers : facts.clusterNameservers;
  return servers?.length === 0 ? undefined : servers;
}

function replacesPolicy(rule: DnsRule): string {
  return rule.replacesSearches ? 'variables.dns_policy in ["ClusterFirst", "ClusterFirstWithHostNet"]' : "false";
}

/** CEL list of those that the pod does not have, in any spelling. */
function missingServers(wanted: readonly string[]): string {
  const missing = wanted.map((server) => {
    const canonical = canonicalIp(server) ?? server;
    const same = `s == ${celString(server)} || (isIP(s) && ip(s) == ip(${celString(canonical)}))`;
    return when(`!variables.dns_present_servers.exists(s, ${same})`, celStrings([server]));
  });
  return missing.length === 0 ? celStrings([]) : missing.join(" + ");
}

/** CEL list of those that the pod does not have, in any case of letters, with or without a dot at the end. */
function missingSearches(wanted: readonly string[]): string {
  const domains = wanted.map((text) => ({ text, same: text.toLowerCase().replace(/\.$/, "") }));
  const present = 'variables.dns_present_searches.exists(s, s.lowerAscii() in [w["same"], w["same"] + "."])';
  return `${celMaps(domains)}.filter(w, !${present}).map(w, w["text"])`;
}

/** Why the whole part is left out; the order is mutateDns's. */
function skipOf(rule: DnsRule, facts: Facts): string {
  const searches = "variables.dns_present_searches + variables.dns_searches";
  const added = "variables.dns_front.size() + variables.dns_servers.size()";
  const noServers = rule.replacesSearches && serversOf(rule, facts) === undefined;
  return firstOf([
    ["variables.windows", '"WindowsPod"'],
    ['object.spec.?hostNetwork.orValue(false) && variables.dns_policy == "ClusterFirst"', '"HostNetwork"'],
    ["variables.dns_redirected", '"ConflictingInjection"'],
    [
      "!variables.dns_cluster",
      `(variables.dns_own_holds || ${rule.overrides && rule.options.length > 0}) ? "" : "SetByAuthor"`,
    ],
    [`${noServers}`, '"ClusterDNSUnknown"'],
    [`${added} > 0 && variables.dns_present_servers.size() + ${added} > ${MAX_NAMESERVERS}`, '"TooManyNameservers"'],
    [
      `variables.dns_searches.size() > 0 && ((${searches}).size() > ${MAX_SEARCHES} || (${searches}).map(s, size(s) + 1).sum() - 1 > ${MAX_SEARCH_CHARS})`,
      '"TooManySearches"',
    ],
    [
      `${facts.serverMinor < UNDERSCORE_SINCE_MINOR} && variables.dns_searches.exists(s, s.contains("_"))`,
      '"SearchNotAccepted"',
    ],
  ]);
}

/** As mayRedirectDns. */
function redirectedByConsul(): string {
  const annotation = (name: string): string => `variables.annotations[?${celString(`consul.hashicorp.com/${name}`)}]`;
  const truthy = celStrings(["1", "t", "T", "TRUE", "true", "True"]);
  const falsy = celStrings(["0", "f", "F", "FALSE", "false", "False"]);
  const label = (name: string): string =>
    `namespaceObject.metadata.?labels.orValue({})[?${celString(`consul.hashicorp.com/${name}`)}]`;
  const isOff = (name: string): string => `${annotation(name)}.or(${label(name)}).orValue("") in ${falsy}`;
  return [
    `${annotation("connect-inject")}.orValue("") in ${truthy}`,
    `${annotation("connect-inject-status")}.orValue("") != "injected"`,
    `!(${isOff("transparent-proxy")})`,
    `!(${isOff("consul-dns")})`,
  ].join(" && ");
}

function operations(): string {
  const path = (list: string): string => celString(`/spec/dnsConfig/${list}`);
  const servers = "variables.dns_add_front + variables.dns_present_servers + variables.dns_add_servers";
  const option = '{"name": variables.dns_rule[j]["name"], "value": variables.dns_rule[j][?"value"].orValue("")}';
  const changed = `variables.dns_set_options.filter(j, variables.dns_at[j] == i).map(j, dyn(${option}))[?0].orValue(o)`;
  return [
    when("variables.dns_to_none", add('"/spec/dnsPolicy"', '"None"')),
    when("variables.dns_lists_change && !has(object.spec.dnsConfig)", add('"/spec/dnsConfig"', "{}")),
    when("variables.dns_servers_change", add(path("nameservers"), servers)),
    when(
      "variables.dns_add_searches.size() > 0",
      add(path("searches"), "variables.dns_present_searches + variables.dns_add_searches"),
    ),
    when(
      "variables.dns_options_change",
      add(path("options"), `variables.dns_options.transformList(i, o, ${changed}) + variables.dns_add_options`),
    ),
  ].join(" + ");
}

function differences(): string {
  const wants = '(o[?"value"].orValue("") == "" ? "set" : o["value"])';
  return [
    when("variables.dns_to_none", '["spec.dnsPolicy None"]'),
    when(
      "variables.dns_servers_change",
      '["spec.dnsConfig.nameservers with " + (variables.dns_add_front + variables.dns_add_servers).join(" ")]',
    ),
    when(
      "variables.dns_add_searches.size() > 0",
      '["spec.dnsConfig.searches with " + variables.dns_add_searches.join(" ")]',
    ),
    `(variables.dns_add_options + variables.dns_set_options.map(j, variables.dns_rule[j])).map(o, "spec.dnsConfig.options[" + o["name"] + "] " + ${wants})`,
  ].join(" + ");
}
