import type { Clock } from "../../clock/clock.ts";
import { gatherFacts } from "../registry/facts.ts";
import type { Registries } from "../registry/registry-set.ts";
import { registryReadiness } from "../registry/status.ts";
import type { CompiledPolicy } from "../types.ts";

/** How a registry stands that a policy names. */
export interface RegistryStanding {
  readonly name: string;
  readonly role: "Primary" | "Backup";
  readonly state: "Ready" | "Starting" | "Down" | "NotFound";
  /** Why, when it is not ready. */
  readonly message: string;
}

const stateOf = { True: "Ready", Unknown: "Starting", False: "Down" } as const;

/** The registries of a policy in the order of its spec. */
export function standingsOf(
  policy: CompiledPolicy,
  registries: Pick<Registries, "entry">,
  clock: Clock,
  freshForMs: number,
): readonly RegistryStanding[] {
  return Array.from(policy.registries, ([name, role]): RegistryStanding => {
    const entry = registries.entry(name);
    if (entry === undefined) return { name, role, state: "NotFound", message: "there is no such Registry" };
    if (entry.object.deleting) return { name, role, state: "Down", message: "it is being deleted" };
    const { status, message } = registryReadiness(gatherFacts(entry, clock, freshForMs));
    return { name, role, state: stateOf[status], message };
  });
}
