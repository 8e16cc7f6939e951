import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

import { admissionMetrics } from "./admission-metrics.ts";

/** Bounds in seconds from 10 microseconds to 1,000 s, for waiting and working times in queues. */
const queueSeconds = [1e-5, 1e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1, 10, 100, 1000];
/** The bounds of controller-runtime, so that its dashboards fit. */
const reconcileSeconds = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 1.75, 2,
  2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
];
/** The bounds of Kubernetes' own clients, with finer ones below. */
const requestSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];
/** Dense around the targets of 40 ms (p50) and 150 ms (p99). */
const evictionSeconds = [
  0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2.5, 5, 10, 30, 60,
];

/** Runs before each scrape to set gauges that are read off rather than counted. Must be quick; may throw. */
type Collector = () => void;

interface MetricsOptions {
  /** Of this program, for `hygeia_build_info`. */
  readonly version: string;
  /** The git commit it was built from; empty when that is not known. */
  readonly commit?: string;
  /** Also report memory, CPU, garbage collection and event-loop delay of this process. Default false. */
  readonly processMetrics?: boolean;
}

/** What a metric is, as docs/metrics.md tells it. */
export interface MetricDescription {
  readonly name: string;
  readonly type: "Counter" | "Gauge" | "Histogram";
  readonly help: string;
  readonly labels: readonly string[];
}

/** Everything this program measures. */
export type Metrics = ReturnType<typeof createMetrics>;

/**
 * Declares every metric of the operator in a registry of its own. Names of client-go and controller-runtime are kept
 * where the thing measured is the same; the rest begins with `hygeia_`. Every label takes few values: names of Registry
 * and policy objects, and constants of ours; never a pod, an instance or an address.
 */
export function createMetrics(options: MetricsOptions) {
  const registry = new Registry();
  const registers = [registry];
  const collectors = new Set<Collector>();

  const descriptions: MetricDescription[] = [];
  const declare = <L extends string>(
    type: MetricDescription["type"],
    name: string,
    help: string,
    labels: readonly L[],
  ) => {
    descriptions.push({ name, type, help, labels });
    return { name, help, labelNames: [...labels], registers };
  };

  const counter = <L extends string = never>(name: string, help: string, labels: readonly L[] = []) =>
    new Counter<L>(declare("Counter", name, help, labels));
  const gauge = <L extends string = never>(name: string, help: string, labels: readonly L[] = []) =>
    new Gauge<L>(declare("Gauge", name, help, labels));
  const histogram = <L extends string>(name: string, help: string, labels: readonly L[], buckets: number[]) =>
    new Histogram<L>({ ...declare("Histogram", name, help, labels), buckets });

  if (options.processMetrics === true) collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 50 });

  gauge("hygeia_build_info", "Always 1; the labels say what runs.", ["version", "commit", "node"]).set(
    { version: options.version, commit: options.commit ?? "", node: process.versions.node },
    1,
  );

  const collectorErrors = counter(
    "hygeia_collector_errors_total",
    "Times a figure could not be read off for a scrape.",
  );
  const restRequests = counter(
    "rest_client_requests_total",
    "Requests to the API server, by HTTP status code, method and host.",
    ["code", "method", "host"],
  );
  const restSeconds = histogram(
    "rest_client_request_duration_seconds",
    "Time from the start of a request to the API server until its answer was complete (watch: until it opened).",
    ["verb", "host"],
    requestSeconds,
  );

  const reflectorLists = counter("hygeia_reflector_lists_total", "Complete lists of a resource, by result.", [
    "resource",
    "result",
  ]);
  const reflectorWatchErrors = counter(
    "hygeia_reflector_watch_errors_total",
    "Watches that ended by an error, by reason.",
    ["resource", "reason"],
  );
  const reflectorEvents = counter("hygeia_reflector_events_total", "Watch events other than bookmarks.", ["resource"]);
  const reflectorFailures = counter(
    "hygeia_reflector_handler_failures_total",
    "Objects or changes that our own code failed to take in; the next list heals it.",
    ["resource", "handler"],
  );

  return {
    workqueue: {
      depth: gauge("workqueue_depth", "Keys that wait for a worker.", ["name"]),
      adds: counter("workqueue_adds_total", "Keys added, without those that waited already.", ["name"]),
      queueDuration: histogram(
        "workqueue_queue_duration_seconds",
        "Time a key waited in the queue before a worker took it.",
        ["name"],
        queueSeconds,
      ),
      workDuration: histogram("workqueue_work_duration_seconds", "Time to process a key.", ["name"], queueSeconds),
      unfinishedWork: gauge(
        "workqueue_unfinished_work_seconds",
        "Sum of the ages of all work under way; grows steadily when a worker is stuck.",
        ["name"],
      ),
      longestRunning: gauge(
        "workqueue_longest_running_processor_seconds",
        "Age of the work that is under way for longest.",
        ["name"],
      ),
      retries: counter("workqueue_retries_total", "Keys added to be processed after a delay.", ["name"]),
    },

    controller: {
      total: counter("controller_runtime_reconcile_total", "Reconciliations by result.", ["controller", "result"]),
      errors: counter("controller_runtime_reconcile_errors_total", "Reconciliations that failed.", ["controller"]),
      terminalErrors: counter(
        "controller_runtime_terminal_reconcile_errors_total",
        "Reconciliations that failed for good and are not tried again.",
        ["controller"],
      ),
      panics: counter(
        "controller_runtime_reconcile_panics_total",
        "Reconciliations that failed by a mistake in the program.",
        ["controller"],
      ),
      timeouts: counter(
        "controller_runtime_reconcile_timeouts_total",
        "Reconciliations that were told to stop at their deadline.",
        ["controller"],
      ),
      seconds: histogram(
        "controller_runtime_reconcile_time_seconds",
        "Time of one reconciliation.",
        ["controller"],
        reconcileSeconds,
      ),
      activeWorkers: gauge("controller_runtime_active_workers", "Workers that reconcile now.", ["controller"]),
      maxConcurrent: gauge(
        "controller_runtime_max_concurrent_reconciles",
        "Workers that may reconcile at the same time.",
        ["controller"],
      ),
    },

    leader: {
      status: gauge("leader_election_master_status", "1 while this process leads, else 0.", ["name"]),
      slowpath: counter(
        "leader_election_slowpath_total",
        "Renewals that had to read the lease again before writing it.",
        ["name"],
      ),
    },

    restClient: {
      /** Counts one call to the API server; `code` is `<error>` when no answer came. */
      completed(call: {
        readonly code: string;
        readonly method: string;
        readonly host: string;
        readonly seconds: number;
      }): void {
        restRequests.inc({ code: call.code, method: call.method, host: call.host });
        restSeconds.observe({ verb: call.method, host: call.host }, call.seconds);
      },
    },

    /** What one reflector tells, under the plural name of its resource. */
    reflector: (resource: string) => ({
      listed(): void {
        reflectorLists.inc({ resource, result: "success" });
      },
      listFailed(): void {
        reflectorLists.inc({ resource, result: "error" });
      },
      watchEnded(reason: string): void {
        if (reason !== "End") reflectorWatchErrors.inc({ resource, reason });
      },
      events(count: number): void {
        reflectorEvents.inc({ resource }, count);
      },
      handlerFailed(handler: string): void {
        reflectorFailures.inc({ resource, handler });
      },
    }),

    cluster: {
      viewAge: gauge(
        "hygeia_cluster_view_age_seconds",
        "How old the oldest fact in the cluster view can be; evictions pause above the freshness limit.",
      ),
      fresh: gauge("hygeia_cluster_fresh", "1 while verdicts can rest on the cluster view, else 0."),
      pods: gauge("hygeia_pods", "Pods in the cluster view."),
      tombstones: gauge("hygeia_tombstones", "Ended pods that are remembered."),
    },

    policies: {
      pods: gauge(
        "hygeia_policy_pods",
        "Pods a policy is in charge of, by how they stand to what it wants of pods (Compliant, Drifted, Exempt, Unknown).",
        ["policy", "state"],
      ),
    },

    rollouts: {
      total: counter(
        "hygeia_rollouts_total",
        "Workloads of a policy that were begun (Started) or ended, by strategy and result.",
        ["policy", "strategy", "result"],
      ),
      workloads: gauge(
        "hygeia_rollout_workloads",
        "Workloads in the roll-out of a policy's present generation, by state (Done, Current, Pending, Failed, NotPossible).",
        ["policy", "state"],
      ),
      stopped: gauge("hygeia_rollout_stopped", "1 while a failed workload stops a policy's roll-out, else 0.", [
        "policy",
      ]),
      podEvictions: counter(
        "hygeia_rollout_pod_evictions_total",
        "Pods that a roll-out asked to be evicted, by the API server's answer (Evicted, Refused, Changed).",
        ["result"],
      ),
    },

    registry: {
      viewAge: gauge(
        "hygeia_registry_view_age_seconds",
        "How old the oldest fact in the view of a registry can be; evictions pause above the freshness limit.",
        ["registry"],
      ),
      fresh: gauge("hygeia_registry_fresh", "1 while the view of a registry can be acted on, else 0.", ["registry"]),
      problem: gauge(
        "hygeia_registry_problem",
        "1 while a registry is not reachable or its content not known, by the reason of its condition; else absent.",
        ["registry", "reason"],
      ),
      mode: gauge("hygeia_registry_mode", "1 for the mode a registry is in, 0 for the other.", ["registry", "mode"]),
      instances: gauge("hygeia_registry_instances", "Instances a registry lists.", ["registry"]),
      ignoredEntries: gauge(
        "hygeia_registry_ignored_entries",
        "Entries under our prefixes that are no instances, by reason.",
        ["registry", "reason"],
      ),
      requestSeconds: histogram(
        "hygeia_registry_request_duration_seconds",
        "Time of one request to a registry, by operation and result.",
        ["registry", "operation", "result"],
        requestSeconds,
      ),
      lists: counter("hygeia_registry_lists_total", "Complete reads of a registry's content, by cause.", [
        "registry",
        "cause",
      ]),
      repaired: counter(
        "hygeia_registry_repaired_total",
        "Records that a compare with a registry had to correct, because the watch had missed them.",
        ["registry"],
      ),
      errors: counter("hygeia_registry_errors_total", "Failed requests and broken watches, by reason.", [
        "registry",
        "reason",
      ]),
    },

    instances: {
      byVerdict: gauge("hygeia_instances", "Instances in a registry by policy in charge and verdict.", [
        "policy",
        "registry",
        "verdict",
      ]),
      judgements: counter("hygeia_judgements_total", "Judgements of an instance, by verdict.", ["verdict"]),
    },

    evictions: {
      total: counter("hygeia_evictions_total", "Evictions by evidence class and result.", [
        "policy",
        "registry",
        "class",
        "result",
      ]),
      latency: histogram(
        "hygeia_eviction_latency_seconds",
        "Time from the death seen to the registry's acknowledgement of the eviction.",
        ["registry", "class"],
        evictionSeconds,
      ),
      stepSeconds: histogram(
        "hygeia_eviction_step_duration_seconds",
        "Time of one step of an eviction: Confirm (the last look at pods and registry), Write, Verify (the read after it).",
        ["registry", "step"],
        evictionSeconds,
      ),
      blocked: counter("hygeia_blocked_evictions_total", "Evictions that were due and held back, by reason.", [
        "policy",
        "reason",
      ]),
      budgetLeft: gauge("hygeia_budget_left", "Evictions that a policy's budget would allow in a registry at once.", [
        "policy",
        "registry",
      ]),
      selfPreservation: gauge(
        "hygeia_self_preservation",
        "1 while evictions of unexplained deaths are stopped, else 0.",
        ["registry"],
      ),
    },

    releases: {
      total: counter("hygeia_releases_total", "Releases of entries that were in quarantine, by result.", [
        "policy",
        "registry",
        "result",
      ]),
      quarantines: gauge(
        "hygeia_quarantines",
        "Entries that a policy took out of rotation and that may be out of it still.",
        ["policy"],
      ),
    },

    admission: admissionMetrics({ counter, gauge, histogram }),

    events: {
      dropped: counter("hygeia_events_dropped_total", "Events that were not written, by cause.", ["cause"]),
    },

    /** Every metric but those of the process itself, as declared. */
    descriptions: descriptions as readonly MetricDescription[],

    /** The media type of {@link render}. */
    contentType: registry.contentType,

    /** Adds a collector; the returned function takes it out again. */
    collect(collector: Collector): () => void {
      collectors.add(collector);
      return () => void collectors.delete(collector);
    },

    /** Everything in the text format of Prometheus. A collector that throws leaves its gauges as they were. */
    async render(): Promise<string> {
      for (const collector of collectors) {
        try {
          collector();
        } catch {
          // Old figures are better than no figures at all.
          collectorErrors.inc();
        }
      }
      return registry.metrics();
    },

    /** Drops every series with this label value: the Registry or policy object of that name is gone. */
    async forget(label: "registry" | "policy", value: string): Promise<void> {
      for (const metric of registry.getMetricsAsArray()) {
        if (!(metric instanceof Counter || metric instanceof Gauge || metric instanceof Histogram)) continue;
        const { values } = await metric.get();
        for (const { labels } of values as { labels: Record<string, string | number | undefined> }[]) {
          if (labels[label] !== value) continue;
          const series = Object.entries(labels).filter(([name]) => name !== "le");
          metric.remove(Object.fromEntries(series) as Record<string, string>);
        }
      }
    },
  };
}
