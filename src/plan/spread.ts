import type { Random } from "../clock/clock.ts";

/**
 * Random order in which no group comes twice before each came once: whatever a budget lets through, it is spread.
 * @param groupOf what must not be wiped out alone: the service
 */
export function spread<T>(items: readonly T[], groupOf: (item: T) => string, random: Random): T[] {
  const groups = [...Map.groupBy(items, groupOf).values()].map((group) => shuffle(group, random));
  const order = shuffle(groups, random);
  const ordered: T[] = [];
  for (let round = 0, left = order; left.length > 0; round++, left = left.filter((group) => group.length > round)) {
    for (const group of left) ordered.push(group[round] as T);
  }
  return ordered;
}

/** Fisher-Yates. */
function shuffle<T>(items: readonly T[], random: Random): T[] {
  const shuffled = [...items];
  for (let last = shuffled.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    const swapped = shuffled[other] as T;
    shuffled[other] = shuffled[last] as T;
    shuffled[last] = swapped;
  }
  return shuffled;
}
