/** Where the webhook's certificate comes from. */
export interface CertificateSource {
  /** Why there is none to serve with, for a person; undefined when there is one. */
  readonly problem: string | undefined;
  /** The MutatingWebhookConfiguration was seen or has changed. */
  configurationChanged(): void;
  /** Works until the signal aborts, then resolves; a failure of the API server or of a file does not end it. */
  run(signal: AbortSignal): Promise<void>;
}
