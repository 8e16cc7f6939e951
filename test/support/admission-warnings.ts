/** The API server's warnings of pods that escaped, and what they ought to say. */
import type { Difference } from "../../src/admission/compliance.ts";

/** Lists that a policy adds to: only what is missing is told, so the field alone is compared. */
const LISTS = ["spec.dnsConfig.nameservers", "spec.dnsConfig.searches"];

/** What a ValidatingAdmissionPolicy of ours tells of a pod with these differences, sorted. */
export function expectedOf(differences: readonly Difference[]): string[] {
  const texts = differences.map(({ field, want }) => {
    if (LISTS.includes(field)) return field;
    // Of GODEBUG only the one setting is ours.
    const own = field.endsWith(".env[GODEBUG]") ? (/netdns=(?:go|cgo)(?=,|$)/.exec(want)?.[0] ?? want) : want;
    return `${field} ${own}`;
  });
  return texts.toSorted();
}

/** What the warnings of the ValidatingAdmissionPolicy tell, sorted as {@link expectedOf} has it. @param name of both */
export function toldBy(name: string, policy: string, warnings: readonly string[]): string[] {
  const prefix =
    `Validation failed for ValidatingAdmissionPolicy '${name}' with binding '${name}': ` +
    `RegistrationPolicy ${policy} wants, and the pod does not have: `;
  const own = warnings.filter((warning) => warning.includes(`ValidatingAdmissionPolicy '${name}'`));
  const texts = own.flatMap((warning) => {
    if (!warning.startsWith(prefix)) return [`not understood: ${warning}`];
    return warning.slice(prefix.length).split("; ");
  });
  return texts.map((text) => LISTS.find((field) => text.startsWith(`${field} with `)) ?? text).toSorted();
}
