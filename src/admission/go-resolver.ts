import type { Ledger } from "./ledger.ts";
import { add, holds, type PartOutcome, skip } from "./outcome.ts";
import type { ContainerShape, PodShape } from "./pod-shape.ts";
import type { GoResolverRule, PatchOperation } from "./types.ts";

const part = "goResolver";
const VARIABLE = "GODEBUG";

/** What is to be done to one container: a patch, nothing, or why it is left alone. */
type Step = PatchOperation | "Holds" | { readonly leave: string };

/**
 * Sets `netdns` in GODEBUG of the named containers, init containers and sidecars included, beside what GODEBUG holds
 * already. A netdns that is there stays, and a value that can not be seen here is left alone.
 */
export function mutateGoResolver(
  { netdns, containers }: GoResolverRule,
  pod: PodShape,
  ledger: Pick<Ledger, "isOurs">,
): PartOutcome {
  const named = [...pod.initContainers, ...pod.containers].filter(({ name }) => containers.includes(name));
  if (named.length === 0) {
    return skip(part, "NoSuchContainer", `the pod has none of the containers ${containers.join(", ")}`);
  }
  const steps = named.map((container) => stepFor(container, netdns, ledger));
  const left = steps.find((step) => typeof step === "object" && "leave" in step);
  const patch = steps.filter((step) => typeof step === "object" && "op" in step);
  if (left === undefined && patch.length === 0) return holds(part);
  return {
    part,
    patch,
    set: patch.length === 0 ? [] : [["netdns", netdns]],
    applied: steps.some((step) => step === "Holds") || patch.length > 0,
    skipped: left === undefined ? undefined : { part, reason: "SetByAuthor", message: left.leave },
  };
}

function stepFor(container: ContainerShape, netdns: string, ledger: Pick<Ledger, "isOurs">): Step {
  const { path, name, env, hasEnvFrom } = container;
  // Of several variables of one name the last counts.
  const index = env?.findLastIndex((variable) => variable.name === VARIABLE) ?? -1;
  const variable = env?.[index];
  if (variable === undefined) {
    // A variable of ours would hide the whole value that envFrom may bring.
    if (hasEnvFrom) return { leave: `envFrom of container ${name} may set ${VARIABLE}` };
    const own = { name: VARIABLE, value: `netdns=${netdns}` };
    return env === undefined ? add(`${path}/env`, [own]) : add(`${path}/env/-`, own);
  }
  if (variable.hasValueFrom || variable.value.includes("$(")) {
    return { leave: `${VARIABLE} of container ${name} takes its value from elsewhere` };
  }
  const settings = variable.value === "" ? [] : variable.value.split(",");
  // Go takes the last of several settings of one name.
  const at = settings.findLastIndex((setting) => setting.trim().startsWith("netdns="));
  const present = settings[at]?.trim().slice("netdns=".length);
  if (present === netdns) return "Holds";
  if (present !== undefined && !ledger.isOurs("netdns", present)) {
    return { leave: `${VARIABLE} of container ${name} has netdns=${present}` };
  }
  const value = at < 0 ? [...settings, `netdns=${netdns}`] : settings.with(at, `netdns=${netdns}`);
  return add(`${path}/env/${index}/value`, value.join(","));
}
