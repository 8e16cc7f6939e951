import type { Change, Sink } from "../../kube/types.ts";
import type { Judge } from "./judge.ts";

/** The kinds that are looked at. */
export const judgeKinds = [
  "ValidatingWebhookConfiguration",
  "ValidatingAdmissionPolicy",
  "ValidatingAdmissionPolicyBinding",
] as const;
export type JudgeKind = (typeof judgeKinds)[number];

/** All that could refuse pods that are being created, in memory. */
export class JudgeIndex {
  readonly #byKind: Readonly<Record<JudgeKind, Map<string, Judge>>> = {
    ValidatingWebhookConfiguration: new Map(),
    ValidatingAdmissionPolicy: new Map(),
    ValidatingAdmissionPolicyBinding: new Map(),
  };
  readonly #onChange: () => void;

  /** @param onChange called when one came, went, or judges by other rules */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Where the changes of a kind go. */
  sinkOf(kind: JudgeKind): Sink<Judge> {
    const known = this.#byKind[kind];
    return {
      apply: (changes) => {
        for (const { type, object } of changes) {
          if (type === "Deleted") known.delete(object.uid);
          else known.set(object.uid, object);
        }
        if (changes.some(judgesOtherwise)) this.#onChange();
      },
    };
  }

  /** Names of all that look at pods anywhere, `KIND NAME`. */
  all(): string[] {
    return [...this.#find(() => true)];
  }

  /** The first that looks at pods of a namespace with these labels, `KIND NAME`; undefined where nothing does. */
  firstFor(labels: Readonly<Record<string, string>>): string | undefined {
    for (const found of this.#find(({ looksAt }) => looksAt(labels))) return found;
    return undefined;
  }

  *#find(looks: (judge: Judge) => boolean): Generator<string, void, undefined> {
    const { ValidatingWebhookConfiguration: webhooks, ValidatingAdmissionPolicyBinding: bindings } = this.#byKind;
    for (const judge of webhooks.values()) if (looks(judge)) yield `ValidatingWebhookConfiguration ${judge.name}`;
    const policies = new Map([...this.#byKind.ValidatingAdmissionPolicy.values()].map((one) => [one.name, one]));
    // A policy refuses nothing by itself: its bindings put it in force.
    for (const binding of bindings.values()) {
      const policy = policies.get(binding.policyName ?? "");
      if (policy !== undefined && looks(policy) && looks(binding)) yield `ValidatingAdmissionPolicy ${policy.name}`;
    }
  }
}

function judgesOtherwise(change: Change<Judge>): boolean {
  return (
    change.type !== "Modified" ||
    change.object.generation === undefined ||
    change.object.generation !== change.previous.generation
  );
}
