import type { X509Certificate } from "node:crypto";

import type { RegistryConditionReason } from "../../api/v1alpha1/index.ts";

/** What is wrong with the TLS of a registry: a reason of condition TLSHealthy and a sentence. */
export interface TlsFinding {
  readonly reason: Extract<RegistryConditionReason, { type: "TLSHealthy" }>["reason"];
  readonly message: string;
}

/** One certificate that the connection to a registry rests on. */
export interface CertificateInUse {
  /** For a person: `the client certificate`, `the certificate of https://...`. */
  readonly what: string;
  /** RFC 4514-like, one line; holds no secret. */
  readonly subject: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Longest time before its end at which a certificate counts as expiring soon. */
const LONGEST_WARNING_MS = 30 * 24 * 60 * 60 * 1000;
/** Renewers act when a third of a certificate's life is left (cert-manager's rule): at a quarter they are overdue. */
const WARNING_PART = 1 / 4;

export function certificateInUse(certificate: X509Certificate, what: string): CertificateInUse {
  return {
    what,
    subject: certificate.subject.replaceAll("\n", ", "),
    notBefore: certificate.validFromDate,
    notAfter: certificate.validToDate,
  };
}

/** The one that ends first; undefined when there is none. */
export function firstToExpire(certificates: readonly CertificateInUse[]): CertificateInUse | undefined {
  let first: CertificateInUse | undefined;
  for (const certificate of certificates) {
    if (first === undefined || certificate.notAfter < first.notAfter) first = certificate;
  }
  return first;
}

/** What is wrong with the dates of the certificates, the most urgent first; undefined when nothing is. */
export function dateProblem(certificates: readonly CertificateInUse[], now: Date): TlsFinding | undefined {
  const first = firstToExpire(certificates);
  if (first === undefined) return undefined;
  const name = `${first.what} (${first.subject})`;
  const until = first.notAfter.toISOString();
  if (first.notAfter <= now) return { reason: "Expired", message: `${name} expired at ${until}: renew it` };
  const early = certificates.find(({ notBefore }) => notBefore > now);
  if (early !== undefined) {
    const message = `${early.what} (${early.subject}) is not valid before ${early.notBefore.toISOString()}: the clock of this machine or of its issuer is wrong`;
    return { reason: "NotYetValid", message };
  }
  if (first.notAfter.getTime() - now.getTime() > warningTime(first)) return undefined;
  return { reason: "ExpiresSoon", message: `${name} expires at ${until}: renew it` };
}

function warningTime({ notBefore, notAfter }: CertificateInUse): number {
  return Math.min(LONGEST_WARNING_MS, (notAfter.getTime() - notBefore.getTime()) * WARNING_PART);
}
