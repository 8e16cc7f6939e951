import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { connect } from "node:tls";

import { excludedNamespaces } from "../../src/admission/excluded-namespaces.ts";
import { lifetimesOf } from "../../src/admission/certificates/rotation.ts";
import type { MutatePod } from "../../src/admission/review.ts";
import type { WebhookSettings } from "../../src/admission/settings.ts";
import type { AdmissionSnapshot } from "../../src/admission/types.ts";
import { AdmissionWebhook } from "../../src/admission/webhook.ts";
import type { Clock } from "../../src/clock/clock.ts";
import { systemClock } from "../../src/clock/system.ts";
import { KubeTransport, loadKubeConfig } from "../../src/kube/transport.ts";
import { createLogger } from "../../src/telemetry/log.ts";
import { createMetrics, type Metrics } from "../../src/telemetry/metrics.ts";
import { type ControlPlane, Scope, startControlPlane, writeKubeconfig } from "../env/index.ts";
import { annotate, everywhere } from "./admission-review.ts";
import { KubeClient, type KubeObject } from "./kube-client.ts";
import { installOperator, OPERATOR_NAMESPACE, operatorToken } from "./operator-install.ts";
import { MetricsReading } from "./operator-metrics.ts";
import { eventually } from "./operator-wait.ts";
import { ServiceFront } from "./service-front.ts";
import {
  type Configuration,
  CONFIGURATION,
  CONFIGURATION_NAME,
  configureWebhook,
  leadServiceHere,
  SERVICE_NAME,
  webhookManifest,
} from "./webhook-install.ts";

export { type Configuration, CONFIGURATION } from "./webhook-install.ts";
export const SECRET = `/api/v1/namespaces/${OPERATOR_NAMESPACE}/secrets/hygeia-webhook-ca`;

export interface ReplicaOptions {
  readonly settings?: Partial<WebhookSettings>;
  readonly clock?: Clock;
  readonly snapshot?: () => AdmissionSnapshot | undefined;
  readonly mutate?: MutatePod;
}

/** The webhook of one replica, in this process, with exactly the rights that config/default gives the operator. */
export class WebhookReplica {
  readonly webhook: AdmissionWebhook;
  readonly metrics: Metrics;
  readonly #transport: KubeTransport;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;

  constructor(transport: KubeTransport, metrics: Metrics, options: ReplicaOptions, settings: WebhookSettings) {
    this.#transport = transport;
    this.metrics = metrics;
    this.webhook = new AdmissionWebhook({
      settings,
      namespace: OPERATOR_NAMESPACE,
      transport,
      excluded: excludedNamespaces(OPERATOR_NAMESPACE),
      snapshot: options.snapshot ?? (() => everywhere),
      mutate: options.mutate ?? annotate,
      clock: options.clock ?? systemClock,
      random: Math.random,
      log: createLogger({ level: "silent" }),
      metrics,
    });
    this.#ended = this.webhook.run(this.#stop.signal);
  }

  async reading(): Promise<MetricsReading> {
    return new MetricsReading(await this.metrics.render(), performance.now());
  }

  /** Requests about pods so far. */
  async requests(labels: Readonly<Record<string, string>> = {}): Promise<number> {
    return (await this.reading()).sum("hygeia_admission_requests_total", labels);
  }

  async untilReady(): Promise<void> {
    await eventually("the webhook is ready", () => {
      const checks = this.webhook.ready();
      return checks.length > 0 && checks.every(({ problem }) => problem === undefined);
    });
  }

  /** The certificate that it shows to a new connection. */
  async leaf(): Promise<X509Certificate> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port: this.webhook.port ?? 0, rejectUnauthorized: false }, () => {
        resolve(socket.getPeerX509Certificate() as X509Certificate);
        socket.destroy();
      });
      socket.once("error", reject);
    });
  }

  /** Whether the certificate that it shows is signed by this one, PEM. */
  async isIssuedBy(authority: string): Promise<boolean> {
    return (await this.leaf()).checkIssued(new X509Certificate(authority));
  }

  /** Stops it as the operator does, answering for a few seconds more. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
    await this.#transport.close();
  }
}

/**
 * A real API server of its own, on which config/default is installed with its MutatingWebhookConfiguration. Only where the
 * Service leads is the tests' own: it is of type ExternalName, which the API server's resolver takes for this machine.
 */
export class WebhookStage {
  readonly controlPlane: ControlPlane;
  readonly client: KubeClient;
  readonly front: ServiceFront;
  readonly #scope: Scope;
  readonly #manifest: Configuration;
  readonly #replicas = new Set<WebhookReplica>();
  #count = 0;

  private constructor(scope: Scope, controlPlane: ControlPlane, front: ServiceFront, manifest: Configuration) {
    this.#scope = scope;
    this.controlPlane = controlPlane;
    this.front = front;
    this.#manifest = manifest;
    this.client = new KubeClient(controlPlane);
    front.setBackends(() => [...this.#replicas].map(({ webhook }) => webhook.port));
  }

  /**
   * @param options parts of the control plane besides the API server, none by default; and the directory in config/ that
   * the MutatingWebhookConfiguration is from
   */
  static async start({
    configuration = "default",
    ...parts
  }: {
    readonly controllerManager?: boolean;
    readonly scheduler?: boolean;
    readonly configuration?: "default" | "default-certmanager";
  } = {}): Promise<WebhookStage> {
    const scope = new Scope();
    try {
      const controlPlane = await startControlPlane({
        ...parts,
        scope,
        // Pods are created here, and no controller makes the ServiceAccounts that they would need.
        apiserverFlags: ["--disable-admission-plugins=ServiceAccount"],
      });
      await installOperator(controlPlane);
      const manifest = await webhookManifest(controlPlane, configuration);
      const stage = new WebhookStage(scope, controlPlane, await ServiceFront.start(), manifest);
      await leadServiceHere(stage.client);
      return stage;
    } catch (error) {
      await scope.stop();
      throw error;
    }
  }

  /** Installs the configuration of config/default, or makes it anew without a bundle. */
  async configure(): Promise<void> {
    await configureWebhook(this.client, this.#manifest, this.front.port);
  }

  /** The PEM text that the API server trusts, empty when there is none. */
  async bundle(): Promise<string> {
    const { webhooks } = await this.client.get<Configuration>(CONFIGURATION);
    return Buffer.from(webhooks[0]?.clientConfig.caBundle ?? "", "base64").toString();
  }

  async startReplica(options: ReplicaOptions = {}): Promise<WebhookReplica> {
    const kubeconfig = writeKubeconfig(join(this.#scope.directory(`replica-${++this.#count}`), "kubeconfig"), {
      ...this.controlPlane,
      token: await operatorToken(this.controlPlane),
    });
    const metrics = createMetrics({ version: "test" });
    const clock = options.clock ?? systemClock;
    const transport = new KubeTransport({
      config: await loadKubeConfig(kubeconfig),
      clock,
      metrics: metrics.restClient,
    });
    const replica = new WebhookReplica(transport, metrics, options, {
      mode: "webhook",
      address: "127.0.0.1:0",
      certificateDirectory: undefined,
      serviceName: SERVICE_NAME,
      configurationName: CONFIGURATION_NAME,
      secretName: "hygeia-webhook-ca",
      lifetimes: lifetimesOf(365 * 86_400_000, 7 * 86_400_000),
      lookEveryMs: 500,
      ...options.settings,
    });
    this.#replicas.add(replica);
    return replica;
  }

  /** Stops a replica; nothing new is sent to it from now on. */
  async stopReplica(replica: WebhookReplica): Promise<void> {
    this.#replicas.delete(replica);
    await replica.stop();
  }

  /** Stops all replicas and takes away what they share. */
  async clear(): Promise<void> {
    await Promise.all([...this.#replicas].map((replica) => this.stopReplica(replica)));
    this.front.setSilent(false);
    await this.client.delete(CONFIGURATION);
    await this.client.delete(SECRET);
  }

  /** A port of 127.0.0.1 for an operator to listen at, its own until the stage stops. */
  async freePort(): Promise<number> {
    const [port = 0] = await this.#scope.ports(1);
    return port;
  }

  async createNamespace(name: string, labels: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.client.create("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
  }

  /** Creates a pod and returns it as the API server has it. @throws KubeApiError */
  async createPod(
    namespace: string,
    metadata: object = {},
    spec: object = {},
    query: Readonly<Record<string, string>> = {},
  ): Promise<KubeObject> {
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { generateName: "web-", ...metadata },
      spec: {
        containers: [
          {
            name: "app",
            image: "app",
            securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
          },
        ],
        securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
        ...spec,
      },
    };
    return this.client.create(`/api/v1/namespaces/${namespace}/pods`, pod, query);
  }

  /** Goes on creating pods, a few at a time, and looks at each, until it is told to stop. */
  createContinuously(namespace: string): { readonly stop: () => Promise<{ created: number; unchanged: number }> } {
    const figures = { created: 0, unchanged: 0 };
    let stopped = false;
    const creating = Array.from({ length: 4 }, async () => {
      while (!stopped) {
        const pod = await this.createPod(namespace, {}, {}, { dryRun: "All" });
        figures.created += 1;
        if (!isMutated(pod)) figures.unchanged += 1;
      }
    });
    return {
      stop: async () => {
        stopped = true;
        await Promise.all(creating);
        return figures;
      },
    };
  }

  /** Waits until a pod that is created comes out changed. */
  async untilMutating(namespace: string): Promise<void> {
    await eventually("the API server has pods changed", async () =>
      isMutated(await this.createPod(namespace, {}, {}, { dryRun: "All" })),
    );
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#replicas].map((replica) => this.stopReplica(replica)));
    await this.client.close();
    await this.front.close();
    await this.#scope.stop();
  }
}

/** True when `annotate` has been at this pod. */
export function isMutated({ metadata }: KubeObject): boolean {
  return metadata.annotations?.["test/mutated"] === "yes";
}
