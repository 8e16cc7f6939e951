/** What a policy's status says of its pods: how many obey it, and what the others have instead. */
import type { RegistrationPolicyPods } from "../../api/v1alpha1/index.ts";
import type { Difference } from "../../admission/compliance.ts";
import type { ComplianceCount, PodFinding } from "./compliance-count.ts";
import type { PolicyFacts, Says } from "./status.ts";

/** Workloads and fields in a condition's message; the report has more. */
const SHOWN = 3;

type Facts = Pick<PolicyFacts, "object" | "pods">;

/** Without entries where the policy wants nothing of pods, and while they are not judged by it as it is now. */
export function complianceFigures(facts: Facts): Omit<RegistrationPolicyPods, "matched"> {
  const count = judged(facts);
  if (count === undefined) return {};
  const { compliant, drifted, exempt } = count;
  return { compliant, drifted, exempt, compliance: `${compliant}/${compliant + drifted}` };
}

/** Whether every pod obeys. */
export function podsCompliant(facts: Facts): Says<"PodsCompliant"> {
  const type = "PodsCompliant";
  const { compilation } = facts.object;
  if (!compilation.accepted) {
    return { type, reason: "NotAccepted", message: "the policy is not in force: see condition Accepted" };
  }
  const { podPolicy, plan } = compilation.policy;
  if (plan.mode === "Paused") return { type, reason: "Paused", message: "spec.mode is Paused: no pod is judged" };
  if (podPolicy === undefined) return { type, reason: "NothingWanted", message: "the policy wants nothing of pods" };
  const count = judged(facts);
  if (count === undefined) {
    return { type, reason: "NotJudgedYet", message: "pods have not been judged by the policy as it is now" };
  }
  const exempt = count.exempt === 0 ? "" : `; ${pods(count.exempt)} exempt${reasonsOf(count.findings)}`;
  if (count.drifted === 0) return { type, reason: "AllCompliant", message: `${pods(count.compliant)} obey${exempt}` };
  const drifted = count.findings.filter(({ compliance }) => compliance.state === "Drifted");
  const shown = drifted.slice(0, SHOWN).map(describe).join("; ");
  const message = `${pods(count.drifted)} of ${count.compliant + count.drifted} differ: ${shown}${more(drifted)}${exempt}`;
  return { type, reason: "PodsDrifted", message };
}

function judged({ object: { compilation, generation }, pods }: Facts): ComplianceCount | undefined {
  if (!compilation.accepted || compilation.policy.podPolicy === undefined) return undefined;
  if (compilation.policy.plan.mode === "Paused" || pods?.generation !== generation) return undefined;
  return pods.compliance.unknown === 0 ? pods.compliance : undefined;
}

function describe({ namespace, example, pods: count, compliance }: PodFinding): string {
  const others = count === 1 ? "" : ` and ${count - 1} like it`;
  const fields = compliance.differences.slice(0, SHOWN).map(difference).join(", ");
  return `${namespace}/${example}${others}: ${fields}${more(compliance.differences)}`;
}

function difference({ field, have, want }: Difference): string {
  return have === undefined ? `${field} is not ${want}` : `${field} is ${have}, not ${want}`;
}

/** Why, each reason once. */
function reasonsOf(findings: readonly PodFinding[]): string {
  const reasons = new Set(
    findings
      .filter(({ compliance }) => compliance.state === "Exempt")
      .flatMap(({ compliance }) => compliance.skipped.map(({ part, reason }) => `${part}: ${reason}`)),
  );
  return reasons.size === 0 ? "" : ` (${[...reasons].sort().join(", ")})`;
}

function more({ length }: readonly unknown[]): string {
  return length > SHOWN ? ` and ${length - SHOWN} more` : "";
}

function pods(count: number): string {
  return count === 1 ? "1 pod" : `${count} pods`;
}
