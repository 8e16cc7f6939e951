import type { GoResolverRule } from "../types.ts";
import { firstOf, isOurs, lastIndex, when } from "./common.ts";
import { celString, celStrings } from "./literal.ts";
import type { CelPart } from "./types.ts";

const NEEDLE = '"netdns="';
/** The field of a pod in which a step's container is. */
const FIELD = '(string(s["path"]).startsWith("/spec/init") ? "spec.initContainers[" : "spec.containers[")';

/** What mutateGoResolver does, as CEL: the named containers are worked out in steps, one list after the other. */
export function celGoResolver({ netdns, containers }: GoResolverRule): CelPart {
  const value = celString(`netdns=${netdns}`);
  const own = `{"name": "GODEBUG", "value": ${value}}`;
  const active = 'variables.go_skip == ""';
  const settings = 's["settings"]';
  const at = lastIndex(settings, `o.trim().startsWith(${NEEDLE})`);
  const changed = `${settings}.transformList(i, o, i == s["at"] ? ${value} : o)`;
  return {
    part: "goResolver",
    variables: [
      { name: "go_named", expression: `${named("initContainers", containers)} + ${named("containers", containers)}` },
      {
        name: "go_found",
        expression: `variables.go_named.map(s, {"path": s["path"], "container": s["container"], "index": dyn(${lastIndex('s["container"].?env.orValue([])', 'o.name == "GODEBUG"')})})`,
      },
      {
        name: "go_read",
        expression: `variables.go_found.map(s, {"path": s["path"], "name": s["container"].name, "index": s["index"], "hasEnv": dyn(has(s["container"].env)), "isElsewhere": dyn(${elsewhere()}), "settings": dyn(${settingsOf()})})`,
      },
      {
        name: "go_at",
        expression: `variables.go_read.map(s, {"path": s["path"], "name": s["name"], "index": s["index"], "hasEnv": s["hasEnv"], "isElsewhere": s["isElsewhere"], "settings": s["settings"], "at": dyn(${at})})`,
      },
      {
        name: "go_steps",
        expression: `variables.go_at.map(s, {"path": s["path"], "name": s["name"], "index": s["index"], "hasEnv": s["hasEnv"], "step": dyn(${stepOf(netdns)}), "value": dyn((s["at"] < 0 ? ${settings} + [${value}] : ${changed}).join(","))})`,
      },
      {
        name: "go_skip",
        expression: firstOf([
          ["variables.windows", '"WindowsPod"'],
          ["variables.go_steps.size() == 0", '"NoSuchContainer"'],
        ]),
      },
      { name: "go_set", expression: when(active, 'variables.go_steps.filter(s, s["step"] == "Set")') },
      {
        name: "go_reason",
        expression: firstOf(
          [[`${active} && variables.go_steps.exists(s, s["step"] == "Leave")`, '"SetByAuthor"']],
          "variables.go_skip",
        ),
      },
    ],
    reason: "variables.go_reason",
    changes: "variables.go_set.size() > 0",
    applied: `${active} && variables.go_steps.exists(s, s["step"] != "Leave")`,
    set: when("variables.go_set.size() > 0", `[${value}]`),
    operations: [
      patch('s["index"] < 0 && !s["hasEnv"]', 's["path"] + "/env"', `[${own}]`),
      patch('s["index"] < 0 && s["hasEnv"]', 's["path"] + "/env/-"', own),
      patch('s["index"] >= 0', 's["path"] + "/env/" + string(s["index"]) + "/value"', 's["value"]'),
    ].join(" + "),
    differences: `variables.go_set.map(s, ${FIELD} + s["name"] + "].env[GODEBUG] " + ${value})`,
  };
}

function named(field: string, names: readonly string[]): string {
  const container = `{"path": dyn("/spec/${field}/" + string(i)), "container": c}`;
  return `object.spec.?${field}.orValue([]).transformList(i, c, c.name in ${celStrings(names)}, ${container})`;
}

/** CEL boolean: the value is not to be seen here, or a variable of ours would hide it. */
function elsewhere(): string {
  const variable = 's["container"].env[s["index"]]';
  return `s["index"] < 0 ? s["container"].?envFrom.orValue([]).size() > 0 : (has(${variable}.valueFrom) || ${variable}.?value.orValue("").contains("$("))`;
}

/** CEL list of strings: the settings in GODEBUG. */
function settingsOf(): string {
  const value = 's["container"].env[s["index"]].?value.orValue("")';
  return `s["index"] < 0 || ${value} == "" ? [] : ${value}.split(",")`;
}

/** CEL string: `Leave`, `Holds` or `Set`. */
function stepOf(netdns: string): string {
  const present = `s["settings"][s["at"]].trim().substring(${NEEDLE}.size())`;
  return firstOf(
    [
      ['s["isElsewhere"]', '"Leave"'],
      ['s["at"] < 0', '"Set"'],
      [`${present} == ${celString(netdns)}`, '"Holds"'],
      [isOurs('"netdns"', present), '"Set"'],
    ],
    '"Leave"',
  );
}

function patch(condition: string, path: string, value: string): string {
  return `variables.go_set.filter(s, ${condition}).map(s, JSONPatch{op: "add", path: ${path}, value: ${value}})`;
}
