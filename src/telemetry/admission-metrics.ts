import type { Counter, Gauge, Histogram } from "prom-client";

/** Dense around the target of 10 ms inside the process. */
const answerSeconds = [0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.5, 1, 2];

interface Makers {
  readonly counter: <L extends string = never>(name: string, help: string, labelNames?: readonly L[]) => Counter<L>;
  readonly gauge: <L extends string = never>(name: string, help: string, labelNames?: readonly L[]) => Gauge<L>;
  readonly histogram: <L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    buckets: number[],
  ) => Histogram<L>;
}

/** What the admission webhook and its certificates are measured by. */
export function admissionMetrics({ counter, gauge, histogram }: Makers) {
  return {
    requests: counter(
      "hygeia_admission_requests_total",
      "Requests of the API server about new pods, by what became of the pod (Patched, Unchanged, Failed) and why.",
      ["result", "reason"],
    ),
    seconds: histogram<never>(
      "hygeia_admission_request_duration_seconds",
      "Time from a request's headers to its answer, inside the process.",
      [],
      answerSeconds,
    ),
    skipped: counter("hygeia_admission_skipped_total", "Parts of a policy that a new pod was spared, by reason.", [
      "part",
      "reason",
    ]),
    tlsErrors: counter(
      "hygeia_webhook_tls_errors_total",
      "TLS connections to the webhook that failed; CertificateRefused: the API server does not trust it.",
      ["reason"],
    ),
    certificateExpiry: gauge(
      "hygeia_webhook_certificate_expiry_timestamp_seconds",
      "When the certificate that is served (Leaf), or the authority that signs new ones, ends, in Unix time.",
      ["certificate"],
    ),
    certificates: counter(
      "hygeia_webhook_certificates_total",
      "Certificates put into use by this replica: leaves served, authorities made.",
      ["certificate"],
    ),
    certificateErrors: counter(
      "hygeia_webhook_certificate_errors_total",
      "Times the webhook's certificates could not be read, made, published or used, by reason.",
      ["reason"],
    ),
    bundleWrites: counter(
      "hygeia_webhook_ca_bundle_writes_total",
      "Times the authorities were written into the MutatingWebhookConfiguration, by result.",
      ["result"],
    ),
    policyWrites: counter(
      "hygeia_admission_policy_writes_total",
      "Writes of the API server's own admission policies, by kind and result (Written, or the code of the failure).",
      ["kind", "result"],
    ),
    dryRuns: counter(
      "hygeia_admission_dry_runs_total",
      "Pods with a policy's sysctls that were tried as a dry run, by the API server's answer.",
      ["result"],
    ),
    objections: gauge(
      "hygeia_admission_objections",
      "Namespaces in which a policy engine refuses pods for a policy's sysctls.",
    ),
    checks: counter(
      "hygeia_webhook_checks_total",
      "Checks that the API server can trust and reach the webhook, by kind and result.",
      ["check", "result"],
    ),
    trusted: gauge(
      "hygeia_webhook_trusted",
      "1 when the certificate that is served holds under the published authorities, else 0.",
      ["check"],
    ),
  };
}
