import { createPrivateKey, X509Certificate } from "node:crypto";

/** A certificate (with what leads to its authority, if anything) and its private key, both PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly privateKey: string;
}

/** The span in which a certificate holds. */
export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** The certificates of a PEM text, each as PEM in one form, in their order; what is broken is left out. */
export function certificatesIn(text: string): string[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.flatMap((block) => {
    const parsed = parseCertificate(block);
    return parsed === undefined ? [] : [parsed.toString()];
  });
}

/** The first certificate of a PEM text; undefined when there is none that can be read. */
export function parseCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

/** True when both can be read and belong together. Says no more: a parser's message could quote the key. */
export function belongTogether({ certificate, privateKey }: KeyPair): boolean {
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(privateKey));
  } catch {
    return false;
  }
}

/** SHA-256 of a certificate, for logs and comparison. */
export function fingerprintOf(pem: string): string {
  return parseCertificate(pem)?.fingerprint256 ?? "";
}
