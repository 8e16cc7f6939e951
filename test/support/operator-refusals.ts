/** What the operator's log says of evictions that its last look spoke against. */
import type { Operator } from "./operator.ts";
import { eventually } from "./operator-wait.ts";
import type { EverywhereInstance } from "./registries-stage.ts";

/** Evictions that an operator decides on from now on, and those among them that are refused. */
export class Refusals {
  readonly #operator: Operator;
  readonly #from: number;

  constructor(operator: Operator) {
    this.#operator = operator;
    this.#from = operator.log.lines.length;
  }

  /** Waits until the last look of each of these, in each of these registries, is under way or over. */
  async untilDecided(registries: readonly string[], instances: readonly EverywhereInstance[]): Promise<void> {
    await eventually("each was decided on", () => {
      const decided = this.#keys(({ step, decision }) => step === "judge" && decision === "Evict");
      return keysOf(registries, instances).every((key) => decided.has(key));
    });
  }

  /** Waits until the last look of each of these, in each of these registries, has found this. */
  async untilRefused(
    registries: readonly string[],
    instances: readonly EverywhereInstance[],
    says: RegExp,
  ): Promise<void> {
    await eventually(`each was refused: ${String(says)}`, () => {
      const refused = this.#keys(({ step, objection }) => {
        return step === "confirm" && typeof objection === "string" && says.test(objection);
      });
      const missing = keysOf(registries, instances).filter((key) => !refused.has(key));
      if (missing.length === 0) return true;
      throw new Error(`not refused: ${missing.join(", ")}`);
    });
  }

  #keys(which: (line: Operator["log"]["lines"][number]) => boolean): ReadonlySet<unknown> {
    return new Set(
      this.#operator.log.lines
        .slice(this.#from)
        .filter(which)
        .map(({ key }) => key),
    );
  }
}

/** As the log calls them. */
function keysOf(registries: readonly string[], instances: readonly EverywhereInstance[]): string[] {
  return registries.flatMap((name) => instances.map(({ ids }) => `${name}:${ids[name] ?? ""}`));
}
