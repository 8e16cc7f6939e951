import type { RegistrySpec } from "../../api/v1alpha1/index.ts";
import type { Clock, Random } from "../../clock/clock.ts";
import { certificateInUse, dateProblem, type CertificateInUse, type TlsFinding } from "./certificates.ts";
import { certificatesIn, type Credentials } from "./secrets.ts";
import { probeTls, type TlsProbe } from "./tls-probe.ts";

/** Between two probes of an endpoint, jittered by a fifth: at most one a minute. */
const PROBE_EVERY_MS = 75_000;

/** Watches over the certificates of one registry, and those we show it, under one set of credentials. */
export class TlsMonitor {
  readonly #endpoints: readonly string[];
  readonly #serverName: string | undefined;
  readonly #credentials: Credentials;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #onChange: () => void;
  readonly #own: readonly CertificateInUse[];
  readonly #authorities: readonly CertificateInUse[];
  readonly #probes = new Map<string, TlsProbe>();

  /** @param onChange called when an endpoint showed something else than before */
  constructor(
    spec: Pick<RegistrySpec, "endpoints" | "tls">,
    credentials: Credentials,
    parts: { readonly clock: Clock; readonly random: Random; readonly onChange: () => void },
  ) {
    this.#endpoints = spec.endpoints.filter((endpoint) => endpoint.startsWith("https:"));
    this.#serverName = spec.tls?.serverName;
    this.#credentials = credentials;
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.#onChange = parts.onChange;
    const [leaf] = certificatesIn(credentials.client?.certificate ?? "") ?? [];
    this.#own = leaf === undefined ? [] : [certificateInUse(leaf, "our client certificate")];
    this.#authorities = (certificatesIn(credentials.ca ?? "") ?? []).map((authority) =>
      certificateInUse(authority, "the certificate authority"),
    );
  }

  /** False for plain http. */
  get isUsed(): boolean {
    return this.#endpoints.length > 0;
  }

  /** True when an endpoint has shown its certificate, or why it can not. */
  get hasLooked(): boolean {
    return this.#probes.values().some(({ chain, finding }) => chain.length > 0 || finding !== undefined);
  }

  /** The certificates that the connection rests on, as far as they are known. */
  certificates(): readonly CertificateInUse[] {
    const served = this.#probes.values().flatMap(({ chain }) => chain);
    const known = [...this.#own, ...served];
    if (known.length > this.#own.length) return known;
    // Which authority the registry uses is not known. While they are exchanged there is an old one too, which may end.
    const latest = this.#authorities.toSorted((a, b) => b.notAfter.getTime() - a.notAfter.getTime())[0];
    return latest === undefined ? known : [...known, latest];
  }

  /** The most urgent of what is wrong; undefined when nothing is known to be. */
  finding(now: Date): TlsFinding | undefined {
    const dates = dateProblem(this.certificates(), now);
    // Of the two this one names the certificate.
    if (dates !== undefined && dates.reason !== "ExpiresSoon") return dates;
    return this.#probes.values().find(({ finding }) => finding !== undefined)?.finding ?? dates;
  }

  /** Probes every endpoint from time to time until the signal aborts, then resolves. */
  async run(signal: AbortSignal): Promise<void> {
    if (!this.isUsed) return;
    try {
      for (;;) {
        for (const endpoint of this.#endpoints) await this.#probe(endpoint, signal);
        await this.#clock.sleep(PROBE_EVERY_MS * (0.8 + 0.4 * this.#random()), signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #probe(endpoint: string, signal: AbortSignal): Promise<void> {
    const { ca, client } = this.#credentials;
    let probe: TlsProbe;
    try {
      probe = await probeTls(endpoint, { ca, client, serverName: this.#serverName }, this.#clock, signal);
    } catch (error) {
      signal.throwIfAborted();
      const message = `no TLS connection to ${endpoint} could be set up (${codeOf(error)})`;
      probe = { endpoint, chain: [], finding: { reason: "HandshakeFailed", message } };
    }
    const before = this.#probes.get(endpoint);
    this.#probes.set(endpoint, probe);
    if (JSON.stringify(before) !== JSON.stringify(probe)) this.#onChange();
  }
}

/** Node's own code only: the message of a parser could quote what it parsed. */
function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown error";
}
