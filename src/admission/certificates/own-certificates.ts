import type { Clock, Random } from "../../clock/clock.ts";
import { HygeiaError } from "../../errors.ts";
import { Backoff } from "../../kube/backoff.ts";
import { KubeError } from "../../kube/http-errors.ts";
import { Trigger } from "../../kube/reflector-trigger.ts";
import type { KubeTransport } from "../../kube/transport.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import {
  hasBundle,
  readWebhookConfiguration,
  type WebhookConfiguration,
  type WebhookConfigurationRecord,
  writeBundle,
} from "../webhook-configuration.ts";
import { type Authorities, bundleOf, readAuthorities, writeAuthorities } from "./authorities.ts";
import { AuthoritySecret } from "./authority-secret.ts";
import { fingerprintOf, type KeyPair, parseCertificate } from "./key-pair.ts";
import {
  type Facts,
  leafIsDue,
  type Lifetimes,
  nextStep,
  recreate,
  renewalOf,
  type ServedLeaf,
  type Step,
} from "./rotation.ts";
import type { CertificateSource } from "./source.ts";

export interface OwnCertificatesOptions {
  readonly transport: Pick<KubeTransport, "request">;
  readonly namespace: string;
  /** Of the Secret with the authorities. */
  readonly secretName: string;
  /** Names that leaves stand for: `<service>.<namespace>.svc`. */
  readonly names: readonly string[];
  readonly configuration: WebhookConfiguration;
  readonly configurationName: string;
  readonly lifetimes: Lifetimes;
  /** Time between two looks at the Secret, give or take 10 %, in milliseconds. */
  readonly lookEveryMs: number;
  /** Serves with this certificate from now on. */
  readonly serve: (leaf: KeyPair) => Promise<void>;
  /**
   * Called when what is served or what is trusted has changed, and again until it is true: a new connection would hold.
   * @param trusted what the API server trusts, PEM
   */
  readonly check: (trusted: string, signal: AbortSignal) => Promise<boolean>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "admission">;
}

/** So often the Secret is read again when others write it at the same time. */
const ROUNDS = 8;
/** Least time between two writes of the bundle: a tool that takes it out each time must not make a busy loop. */
const WRITE_GAP_MS = 1_000;

/**
 * Certificates without cert-manager. The authorities lie in one Secret, which any replica may change, guarded by its
 * resourceVersion; leaves are in memory only, one in each replica. An authority is published before anybody serves a
 * leaf of it, and stays published until no leaf of it can be alive.
 */
export class OwnCertificates implements CertificateSource {
  readonly #options: OwnCertificatesOptions;
  readonly #secret: AuthoritySecret;
  readonly #wake: Trigger;
  readonly #backoff: Backoff;
  #leaf: ServedLeaf | undefined;
  #failure: string | undefined;
  #writtenAt = -Infinity;
  /** Leaf served and authorities trusted at the last check that passed. */
  #checked = "";
  #warned = false;
  /** Drawn once: each replica has its own time, and no later look changes it. */
  readonly #jitter: number;

  constructor(options: OwnCertificatesOptions) {
    this.#options = options;
    this.#jitter = options.random();
    this.#secret = new AuthoritySecret(options.transport, options.namespace, options.secretName);
    this.#wake = new Trigger(options.clock);
    this.#backoff = new Backoff({ ...options, firstMs: 250, maxMs: 15_000 });
  }

  get problem(): string | undefined {
    if (this.#leaf === undefined) return this.#failure ?? "no certificate has been issued yet";
    if (this.#leaf.notAfter <= this.#options.clock.wall()) return `the certificate has expired; ${this.#failure ?? ""}`;
    return undefined;
  }

  configurationChanged(): void {
    this.#wake.fire();
  }

  async run(signal: AbortSignal): Promise<void> {
    try {
      for (;;) await this.#wake.wait(await this.#tryLook(signal), signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** A look whose failure is told, waited out and tried again. @throws what no further try can mend */
  async #tryLook(signal: AbortSignal): Promise<number> {
    const { clock, log, metrics } = this.#options;
    try {
      const waitMs = await this.#look(signal);
      this.#failure = undefined;
      return waitMs;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof HygeiaError && error.code === "ListenFailed") throw error;
      const reason = error instanceof HygeiaError ? error.code : "Unexpected";
      this.#failure = error instanceof Error ? error.message : reason;
      metrics.admission.certificateErrors.inc({ reason });
      log.warn({ err: error }, "the webhook's certificates could not be seen to; it is tried again");
      await clock.sleep(this.#backoff.next(error instanceof KubeError ? error.retryAfterMs : 0), signal);
      return 0;
    }
  }

  /** @returns when to look again, in milliseconds */
  async #look(signal: AbortSignal): Promise<number> {
    const { clock, configuration, lifetimes, lookEveryMs, random } = this.#options;
    // As it was before the Secret is read: a bundle made of an old Secret must not replace a newer bundle.
    const { record } = configuration;
    const authorities = await this.#settle(signal);
    const retryMs = await this.#publish(record, bundleOf(authorities), signal);
    if (leafIsDue(authorities, this.#facts(), lifetimes)) await this.#renew(authorities.current);
    await this.#check(authorities, signal);
    this.#tell(authorities);
    const leaf = this.#leaf;
    const isMoving = authorities.next !== undefined || leaf?.authority !== authorities.current.certificate;
    return Math.max(
      50,
      Math.min(
        lookEveryMs * (0.9 + 0.2 * random()),
        retryMs ?? Infinity,
        isMoving ? lifetimes.propagationMs : Infinity,
        leaf === undefined ? Infinity : leaf.renewAt.getTime() - clock.wall().getTime(),
      ),
    );
  }

  /** Brings the Secret to where nothing is left to do. */
  async #settle(signal: AbortSignal): Promise<Authorities> {
    const { clock, lifetimes, random, log } = this.#options;
    for (let round = 0; round < ROUNDS; round++) {
      const before = await this.#secret.read(signal);
      const stored = readAuthorities(before.data, clock.wall());
      const step = nextStep(stored, this.#facts(), lifetimes);
      if (step === undefined && stored !== undefined) return stored;
      if (step?.kind === "Promote" && stored !== undefined && !(await this.#isTrusted(stored, signal))) return stored;
      if (step === undefined) continue;
      const wanted = await this.#carryOut(step, stored);
      if (await this.#secret.write(before, writeAuthorities(wanted), signal)) {
        if (step.kind === "Create" || step.kind === "Succeed")
          this.#options.metrics.admission.certificates.inc({ certificate: "Authority" });
        const { current, next } = wanted;
        const fingerprint = fingerprintOf((next ?? current).certificate);
        log.info({ step: step.kind, fingerprint }, "the webhook's certificate authorities changed");
      } else {
        await clock.sleep(50 + 200 * random(), signal);
      }
    }
    throw new HygeiaError("SecretContended", `Secret "${this.#options.secretName}" is changed by others all the time`);
  }

  async #carryOut(step: Step, stored: Authorities | undefined): Promise<Authorities> {
    if (step.kind !== "Create" && step.kind !== "Succeed") return step.authorities;
    const { clock, configuration, lifetimes } = this.#options;
    const now = clock.wall();
    // Loaded only where it is needed: with certificates from files it never is.
    const { createAuthority } = await import("./authority.ts");
    const made = await createAuthority({
      notBefore: new Date(now.getTime() - lifetimes.backdateMs),
      notAfter: new Date(now.getTime() + lifetimes.authorityMs),
    });
    if (stored !== undefined) return { ...stored, next: made };
    const published = configuration.record?.webhooks.flatMap(({ trusted }) => trusted) ?? [];
    return recreate(made, published, { now, leaf: this.#leaf }, lifetimes);
  }

  /** Asks the API server itself whether the successor is trusted: the watch may be behind. */
  async #isTrusted({ next }: Authorities, signal: AbortSignal): Promise<boolean> {
    const { configuration, configurationName, transport } = this.#options;
    if (next === undefined) return false;
    if (configuration.record === undefined) return true;
    const { webhooks } = await readWebhookConfiguration(transport, configurationName, signal);
    return webhooks.every(({ trusted }) => trusted.includes(next.certificate));
  }

  /** @returns when to try again, in milliseconds; undefined when the bundle is as it should be */
  async #publish(
    record: WebhookConfigurationRecord | undefined,
    bundle: string,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const { clock, log, metrics, random, transport } = this.#options;
    if (record === undefined || hasBundle(record, bundle)) return undefined;
    if (record.injectedByOthers) {
      if (!this.#warned)
        log.error(
          "cert-manager is told to write the webhook's caBundle: give --webhook-cert-dir, or take that annotation off",
        );
      this.#warned = true;
      return undefined;
    }
    const waitMs = this.#writtenAt + WRITE_GAP_MS - clock.monotonic();
    if (waitMs > 0) return waitMs;
    try {
      this.#writtenAt = clock.monotonic();
      await writeBundle(transport, record, bundle, signal);
      metrics.admission.bundleWrites.inc({ result: "Written" });
      log.info({ configuration: record.name }, "the webhook's authorities were written into its caBundle");
      return undefined;
    } catch (error) {
      if (!(error instanceof KubeError) || !(error.isConflict || error.isNotFound)) throw error;
      metrics.admission.bundleWrites.inc({ result: "Conflict" });
      this.#writtenAt = -Infinity;
      return 100 + 200 * random();
    }
  }

  async #renew(authority: KeyPair): Promise<void> {
    const { clock, lifetimes, log, metrics, names, random, serve } = this.#options;
    const now = clock.wall();
    const end = parseCertificate(authority.certificate)?.validToDate.getTime() ?? 0;
    const notAfter = new Date(Math.min(now.getTime() + lifetimes.leafMs, end));
    const { issueLeaf } = await import("./authority.ts");
    const notBefore = new Date(now.getTime() - lifetimes.backdateMs);
    const pair = await issueLeaf(authority, names, { notBefore, notAfter });
    await serve(pair);
    const renewAt = renewalOf(now, notAfter, random());
    this.#leaf = { ...pair, authority: authority.certificate, notAfter, renewAt };
    metrics.admission.certificates.inc({ certificate: "Leaf" });
    log.info(
      { fingerprint: fingerprintOf(pair.certificate), notAfter, renewAt },
      "the webhook serves with a new certificate",
    );
  }

  async #check(authorities: Authorities, signal: AbortSignal): Promise<void> {
    const { configuration, check } = this.#options;
    if (this.#leaf === undefined) return;
    const trusted = configuration.record?.webhooks[0]?.bundle ?? bundleOf(authorities);
    const state = `${this.#leaf.certificate}${trusted}`;
    if (state === this.#checked) return;
    if (await check(trusted, signal)) this.#checked = state;
  }

  #facts(): Facts {
    const { clock, configuration } = this.#options;
    return {
      now: clock.wall(),
      leaf: this.#leaf,
      publishedForMs: (certificate) => configuration.publishedForMs(certificate),
      jitter: this.#jitter,
    };
  }

  #tell({ current }: Authorities): void {
    const { certificateExpiry } = this.#options.metrics.admission;
    const end = parseCertificate(current.certificate)?.validToDate.getTime() ?? 0;
    certificateExpiry.set({ certificate: "Authority" }, end / 1000);
    if (this.#leaf !== undefined) certificateExpiry.set({ certificate: "Leaf" }, this.#leaf.notAfter.getTime() / 1000);
  }
}
