import type { Lifetimes } from "./certificates/rotation.ts";

/** How pods are changed at their creation. */
export const admissionModes = ["auto", "webhook", "policy", "none"] as const;
export type AdmissionMode = (typeof admissionModes)[number];

/** What the command line says of the webhook. */
export interface WebhookSettings {
  readonly mode: AdmissionMode;
  readonly address: string;
  /** Undefined: the operator makes its own certificates. */
  readonly certificateDirectory: string | undefined;
  readonly serviceName: string;
  readonly configurationName: string;
  readonly secretName: string;
  readonly lifetimes: Lifetimes;
  /** Time between two looks at the certificates, in milliseconds. */
  readonly lookEveryMs: number;
}
