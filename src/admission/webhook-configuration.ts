import type { Clock } from "../clock/clock.ts";
import { applyObject } from "../kube/apply.ts";
import type { KubeTransport } from "../kube/transport.ts";
import type { Change, ObjectIdentity, Sink } from "../kube/types.ts";
import { certificatesIn } from "./certificates/key-pair.ts";

/** The collection in which the API server keeps them. */
export const WEBHOOK_CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
/** Owns `caBundle` and nothing else. */
const FIELD_MANAGER = "hygeia-webhook-ca";
/** How annotations begin by which cert-manager's CA injector is told to own `caBundle`. */
const INJECTOR = "cert-manager.io/inject-";
const DEADLINE_MS = 5_000;

/** What is kept of our MutatingWebhookConfiguration. */
export interface WebhookConfigurationRecord extends ObjectIdentity {
  /** Names of its webhooks, with the authorities that the API server trusts for each, as PEM. */
  readonly webhooks: readonly { readonly name: string; readonly trusted: readonly string[]; readonly bundle: string }[];
  /** cert-manager is told to write the bundle. */
  readonly injectedByOthers: boolean;
}

interface RawConfiguration {
  readonly metadata?: {
    readonly uid?: string;
    readonly name?: string;
    readonly resourceVersion?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly webhooks?: readonly {
    readonly name?: string;
    readonly clientConfig?: { readonly caBundle?: string };
  }[];
}

/** @param raw a MutatingWebhookConfiguration, parsed from JSON */
export function projectWebhookConfiguration(raw: unknown): WebhookConfigurationRecord {
  const { metadata = {}, webhooks = [] } = raw as RawConfiguration;
  return {
    uid: metadata.uid ?? "",
    namespace: "",
    name: metadata.name ?? "",
    resourceVersion: metadata.resourceVersion ?? "",
    injectedByOthers: Object.keys(metadata.annotations ?? {}).some((key) => key.startsWith(INJECTOR)),
    webhooks: webhooks.map(({ name = "", clientConfig }) => {
      const bundle = Buffer.from(clientConfig?.caBundle ?? "", "base64").toString("utf8");
      return { name, bundle, trusted: certificatesIn(bundle) };
    }),
  };
}

/**
 * Our MutatingWebhookConfiguration as the API server has it: which authorities it trusts, and since when we saw it. Fed
 * by a reflector of this one object.
 */
export class WebhookConfiguration implements Sink<WebhookConfigurationRecord> {
  readonly #clock: Clock;
  readonly #onChange: () => void;
  /** Local monotonic milliseconds since when each authority is trusted without a break. */
  #since = new Map<string, number>();
  #record: WebhookConfigurationRecord | undefined;
  #isListed = false;

  /** @param onChange called when a list came, or the object changed */
  constructor(clock: Clock, onChange: () => void) {
    this.#clock = clock;
    this.#onChange = onChange;
  }

  apply(changes: readonly Change<WebhookConfigurationRecord>[]): void {
    this.#isListed = true;
    for (const change of changes) this.#take(change.type === "Deleted" ? undefined : change.object);
    this.#onChange();
  }

  /** True when it is known whether there is one. */
  get isListed(): boolean {
    return this.#isListed;
  }

  /** Undefined when there is none, or it is not known yet. */
  get record(): WebhookConfigurationRecord | undefined {
    return this.#record;
  }

  /**
   * For how long all of its webhooks have trusted this authority without a break, in milliseconds; undefined when they do
   * not, or nothing is known. Infinite when there is no such configuration: nobody calls, and nobody can mistrust.
   */
  publishedForMs(certificate: string): number | undefined {
    if (!this.#isListed) return undefined;
    if (this.#record === undefined) return Infinity;
    const since = this.#since.get(certificate);
    return since === undefined ? undefined : this.#clock.monotonic() - since;
  }

  #take(record: WebhookConfigurationRecord | undefined): void {
    this.#record = record;
    const now = this.#clock.monotonic();
    const [first, ...others] = record?.webhooks ?? [];
    const common = first?.trusted.filter((one) => others.every(({ trusted }) => trusted.includes(one))) ?? [];
    this.#since = new Map(common.map((one) => [one, this.#since.get(one) ?? now]));
  }
}

/** True when every webhook of the configuration has exactly this bundle. */
export function hasBundle({ webhooks }: WebhookConfigurationRecord, bundle: string): boolean {
  return webhooks.every((webhook) => webhook.bundle === bundle);
}

/**
 * Writes the bundle into every webhook of the configuration as it was seen, by server-side apply; other fields stay as
 * they are, and a configuration that is gone is not made anew.
 * @throws KubeError `Conflict` when it changed since
 */
export async function writeBundle(
  transport: Pick<KubeTransport, "request">,
  { name, uid, resourceVersion, webhooks }: WebhookConfigurationRecord,
  bundle: string,
  signal: AbortSignal,
): Promise<void> {
  const caBundle = Buffer.from(bundle).toString("base64");
  await applyObject(transport, {
    path: `${WEBHOOK_CONFIGURATIONS}/${encodeURIComponent(name)}`,
    fieldManager: FIELD_MANAGER,
    // Whoever else wrote the bundle, it is ours.
    force: true,
    deadlineMs: DEADLINE_MS,
    signal,
    object: {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "MutatingWebhookConfiguration",
      metadata: { name, uid, resourceVersion },
      webhooks: webhooks.map((webhook) => ({ name: webhook.name, clientConfig: { caBundle } })),
    },
  });
}

/** A quorum read of the object as it is now; undefined when there is none. @throws KubeError */
export async function readWebhookConfiguration(
  transport: Pick<KubeTransport, "request">,
  name: string,
  signal: AbortSignal,
): Promise<WebhookConfigurationRecord> {
  const path = `${WEBHOOK_CONFIGURATIONS}/${encodeURIComponent(name)}`;
  const { body } = await transport.request({ method: "GET", path, deadlineMs: DEADLINE_MS, signal });
  return projectWebhookConfiguration(body);
}
