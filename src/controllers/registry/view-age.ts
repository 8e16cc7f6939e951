/** The longest age of each step, milliseconds. Few, so that a status is not written for a second more or less. */
const STEPS = {
  "5s": 5_000,
  "15s": 15_000,
  "1m": 60_000,
  "5m": 300_000,
  "15m": 900_000,
  "1h": 3_600_000,
  "6h": 21_600_000,
  "24h": 86_400_000,
  Older: Number.POSITIVE_INFINITY,
} as const;

/** How old a view was at most, as a status says it. */
export type ViewAgeStep = keyof typeof STEPS;

/** A view is called younger only after it was for so long: what swings around a step makes no writes. */
const FALLS_AFTER_MS = 300_000;

const names = Object.keys(STEPS) as ViewAgeStep[];

interface Shown {
  readonly step: ViewAgeStep;
  /** The last time the view was as old as that, local monotonic milliseconds. */
  readonly at: number;
  /** The oldest it was since, as far as it was younger. */
  readonly since: ViewAgeStep;
}

/** How old the view of each registry was lately: rises at once, and falls when it has been younger for a while. */
export class ViewAges {
  readonly #shown = new Map<string, Shown>();

  /**
   * Takes in how old the view is now.
   * @param registry its name
   * @param caughtUpTo up to when it is proven to be complete; both local monotonic milliseconds
   * @returns undefined while nothing was proven yet
   */
  observe(registry: string, caughtUpTo: number, now: number): ViewAgeStep | undefined {
    if (caughtUpTo === Number.NEGATIVE_INFINITY) {
      this.#shown.delete(registry);
      return undefined;
    }
    const step = stepOf(now - caughtUpTo);
    const next = after(this.#shown.get(registry), step, now);
    this.#shown.set(registry, next);
    return next.step;
  }

  /** The registry is gone. */
  forget(registry: string): void {
    this.#shown.delete(registry);
  }
}

function after(before: Shown | undefined, step: ViewAgeStep, now: number): Shown {
  const youngest: ViewAgeStep = "5s";
  if (before === undefined || STEPS[step] >= STEPS[before.step]) return { step, at: now, since: youngest };
  const since = STEPS[step] > STEPS[before.since] ? step : before.since;
  return now - before.at < FALLS_AFTER_MS ? { ...before, since } : { step: since, at: now, since: youngest };
}

function stepOf(ageMs: number): ViewAgeStep {
  return names.find((name) => ageMs <= STEPS[name]) ?? "Older";
}
