import { readFile } from "node:fs/promises";
import { join } from "node:path";

import type { Clock } from "../../clock/clock.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { belongTogether, fingerprintOf, type KeyPair, parseCertificate } from "./key-pair.ts";
import type { CertificateSource } from "./source.ts";

export interface FileCertificatesOptions {
  /** Holds tls.crt and tls.key, as a mounted Secret of cert-manager's does. */
  readonly directory: string;
  /** Time between two looks at the files, in milliseconds. */
  readonly lookEveryMs: number;
  readonly serve: (pair: KeyPair) => Promise<void>;
  /** Called when another certificate is served. Must not throw. */
  readonly onServed?: () => void;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "admission">;
}

/**
 * Certificates that somebody else issues and renews. The files are read again and again, since a mounted Secret changes
 * by a swap of links that no watch of one file sees; what does not belong together is not served.
 */
export class FileCertificates implements CertificateSource {
  readonly #options: FileCertificatesOptions;
  #served: KeyPair | undefined;
  #problem: string | undefined = "the certificate files have not been read yet";

  constructor(options: FileCertificatesOptions) {
    this.#options = options;
  }

  get problem(): string | undefined {
    const parsed = this.#served === undefined ? undefined : parseCertificate(this.#served.certificate);
    if (parsed === undefined) return this.#problem;
    return parsed.validToDate <= this.#options.clock.wall()
      ? "the certificate under --webhook-cert-dir has expired"
      : undefined;
  }

  configurationChanged(): void {
    // Whoever issues the certificate publishes its authority too.
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, lookEveryMs } = this.#options;
    try {
      for (;;) {
        await this.#look();
        await clock.sleep(lookEveryMs, signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #look(): Promise<void> {
    const { directory, log, metrics, onServed, serve } = this.#options;
    const found = await this.#read(directory);
    if (typeof found === "string") {
      metrics.admission.certificateErrors.inc({ reason: "FilesUnusable" });
      if (found !== this.#problem) log.warn({ problem: found }, "the webhook's certificate files can not be used");
      this.#problem = found;
      return;
    }
    this.#problem = undefined;
    const { certificate, privateKey } = found;
    if (certificate === this.#served?.certificate && privateKey === this.#served.privateKey) return;
    await serve(found);
    this.#served = found;
    onServed?.();
    const notAfter = parseCertificate(certificate)?.validToDate ?? new Date(0);
    metrics.admission.certificates.inc({ certificate: "Leaf" });
    metrics.admission.certificateExpiry.set({ certificate: "Leaf" }, notAfter.getTime() / 1000);
    log.info(
      { fingerprint: fingerprintOf(certificate), notAfter },
      "the webhook serves with the certificate from files",
    );
  }

  /** What the files hold, or why it can not be served, without a word of what they hold. */
  async #read(directory: string): Promise<KeyPair | string> {
    const [certificateFile, keyFile] = [join(directory, "tls.crt"), join(directory, "tls.key")];
    let pair: KeyPair;
    try {
      const [certificate, privateKey] = await Promise.all([
        readFile(certificateFile, "utf8"),
        readFile(keyFile, "utf8"),
      ]);
      pair = { certificate, privateKey };
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
      return `tls.crt and tls.key in --webhook-cert-dir could not be read (${code})`;
    }
    if (belongTogether(pair)) return pair;
    return "tls.crt and tls.key in --webhook-cert-dir are no certificate with its private key";
  }
}
