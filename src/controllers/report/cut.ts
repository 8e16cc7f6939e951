/** Longest texts in a report, in characters as the schema counts them. */
export const LONGEST = { service: 512, instance: 512, id: 2_048, address: 512 } as const;

/** At most so many characters as the schema counts them, the last an ellipsis when something is missing. */
export function cut(text: string, limit: number): string {
  if (text.length <= limit) return text;
  return `${text.slice(0, limit - 1).replace(/[\uD800-\uDBFF]$/, "")}…`;
}
