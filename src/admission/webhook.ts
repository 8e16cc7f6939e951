import type { Clock, Random } from "../clock/clock.ts";
import { Reflector } from "../kube/reflector.ts";
import type { KubeTransport } from "../kube/transport.ts";
import type { ReadinessCheck } from "../telemetry/http.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { FileCertificates } from "./certificates/file-certificates.ts";
import { OwnCertificates } from "./certificates/own-certificates.ts";
import type { CertificateSource } from "./certificates/source.ts";
import { handshakeProblem } from "./handshake.ts";
import type { MutatePod } from "./review.ts";
import type { WebhookSettings } from "./settings.ts";
import { WEBHOOK_PATH, WebhookServer } from "./server.ts";
import type { AdmissionSnapshot } from "./types.ts";
import {
  projectWebhookConfiguration,
  WEBHOOK_CONFIGURATIONS,
  WebhookConfiguration,
  type WebhookConfigurationRecord,
} from "./webhook-configuration.ts";

export interface WebhookOptions {
  readonly settings: WebhookSettings;
  /** The operator's own. */
  readonly namespace: string;
  /** Namespaces whose pods are never changed. */
  readonly excluded: ReadonlySet<string>;
  readonly transport: KubeTransport;
  /** Undefined while it can not answer yet. */
  readonly snapshot: () => AdmissionSnapshot | undefined;
  readonly mutate: MutatePod;
  /** Called after a new certificate is in use and published, as far as that is ours. Must not throw. */
  readonly onRotated?: () => void;
  /** Called when it is known, or known otherwise, whether the webhook is installed. */
  readonly onInstalled?: () => void;
  /** Works unless nothing is admitted at all, until the signal aborts. */
  readonly alongside?: (signal: AbortSignal) => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** After a stop is asked for, the API server goes on calling until the EndpointSlice has reached it. */
const LINGER_MS = 5_000;
const LAST_ANSWERS_MS = 2_000;
/** A kubelet takes longer than this to bring new files. */
const FILES_EVERY_MS = 10_000;
/** A configuration changes seldom; what takes the bundle out is seen by the watch within milliseconds all the same. */
const WATCH_SECONDS = 120;

/** The admission webhook of one replica, leader or not: server, certificate, and the bundle in the configuration. */
export class AdmissionWebhook {
  readonly #options: WebhookOptions;
  readonly #server: WebhookServer;
  readonly #source: CertificateSource;
  readonly #configuration: WebhookConfiguration;
  readonly #exists = Promise.withResolvers<undefined>();
  #isOn = false;
  #isStopping = false;
  #saidOff = false;
  #saidUnseen = false;

  /** @throws HygeiaError `BadBindAddress` */
  constructor(options: WebhookOptions) {
    this.#options = options;
    const { settings, clock, random, log, metrics, namespace, transport } = options;
    this.#server = new WebhookServer({
      address: settings.address,
      snapshot: options.snapshot,
      mutate: options.mutate,
      exemptNamespaces: options.excluded,
      clock,
      log,
      metrics,
    });
    this.#configuration = new WebhookConfiguration(clock, () => {
      this.#configurationChanged();
    });
    const common = { serve: this.#server.use.bind(this.#server), clock, random, log, metrics };
    this.#source =
      settings.certificateDirectory === undefined
        ? new OwnCertificates({
            ...common,
            transport,
            namespace,
            secretName: settings.secretName,
            names: [this.#serverName],
            configuration: this.#configuration,
            configurationName: settings.configurationName,
            lifetimes: settings.lifetimes,
            lookEveryMs: settings.lookEveryMs,
            check: (trusted, signal) => this.#check(trusted, signal),
          })
        : new FileCertificates({
            ...common,
            directory: settings.certificateDirectory,
            onServed: () => options.onRotated?.(),
            lookEveryMs: Math.min(FILES_EVERY_MS, settings.lookEveryMs),
          });
  }

  /** The port really bound; undefined while it does not listen. */
  get port(): number | undefined {
    return this.#server.port;
  }

  /** Whether its MutatingWebhookConfiguration exists; undefined while that is not known, or not asked. */
  get isInstalled(): boolean | undefined {
    return this.#configuration.isListed ? this.#configuration.record !== undefined : undefined;
  }

  /** What must hold before the API server may be sent here; nothing while the webhook is off. */
  ready(): readonly ReadinessCheck[] {
    if (!this.#isOn) return [];
    const problem = this.#isStopping
      ? "it is being stopped"
      : (this.#source.problem ?? (this.#server.port === undefined ? "it does not listen yet" : undefined));
    return [{ name: "webhook", problem }];
  }

  /** Why this replica's webhook does not change new pods; undefined when it does, as far as is known. */
  get problem(): string | undefined {
    const { settings } = this.#options;
    if (!this.#isOn || (settings.certificateDirectory === undefined && this.#configuration.record === undefined)) {
      return `there is no MutatingWebhookConfiguration ${settings.configurationName}`;
    }
    return this.ready().find(({ problem }) => problem !== undefined)?.problem;
  }

  /**
   * Works until the signal aborts, and then goes on answering for a few seconds, until nobody asks any more.
   * @throws HygeiaError `ListenFailed`
   */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, settings } = this.#options;
    if (settings.mode === "none") log.info("admission: none, as --admission says: no pod is changed");
    if (settings.mode === "policy") log.info("admission: policy, as --admission says: the API server changes pods");
    try {
      await Promise.all([this.#watch(signal), this.#serve(signal)]);
    } finally {
      this.#isStopping = true;
      this.#server.drain();
      if (this.#server.port !== undefined) await clock.sleep(LINGER_MS);
      await this.#server.close(LAST_ANSWERS_MS);
    }
  }

  async #serve(signal: AbortSignal): Promise<void> {
    const { alongside, settings } = this.#options;
    await Promise.all([this.#answer(signal), settings.mode === "none" ? undefined : alongside?.(signal)]);
  }

  async #answer(signal: AbortSignal): Promise<void> {
    const { log, settings } = this.#options;
    const stopped = abortOf(signal);
    if (settings.mode === "none" || settings.mode === "policy") await stopped;
    if (settings.mode === "auto") await Promise.race([this.#exists.promise, stopped]);
    if (signal.aborted) return;
    this.#isOn = true;
    log.info({ configuration: settings.configurationName, path: WEBHOOK_PATH }, "admission: webhook");
    await this.#source.run(signal);
  }

  get #serverName(): string {
    return `${this.#options.settings.serviceName}.${this.#options.namespace}.svc`;
  }

  /** Watches our configuration, where there is anything to learn from it. */
  async #watch(signal: AbortSignal): Promise<void> {
    const { clock, log, metrics, random, settings, transport } = this.#options;
    const isOurBundle = settings.certificateDirectory === undefined;
    if (settings.mode === "none" || settings.mode === "policy") return;
    if (settings.mode === "webhook" && !isOurBundle) return;
    const reflector = new Reflector<WebhookConfigurationRecord>({
      transport,
      clock,
      random,
      path: WEBHOOK_CONFIGURATIONS,
      fieldSelector: `metadata.name=${settings.configurationName}`,
      project: projectWebhookConfiguration,
      sink: this.#configuration,
      metrics: metrics.reflector("mutatingwebhookconfigurations"),
      onFreshness: ({ problem, synced }) => {
        if (problem === undefined || synced || this.#saidUnseen) return;
        this.#saidUnseen = true;
        log.warn({ configuration: settings.configurationName, problem }, "the webhook's configuration can not be seen");
      },
      barrierEveryMs: Infinity,
      watchSeconds: WATCH_SECONDS,
    });
    await reflector.run(signal);
  }

  #configurationChanged(): void {
    const { log, settings } = this.#options;
    if (this.#configuration.record !== undefined) this.#exists.resolve(undefined);
    else if (!this.#saidOff) {
      this.#saidOff = true;
      log.info(
        { configuration: settings.configurationName, mode: settings.mode },
        "there is no such MutatingWebhookConfiguration: no pod is changed until there is one",
      );
    }
    this.#source.configurationChanged();
    this.#options.onInstalled?.();
  }

  /** Connects as the API server would; says loudly when it would refuse. */
  async #check(trusted: string, signal: AbortSignal): Promise<boolean> {
    const { clock, log, metrics, onRotated } = this.#options;
    const { host, port } = this.#server.reachableAt ?? { host: "", port: 0 };
    const problem = await handshakeProblem({ host, port, serverName: this.#serverName, trusted, clock, signal });
    metrics.admission.trusted.set({ check: "Handshake" }, problem === undefined ? 1 : 0);
    metrics.admission.checks.inc({ check: "Handshake", result: problem === undefined ? "Passed" : "Failed" });
    if (problem === undefined) onRotated?.();
    else log.error({ problem }, "the API server can not trust the webhook's certificate: pods are created unchanged");
    return problem === undefined;
  }
}

async function abortOf(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
