import type { KubeConfig } from "@kubernetes/client-node";

import { GROUP, PLURALS, VERSION } from "./api/v1alpha1/index.ts";
import { DryRuns } from "./admission/dry-run/dry-runs.ts";
import { excludedNamespaces } from "./admission/excluded-namespaces.ts";
import { mutatePod } from "./admission/mutate.ts";
import { Sites } from "./admission/sites.ts";
import type { AdmissionSnapshot } from "./admission/types.ts";
import { AdmissionWebhook } from "./admission/webhook.ts";
import type { Clock, Random } from "./clock/clock.ts";
import { logFreshness } from "./cluster/freshness-log.ts";
import { watchCluster, type WatchedCluster } from "./cluster/reflectors.ts";
import { AdmissionController } from "./controllers/admission/controller.ts";
import { InstanceController } from "./controllers/instance/instance-controller.ts";
import { PolicyAdmissionSnapshot } from "./controllers/policy/admission-snapshot.ts";
import { projectPolicy, type PolicyObject } from "./controllers/policy/compile.ts";
import { instanceEvents } from "./controllers/policy/instance-events.ts";
import { keepNamingAnnotations } from "./controllers/policy/kept-annotations.ts";
import { Policies } from "./controllers/policy/policy-set.ts";
import { wantedSysctls } from "./controllers/policy/wanted-sysctls.ts";
import { PolicyStatusController } from "./controllers/policy/controller.ts";
import { adapterFactory } from "./controllers/registry/adapter-factory.ts";
import { RegistryStatusController } from "./controllers/registry/controller.ts";
import { collectRegistryGauges } from "./controllers/registry/gauges.ts";
import { projectRegistry, type RegistryObject } from "./controllers/registry/registry-object.ts";
import { Registries } from "./controllers/registry/registry-set.ts";
import { secretsIn } from "./controllers/registry/secrets.ts";
import { admissionProblem } from "./controllers/rollout/admission.ts";
import { RolloutController } from "./controllers/rollout/controller.ts";
import { ReportController } from "./controllers/report/controller.ts";
import { storedEvictions } from "./controllers/report/stored-evictions.ts";
import type { CompiledPolicy } from "./controllers/types.ts";
import { QuorumPods } from "./eviction/quorum-pods.ts";
import { HygeiaError } from "./errors.ts";
import type { Flags } from "./flags.ts";
import { EventRecorder } from "./kube/event-recorder.ts";
import { LeaseElection } from "./kube/leader-election-elector.ts";
import { type Election, type ElectionCallbacks, electionIdentity, NoElection } from "./kube/leader-election.ts";
import { Reflector } from "./kube/reflector.ts";
import { ServerVersion } from "./kube/server-version.ts";
import { KubeTransport } from "./kube/transport.ts";
import type { Sink } from "./kube/types.ts";
import type { ReadinessCheck } from "./telemetry/http.ts";
import type { Logger } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";

export interface OperatorParts {
  readonly flags: Flags;
  readonly config: KubeConfig;
  /** Unique among all replicas that ever ran. */
  readonly identity?: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** A view of policies and nodes this old changes no pod: an API server that asks us can be reached by us too. */
const POLICIES_AGE_LIMIT_MS = 300_000;
/** How long Events on their way may take at the end. */
const LAST_EVENTS_MS = 2_000;

/** The whole operator. Nothing is asked of any server before run(). */
export class Operator {
  /** What pods that are being created are made to obey. */
  readonly admission: AdmissionSnapshot;
  readonly #parts: OperatorParts;
  readonly #transport: KubeTransport;
  readonly #cluster: WatchedCluster;
  readonly #policies: Policies;
  readonly #registries: Registries;
  readonly #server: ServerVersion;
  readonly #dryRuns: DryRuns;
  readonly #webhook: AdmissionWebhook;
  readonly #admissionPolicies: AdmissionController;
  readonly #recorder: EventRecorder;
  readonly #election: Election;
  readonly #instances: InstanceController;
  readonly #policyStatus: PolicyStatusController;
  readonly #registryStatus: RegistryStatusController;
  readonly #reports: ReportController;
  readonly #rollouts: RolloutController;
  readonly #policyReflector: Reflector<PolicyObject>;
  readonly #registryReflector: Reflector<RegistryObject>;
  readonly #clusterUid = Promise.withResolvers<string>();
  /** Aborts when a part failed by a mistake of ours: the process had better end. */
  readonly #broken = new AbortController();
  /** Ends with what is done while this replica leads; never rejects. */
  #term: Promise<void> = Promise.resolve();

  constructor(parts: OperatorParts) {
    this.#parts = parts;
    const { flags, clock, random, log, metrics } = parts;
    const identity = parts.identity ?? electionIdentity();
    this.#transport = new KubeTransport({ config: parts.config, clock, metrics: metrics.restClient });
    this.#cluster = watchCluster({
      transport: this.#transport,
      clock,
      random,
      metrics: metrics.reflector,
      relistEveryMs: flags.relistIntervalMs,
      freshForMs: flags.freshnessLimitMs,
      clusterDomain: flags.clusterDomain,
    });
    const { view } = this.#cluster;
    this.#recorder = new EventRecorder({
      transport: this.#transport,
      reportingInstance: identity,
      clock,
      random,
      log,
      metrics,
    });
    this.#policies = new Policies((namespace) => view.namespaceLabels(namespace));
    this.#registries = new Registries({
      makeAdapter: adapterFactory({ holder: identity, clock, random, metrics }),
      readSecret: secretsIn(flags.namespace, this.#transport, new Set([flags.webhook.secretName])),
      clusterUid: this.#clusterUid.promise,
      clock,
      random,
      log,
    });
    this.#server = new ServerVersion({ transport: this.#transport, clock, random });
    const excluded = excludedNamespaces(flags.namespace);
    this.#dryRuns = new DryRuns({
      transport: this.#transport,
      namespaceLabels: (namespace) => view.namespaceLabels(namespace),
      wanted: () => wantedSysctls(view.namespaceNames(), this.#policies, excluded),
      clock,
      random,
      log,
      metrics,
    });
    const sites = new Sites({
      clock,
      cluster: view,
      dns: this.#cluster.dns,
      server: this.#server,
      objections: this.#dryRuns,
    });
    this.admission = new PolicyAdmissionSnapshot(this.#policies, sites, flags.dryRun);
    this.#webhook = this.#makeWebhook(excluded);
    this.#admissionPolicies = new AdmissionController({
      mode: flags.webhook.mode,
      isWebhookInstalled: () => this.#webhook.isInstalled,
      isKnown: () => this.#knowsWhatPodsObey(),
      policies: this.#policies,
      sites,
      excluded,
      dryRun: flags.dryRun,
      transport: this.#transport,
      clock,
      random,
      log,
      metrics,
    });
    this.#policyReflector = this.#reflect(PLURALS.RegistrationPolicy, projectPolicy, this.#policies);
    this.#registryReflector = this.#reflect(PLURALS.Registry, projectRegistry, this.#registries);
    this.#election = this.#electionOf(identity);
    this.#instances = new InstanceController({
      cluster: view,
      policies: this.#policies,
      registries: this.#registries,
      live: new QuorumPods({
        transport: this.#transport,
        project: this.#cluster.projector.project,
        clock,
        random,
      }),
      stored: {
        ...storedEvictions(this.#transport),
        save: ({ name }, signal) => this.#reports.save(name, signal),
      },
      isLeader: () => this.#election.isValid(),
      requestList: () => this.#cluster.requestPodList(),
      events: instanceEvents(this.#recorder),
      metrics,
      log,
      clock,
      random,
      sweepEveryMs: flags.sweepIntervalMs,
      dryRun: flags.dryRun,
      freshForMs: flags.freshnessLimitMs,
    });
    const writing = {
      policies: this.#policies,
      registries: this.#registries,
      cluster: view,
      sites,
      excluded,
      summary: this.#instances.summary,
      admission: this.#admissionPolicies,
      transport: this.#transport,
      recorder: this.#recorder,
      freshForMs: flags.freshnessLimitMs,
      dryRun: flags.dryRun,
      clusterDomain: flags.clusterDomain,
      clock,
      random,
      log,
      metrics,
    };
    this.#policyStatus = new PolicyStatusController({
      ...writing,
      rollouts: {
        of: (policy) => this.#rollouts.of(policy),
        subscribe: (listener) => this.#rollouts.subscribe(listener),
      },
    });
    this.#rollouts = new RolloutController({
      ...writing,
      census: this.#policyStatus.census,
      admissionProblem: (policy) => this.#admissionProblem(policy),
      isLeader: () => this.#election.isValid(),
    });
    this.#registryStatus = new RegistryStatusController(writing);
    this.#reports = new ReportController({
      ...writing,
      pods: this.#policyStatus.census,
      rollouts: this.#rollouts,
    });
    this.#connect();
  }

  /** What must hold before this replica counts as ready; registries are no part of it. */
  readonly ready = (): readonly ReadinessCheck[] => {
    const kinds = {
      ...this.#cluster.freshness(),
      registrationpolicies: this.#policyReflector.freshness(),
      registries: this.#registryReflector.freshness(),
    };
    const listed = Object.entries(kinds).map(([name, { synced, problem }]) => ({
      name,
      problem: synced ? undefined : (problem?.message ?? "not listed completely yet"),
    }));
    const { problem } = this.#cluster.view.freshness(this.#parts.clock.monotonic());
    const isOther = problem?.reason === "ClusterIdentityChanged";
    const version = this.#server.minor === undefined ? "/version was not answered yet" : undefined;
    return [
      ...listed,
      ...this.#webhook.ready(),
      { name: "server-version", problem: version },
      { name: "cluster-identity", problem: isOther ? problem.message : undefined },
    ];
  };

  /**
   * Works until the signal aborts. Then nothing new is begun, what is under way may end, leadership is handed over, and
   * all connections are closed; in this order.
   * @throws what made a part fail, after the same end
   */
  async run(signal: AbortSignal): Promise<void> {
    const watches = new AbortController();
    const stop = AbortSignal.any([signal, this.#broken.signal]);
    const watching = [
      this.#cluster.run(watches.signal),
      this.#policyReflector.run(watches.signal),
      this.#registryReflector.run(watches.signal),
      this.#server.run(watches.signal),
      logFreshness(this.#cluster.view, this.#parts, watches.signal),
    ].map((part) => this.#guard(part, watches.signal));
    // Answers on for some seconds after the stop, while leadership is handed over.
    const answering = this.#guard(this.#webhook.run(stop), stop);
    try {
      await this.#guard(this.#election.run(stop), stop);
    } finally {
      watches.abort();
      await Promise.all([...watching, answering]);
      await this.#registries.close();
      await this.#recorder.close(LAST_EVENTS_MS);
      await this.#transport.close();
    }
    if (this.#broken.signal.aborted) throw this.#broken.signal.reason;
  }

  /** False while policies or the cluster are not known, or not well enough any more to change pods by it. */
  #knowsWhatPodsObey(): boolean {
    const { namespaces, nodes, services } = this.#cluster.freshness();
    const since = this.#parts.clock.monotonic() - POLICIES_AGE_LIMIT_MS;
    const current = [namespaces, nodes, this.#policyReflector.freshness()];
    const isCurrent = current.every((kind) => kind?.synced === true && kind.caughtUpTo >= since);
    return isCurrent && services?.synced === true && this.#server.minor !== undefined;
  }

  /** Why new pods would not be made to obey a policy; undefined when they would. */
  #admissionProblem({ name, generation }: CompiledPolicy): string | undefined {
    return admissionProblem({
      generation,
      isKnown: this.#knowsWhatPodsObey(),
      standing: this.#admissionPolicies.standingOf(name),
      webhookProblem: this.#webhook.problem,
      now: this.#parts.clock.monotonic(),
    });
  }

  /** Resolves when the part has ended; ends everything when it failed, or ended before it was told to. */
  async #guard(part: Promise<void>, told: AbortSignal): Promise<void> {
    try {
      await part;
      if (!told.aborted) throw new HygeiaError("PartEnded", "a part of the operator ended by itself");
    } catch (error) {
      this.#broken.abort(error);
    }
  }

  #reflect<T extends PolicyObject | RegistryObject>(
    resource: string,
    project: (raw: unknown) => T,
    sink: Sink<T>,
  ): Reflector<T> {
    const { flags, clock, random, metrics } = this.#parts;
    return new Reflector({
      transport: this.#transport,
      clock,
      random,
      path: `/apis/${GROUP}/${VERSION}/${resource}`,
      project,
      sink,
      relistEveryMs: flags.relistIntervalMs,
      metrics: metrics.reflector(resource),
    });
  }

  #makeWebhook(excluded: ReadonlySet<string>): AdmissionWebhook {
    const { flags, clock, random, log, metrics } = this.#parts;
    return new AdmissionWebhook({
      settings: flags.webhook,
      namespace: flags.namespace,
      excluded,
      transport: this.#transport,
      snapshot: () => (this.#knowsWhatPodsObey() ? this.admission : undefined),
      mutate: mutatePod,
      onRotated: () => {
        this.#dryRuns.rotated();
      },
      onInstalled: () => {
        this.#admissionPolicies.changed();
      },
      alongside: (signal) => this.#dryRuns.run(signal),
      clock,
      random,
      log,
      metrics,
    });
  }

  #electionOf(identity: string): Election {
    const { flags, clock, random, log, metrics } = this.#parts;
    const callbacks: ElectionCallbacks = {
      onStarted: (signal) => {
        log.info({ identity }, "this replica leads: it judges and acts");
        this.#term = this.#lead(signal);
      },
      onStopped: async () => {
        await this.#term;
        log.info({ identity }, "this replica leads no more: its caches stay warm");
      },
      onNewLeader: (leader) => {
        log.info({ leader }, "leader elected");
      },
    };
    if (!flags.leaderElect) return new NoElection(callbacks);
    const { namespace, leaseName: name } = flags;
    return new LeaseElection({
      transport: this.#transport,
      namespace,
      name,
      identity,
      callbacks,
      clock,
      random,
      log,
      metrics,
    });
  }

  /** Everything that only the leader does. Resolves when nothing of it is under way any more. */
  async #lead(signal: AbortSignal): Promise<void> {
    const stop = AbortSignal.any([signal, this.#broken.signal]);
    const parts = [
      this.#instances,
      this.#admissionPolicies,
      this.#policyStatus,
      this.#registryStatus,
      this.#reports,
      this.#rollouts,
    ];
    await Promise.all(parts.map((part) => this.#guard(part.run(stop), stop)));
  }

  /** Lets the parts that keep something follow what the others see. */
  #connect(): void {
    const { clock, metrics, log } = this.#parts;
    const { view } = this.#cluster;
    let isKnown = false;
    const followIdentity = (): void => {
      if (isKnown || view.clusterUid === undefined) return;
      isKnown = true;
      log.info({ clusterUid: view.clusterUid }, "cluster identified by the UID of its namespace kube-system");
      this.#clusterUid.resolve(view.clusterUid);
    };
    view.subscribe((events) => {
      followIdentity();
      if (events.some(({ kind }) => kind === "Node")) this.#admissionPolicies.changed();
      for (const event of events) {
        if (event.kind !== "Namespace") continue;
        this.#policies.namespaceChanged(event.name);
        this.#dryRuns.changed();
      }
    });
    this.#policies.subscribe(() => this.#dryRuns.changed());
    keepNamingAnnotations(this.#policies, this.#cluster);
    collectRegistryGauges(this.#registries, metrics, clock, this.#parts.flags.freshnessLimitMs);
    metrics.collect(() => {
      const { pods, tombstones } = view.counts;
      metrics.cluster.pods.set(pods);
      metrics.cluster.tombstones.set(tombstones);
      const { fresh, caughtUpTo } = view.freshness(clock.monotonic());
      metrics.cluster.fresh.set(fresh ? 1 : 0);
      metrics.cluster.viewAge.set(ageSeconds(caughtUpTo, clock));
    });
  }
}

/** Never negative; infinite while nothing is proven. */
function ageSeconds(caughtUpTo: number, clock: Clock): number {
  return Math.max(0, clock.monotonic() - caughtUpTo) / 1000;
}
