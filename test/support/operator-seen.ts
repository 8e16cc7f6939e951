import type { KubeClient } from "./kube-client.ts";
import { eventually } from "./operator-wait.ts";

const PATHS = {
  Registry: "/apis/hygeia.dev/v1alpha1/registries",
  RegistrationPolicy: "/apis/hygeia.dev/v1alpha1/registrationpolicies",
} as const;

/** An object whose status the operator writes. */
export interface Seen {
  readonly kind: keyof typeof PATHS;
  readonly name: string;
}

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

/** What a condition is to become. */
export interface Expected {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  /** One, or several of which any will do. */
  readonly reason: string | readonly string[];
  /** What the message is to say. */
  readonly says?: RegExp;
}

export interface SeenEvent {
  readonly type: string;
  readonly reason: string;
  readonly note: string;
}

/** The conditions of an object as they are now; empty until the operator has written some. */
async function conditionsOf(client: KubeClient, { kind, name }: Seen): Promise<readonly Condition[]> {
  const { status } = await client.get<{ status?: { conditions?: Condition[] } }>(`${PATHS[kind]}/${name}`);
  return status?.conditions ?? [];
}

/** Waits until an object shows a condition, and returns it. @throws Error that says what it shows instead */
export async function untilCondition(
  client: KubeClient,
  object: Seen,
  { type, status, reason, says = /(?:)/ }: Expected,
  within?: number,
): Promise<Condition> {
  const reasons: readonly string[] = typeof reason === "string" ? [reason] : reason;
  const what = `${object.kind} ${object.name} shows ${type}=${status}, ${reasons.join(" or ")}, ${String(says)}`;
  return eventually(
    what,
    async () => {
      const found = (await conditionsOf(client, object)).find((condition) => condition.type === type);
      if (found?.status === status && reasons.includes(found.reason) && says.test(found.message)) return found;
      throw new Error(`it shows ${JSON.stringify(found)}`);
    },
    within,
  );
}

/** Events on an object; those of cluster-scoped objects live in the namespace default. */
export async function eventsOn(client: KubeClient, { kind, name }: Seen): Promise<readonly SeenEvent[]> {
  const all = await client.list<SeenEvent & { readonly regarding: Seen }>(
    "/apis/events.k8s.io/v1/namespaces/default/events",
  );
  return all.filter(({ regarding }) => regarding.kind === kind && regarding.name === name);
}

/** Waits until an Event tells of an object. @param says what its note is to hold */
export async function untilEvent(client: KubeClient, object: Seen, reason: string, says = /(?:)/): Promise<SeenEvent> {
  return eventually(`an Event ${reason} on ${object.kind} ${object.name}, ${String(says)}`, async () => {
    const events = await eventsOn(client, object);
    const found = events.find((event) => event.reason === reason && says.test(event.note));
    if (found === undefined) throw new Error(`there are ${JSON.stringify(events.map((e) => [e.reason, e.note]))}`);
    return found;
  });
}
