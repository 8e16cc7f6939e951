import { InstanceController } from "../../src/controllers/instance/instance-controller.ts";
import { projectPolicy, type PolicyObject } from "../../src/controllers/policy/compile.ts";
import { Policies } from "../../src/controllers/policy/policy-set.ts";
import { projectRegistry, type RegistryObject } from "../../src/controllers/registry/registry-object.ts";
import { Registries } from "../../src/controllers/registry/registry-set.ts";
import type { EvictionEntry, InstanceCounts } from "../../src/controllers/types.ts";
import type { Change } from "../../src/kube/types.ts";
import type { Decision } from "../../src/plan/types.ts";
import { MemoryRegistry } from "../../src/registry/memory/registry.ts";
import type { RegistryAdapter } from "../../src/registry/port.ts";
import { createLogger } from "../../src/telemetry/log.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import type { Judgement, VerdictKind } from "../../src/verdict/types.ts";
import { ApiPods } from "./api-pods.ts";
import { ClusterViewFixture, type PodSpec, rawNode, rawPod } from "./cluster-view-fixture.ts";
import { memoryAdapter, register, type Registration } from "./memory-registry.ts";
import { MetricsReading } from "./operator-metrics.ts";

export const REGISTRY = "main";
export const POLICY = "all";

interface PolicyShape {
  readonly name?: string;
  readonly uid?: string;
  readonly mode?: "Audit" | "Enforce" | "Paused";
  readonly match?: object;
  readonly priority?: number;
  /** None at all makes it a policy about pods only. */
  readonly registries?: readonly string[];
  readonly service?: object;
  readonly zombies?: object;
}

interface Line extends Readonly<Record<string, unknown>> {
  readonly msg: string;
}

/**
 * The instance controller on a clock that stands still, with the real policies, registries and cluster view around it;
 * in the place of the servers stand a registry inside the process and the pods that an API server would answer with.
 */
export class InstanceStage {
  readonly cluster = new ClusterViewFixture();
  readonly clock = this.cluster.clock;
  readonly api = new ApiPods();
  readonly server = new MemoryRegistry(this.clock, { quarantine: true });
  readonly metrics = createMetrics({ version: "0" });
  readonly lines: Line[] = [];
  /** What was told to people: `evicted ID RESULT`, `released ID POD` and `judged ID VERDICT`. */
  readonly told: string[] = [];
  /** Policies whose status would be looked at again. */
  readonly changed: string[] = [];
  readonly policies: Policies;
  readonly registries: Registries;
  readonly controller: InstanceController;
  /** Replaces methods of the adapter. */
  disturbed: Partial<RegistryAdapter> = {};
  /** The adapter as it is when nothing is disturbed. */
  plain: RegistryAdapter | undefined;
  /** What the report of a policy says when this replica begins to lead. */
  report: (policy: string) => Promise<readonly EvictionEntry[]> = () => Promise.resolve([]);
  /** Waited for by each write of a report that an act waits for. */
  saved: () => Promise<void> = () => Promise.resolve();
  leads = true;
  lists = 0;
  #term = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: { readonly sweepEveryMs?: number; readonly dryRun?: boolean } = {}) {
    const { clock, cluster, metrics } = this;
    const log = createLogger({
      level: "debug",
      destination: { write: (line) => void this.lines.push(JSON.parse(line) as Line) },
    });
    const random = (): number => 0.5;
    this.policies = new Policies((namespace) => cluster.view.namespaceLabels(namespace));
    this.registries = new Registries({
      makeAdapter: (name) => ({ adapter: this.#adapter(name), reconfigure: () => undefined }),
      readSecret: () => Promise.resolve(undefined),
      clusterUid: Promise.resolve("cluster-1"),
      clock,
      random,
      log,
    });
    this.controller = new InstanceController({
      cluster: cluster.view,
      policies: this.policies,
      registries: this.registries,
      live: this.api,
      stored: { read: ({ name }) => this.report(name), save: () => this.saved() },
      isLeader: () => this.leads,
      requestList: () => {
        this.lists++;
      },
      events: {
        evicted: (_, entry: EvictionEntry) => void this.told.push(`evicted ${entry.id} ${entry.result}`),
        released: (_, { id }, { owner }) => void this.told.push(`released ${id} ${owner.name}`),
        judged: (_, judgement: Judgement, _before: VerdictKind | undefined, decision: Decision | undefined) => {
          const blocked = decision?.act === "None" ? ` ${decision.blockedBy}` : "";
          this.told.push(`judged ${judgement.record.id} ${judgement.verdict.kind}${blocked}`);
        },
      },
      metrics,
      log,
      clock,
      random,
      sweepEveryMs: options.sweepEveryMs ?? 30_000,
      dryRun: options.dryRun ?? false,
      freshForMs: 15_000,
    });
    this.controller.summary.subscribe((policy) => this.changed.push(policy));
    cluster.nodes.set(rawNode({ name: "node-1", addresses: ["192.168.0.1"], podCIDRs: ["10.42.0.0/16"] }));
    cluster.namespace("kube-system");
    cluster.namespace("shop", "shop", { team: "shop" });
    this.registry();
    this.policy();
  }

  /** Becomes leader, and works until everything is settled. */
  async start(): Promise<void> {
    this.leads = true;
    this.#term = new AbortController();
    this.#running = this.controller.run(this.#term.signal);
    await this.advance(0);
  }

  /** Loses leadership. */
  async end(): Promise<void> {
    this.leads = false;
    const ended = this.endGracefully();
    await this.advance(15_000);
    await ended;
  }

  /** Is told to end its term, and leads until it has. */
  async endGracefully(): Promise<void> {
    this.#term.abort();
    await this.#running;
    this.#running = undefined;
  }

  get isWorking(): boolean {
    return this.#running !== undefined;
  }

  async stop(): Promise<void> {
    if (this.#running !== undefined) await this.end();
    const closing = this.registries.close();
    await this.advance(20_000);
    await closing;
  }

  async advance(ms: number): Promise<void> {
    await this.clock.advance(ms);
  }

  /** Creates or changes a policy; mode Enforce unless something else is said. */
  policy(shape: PolicyShape = {}): void {
    const previous = this.policies.object(shape.name ?? POLICY);
    const object = policyObject(shape, (previous?.generation ?? 0) + 1);
    this.policies.apply([
      previous === undefined
        ? { type: "Added", object, createdAfter: -Infinity }
        : { type: "Modified", object, previous },
    ]);
  }

  deletePolicy(name = POLICY): void {
    const object = this.policies.object(name);
    if (object !== undefined) this.policies.apply([{ type: "Deleted", object, final: true }]);
  }

  registry(shape: { readonly name?: string; readonly uid?: string; readonly deleted?: boolean } = {}): void {
    const { name = REGISTRY, uid = `uid-${name}`, deleted = false } = shape;
    const object = registryObject(name, uid);
    const change: Change<RegistryObject> = deleted
      ? { type: "Deleted", object, final: true }
      : { type: "Added", object, createdAfter: -Infinity };
    this.registries.apply([change]);
  }

  /** A pod appears or changes, in the view and in the API. */
  pod(spec: PodSpec): void {
    const raw = rawPod(spec);
    this.cluster.pods.set(raw, this.clock.monotonic());
    this.api.set(this.cluster.projector.project(raw));
  }

  /** It ends by its kubelet's word, seen by one event; its object stays. */
  kill(spec: PodSpec): void {
    const raw = rawPod({ ...spec, phase: "Succeeded", container: "terminated" });
    this.cluster.pods.set(raw);
    this.api.set(this.cluster.projector.project(raw));
  }

  /** Its object leaves as it is: with a container that runs, nobody knows what became of that. */
  vanish(spec: PodSpec): void {
    this.cluster.pods.delete(rawPod({ ...spec, deleting: true }));
    this.api.delete(spec.uid ?? `uid-${spec.name}`);
  }

  register(id: string, ip: string, registration?: Registration): void {
    register(this.server, id, ip, registration);
  }

  isListed(id: string): boolean {
    return this.server.get(id) !== undefined;
  }

  isQuarantined(id: string): boolean | undefined {
    return this.server.get(id)?.quarantined;
  }

  /** A pod that has registered itself, known as Live by the time this returns. */
  async living(spec: PodSpec, id: string, registration?: Registration): Promise<void> {
    this.pod(spec);
    this.register(id, spec.ips?.[0] ?? "", registration);
    await this.start();
    await this.#untilLive(1);
  }

  /** Pods of one service with a registration each, `/shop/0` and so on. */
  async manyLiving(count: number, registration?: Registration): Promise<PodSpec[]> {
    const specs = Array.from({ length: count }, (_, i): PodSpec => ({ name: `pod-${i}`, ips: [`10.42.1.${i}`] }));
    for (const [i, spec] of specs.entries()) {
      this.pod(spec);
      this.register(`/shop/${i}`, spec.ips?.[0] ?? "", registration);
    }
    await this.start();
    await this.#untilLive(count);
    return specs;
  }

  /** The pods' objects are removed by force. Each process has refreshed its lease a moment before, and does not again. */
  async lose(...specs: readonly PodSpec[]): Promise<void> {
    for (const { registration } of this.server.entries()) this.server.keepAlive(registration.id);
    await this.advance(1_000);
    for (const spec of specs) this.vanish(spec);
  }

  counts(): InstanceCounts {
    return this.controller.summary.counts(POLICY);
  }

  /** What the report of a policy says of its evictions. */
  entries(policy = POLICY): readonly EvictionEntry[] {
    return this.controller.summary.evictions(policy);
  }

  /** `hygeia_evictions_total` with these labels. */
  async evictions(labels: Readonly<Record<string, string>>): Promise<number> {
    return (await this.scrape()).sum("hygeia_evictions_total", labels);
  }

  async #untilLive(count: number): Promise<void> {
    await this.advance(20_000);
    const { Live } = this.counts();
    if (Live !== count) throw new Error(`${Live} instances are Live, ${count} should be`);
  }

  /** Lines of the log that have all these fields. */
  having(fields: Readonly<Record<string, unknown>>): Line[] {
    const wanted = Object.entries(fields);
    return this.lines.filter((line) => wanted.every(([name, value]) => line[name] === value));
  }

  /** Verdicts noted for a record, oldest first. */
  verdicts(id: string): string[] {
    return this.having({ step: "judge", instance: id }).map(({ verdict, reason }) => [verdict, reason].join(" "));
  }

  async scrape(): Promise<MetricsReading> {
    return new MetricsReading(await this.metrics.render(), 0);
  }

  #adapter(name: string): RegistryAdapter {
    return memoryAdapter(name, this.server, this.clock, (plain) => {
      this.plain = plain;
      return {
        read: (id, signal) => (this.disturbed.read ?? plain.read)(id, signal),
        readLife: (record, signal) => (this.disturbed.readLife ?? plain.readLife)(record, signal),
        deregister: (...call) => (this.disturbed.deregister ?? plain.deregister)(...call),
        quarantine: (...call) => this.disturbed.quarantine?.(...call) ?? plain.quarantine?.(...call) ?? noQuarantine(),
        release: (...call) => this.disturbed.release?.(...call) ?? plain.release?.(...call) ?? noQuarantine(),
      };
    });
  }
}

function noQuarantine(): Promise<never> {
  return Promise.reject(new Error("the registry has no quarantine"));
}

function policyObject(shape: PolicyShape, generation: number): PolicyObject {
  const { name = POLICY, uid = `uid-${name}`, mode = "Enforce" } = shape;
  const { match, priority, registries = [REGISTRY], service, zombies } = shape;
  const creationTimestamp = "2026-01-01T00:00:00Z";
  return projectPolicy({
    metadata: { name, uid, generation, resourceVersion: "1", creationTimestamp },
    spec: {
      mode,
      ...(match !== undefined && { match }),
      ...(priority !== undefined && { priority }),
      ...(registries.length === 0
        ? { lifecycle: { terminationGracePeriodSeconds: 60 } }
        : {
            registration: {
              registries: registries.map((registry) => ({ name: registry })),
              ...(service !== undefined && { service }),
              ...(zombies !== undefined && { zombies }),
            },
          }),
    },
  });
}

function registryObject(name: string, uid: string): RegistryObject {
  return projectRegistry({
    metadata: { name, uid, generation: 1, resourceVersion: "1", creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { type: "Etcd", endpoints: ["http://127.0.0.1:2379"], etcd: { layouts: [{ layout: "Kratos" }] } },
  });
}
