import { sysctlsAllowedSince } from "../pod-security.ts";
import type { Sysctl } from "../types.ts";
import { add, firstOf, isOurs, when } from "./common.ts";
import { celMaps, celString, celStrings } from "./literal.ts";
import type { CelPart, Facts } from "./types.ts";
import { celNodesAvoided } from "./unsuitable-nodes.ts";

/** Takes the place of a slash while slashes and dots change places; no sysctl has it in its name. */
const BETWEEN = celString("\u0001");

/** So many namespaces are named at most, so that an object stays small; in others no sysctl is set. */
const MAX_NAMESPACES = 1_000;

/** What mutateKeepalive does, as CEL. */
export function celKeepalive(wanted: readonly Sysctl[], facts: Facts): CelPart {
  const isPresent = "variables.keepalive_present.exists(p, p == w)";
  const active = 'variables.keepalive_skip == ""';
  const isAuthors = `variables.keepalive_wanted.exists(w, w["name"] == p["name"]) && !(${isOurs('p["name"]', 'p["value"]')})`;
  const canonical = `(s.name.matches("^[^./]*/") ? s.name.replace("/", ${BETWEEN}).replace(".", "/").replace(${BETWEEN}, ".") : s.name)`;
  return {
    part: "keepalive",
    variables: [
      { name: "keepalive_wanted", expression: celMaps(wanted.map(({ name, value }) => ({ name, value }))) },
      { name: "keepalive_sysctls", expression: "object.spec.?securityContext.?sysctls.orValue([])" },
      {
        name: "keepalive_present",
        expression: `variables.keepalive_sysctls.map(s, {"name": string(${canonical}), "value": string(s.value)})`,
      },
      { name: "keepalive_holds", expression: `variables.keepalive_wanted.all(w, ${isPresent})` },
      { name: "keepalive_refused", expression: podSecurity(wanted, facts) },
      { name: "keepalive_authors", expression: `variables.keepalive_present.exists(p, ${isAuthors})` },
      ...celNodesAvoided(facts.sysctlObstacle?.nodeLabels),
      { name: "keepalive_skip", expression: skipOf(facts) },
      { name: "keepalive_changes", expression: `${active} && !variables.keepalive_holds` },
      {
        name: "keepalive_missing",
        expression: when("variables.keepalive_changes", `variables.keepalive_wanted.filter(w, !${isPresent})`),
      },
    ],
    reason: "variables.keepalive_skip",
    changes: "variables.keepalive_changes",
    applied: active,
    set: when("variables.keepalive_changes", 'variables.keepalive_wanted.map(w, w["name"] + "=" + w["value"])'),
    operations: operations(),
    differences: 'variables.keepalive_missing.map(w, "spec.securityContext.sysctls[" + w["name"] + "] " + w["value"])',
  };
}

/** Why the whole part is left out; the order is mutateKeepalive's. */
function skipOf({ sysctlObstacle, sysctlNamespaces }: Facts): string {
  const engine =
    sysctlNamespaces === undefined
      ? "false"
      : `!(request.namespace in ${celStrings(sysctlNamespaces.slice(0, MAX_NAMESPACES))})`;
  return firstOf([
    ["variables.windows", '"WindowsPod"'],
    ["variables.keepalive_holds", '""'],
    ["object.spec.?hostNetwork.orValue(false)", '"HostNetwork"'],
    ["variables.keepalive_refused", '"PodSecurity"'],
    [`${sysctlObstacle !== undefined} && !variables.nodes_avoided`, celString(sysctlObstacle?.reason ?? "")],
    ['object.spec.?runtimeClassName.orValue("") != ""', '"RuntimeClass"'],
    ["!object.spec.?hostUsers.orValue(true)", '"UserNamespace"'],
    ["variables.keepalive_authors", '"SetByAuthor"'],
    [engine, '"PolicyEngine"'],
  ]);
}

/** CEL boolean: podSecurityObjection has one. */
function podSecurity(wanted: readonly Sysctl[], { serverMinor }: Facts): string {
  const label = (name: string): string =>
    `namespaceObject.metadata.?labels.orValue({})[?${celString(`pod-security.kubernetes.io/${name}`)}]`;
  const since = Math.min(sysctlsAllowedSince(wanted), 1_000_000);
  const version = `${label("enforce-version")}.orValue("latest")`;
  const isPinnedBefore = `[${version}].exists(v, v.matches("^v1\\\\.[0-9]{1,4}$") && int(v.substring(3)) < ${since})`;
  return `${label("enforce")}.orValue("privileged") != "privileged" && (${serverMinor < since} || ${isPinnedBefore})`;
}

function operations(): string {
  const at = 'variables.keepalive_present.transformList(j, p, p["name"] == w["name"], j)[?0].orValue(-1)';
  const isFirst = `${at} == i`;
  const kept = `variables.keepalive_missing.filter(w, ${isFirst}).map(w, dyn({"name": string(s.name), "value": w["value"]}))[?0].orValue(s)`;
  const all = `variables.keepalive_sysctls.transformList(i, s, ${kept}) + variables.keepalive_missing.filter(w, ${at} < 0)`;
  const root = celString("/spec/securityContext");
  return [
    when("variables.keepalive_changes && !has(object.spec.securityContext)", add(root, "{}")),
    when("variables.keepalive_changes", add(celString("/spec/securityContext/sysctls"), all)),
  ].join(" + ");
}
