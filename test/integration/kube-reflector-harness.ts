import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, inject, vi } from "vitest";

import type { Clock, Timer } from "../../src/clock/clock.ts";
import { systemClock } from "../../src/clock/system.ts";
import type { ReflectorMetrics, ReflectorOptions } from "../../src/kube/reflector-options.ts";
import { Reflector } from "../../src/kube/reflector.ts";
import { KubeTransport, loadKubeConfig, type StreamRequest } from "../../src/kube/transport.ts";
import type { Change, Freshness, ObjectIdentity, Sink } from "../../src/kube/types.ts";
import { readObject } from "../../src/kube/watch.ts";
import { KubeProxy, type ProxyRequest } from "../env/proxy/index.ts";

/** A Lease, which no controller of the control plane touches. */
export interface Thing extends ObjectIdentity {
  readonly holder: string;
}

/** Projects a Lease as the API sends it. */
function project(raw: unknown): Thing {
  const { uid, namespace, name, resourceVersion } = readObject(raw, "a test");
  const { holderIdentity = "" } = (raw as { spec: { holderIdentity?: string } }).spec;
  return { uid, namespace, name, resourceVersion, holder: holderIdentity };
}

/** A clock that runs faster than the machine's, so that half a minute of waits takes a second or two. */
export class FastClock implements Clock {
  readonly #factor: number;

  constructor(factor: number) {
    this.#factor = factor;
  }

  monotonic(): number {
    return systemClock.monotonic() * this.#factor;
  }

  wall(): Date {
    return systemClock.wall();
  }

  setTimer(callback: () => void, delayMs: number): Timer {
    return systemClock.setTimer(callback, delayMs / this.#factor);
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(delayMs / this.#factor, signal);
  }
}

/** A sink that keeps what it is told, and throws when a test wants it to. */
export class RecordingSink implements Sink<Thing> {
  readonly objects = new Map<string, Thing>();
  readonly changes: Change<Thing>[] = [];
  /** Lists applied, those without a difference included. */
  lists = 0;
  refuse: ((changes: readonly Change<Thing>[], cause: "List" | "Watch") => boolean) | undefined;

  apply(changes: readonly Change<Thing>[], cause: "List" | "Watch"): void {
    if (this.refuse?.(changes, cause) === true) throw new Error("the sink of a test refuses");
    if (cause === "List") this.lists += 1;
    for (const change of changes) {
      this.changes.push(change);
      if (change.type === "Deleted") this.objects.delete(change.object.uid);
      else this.objects.set(change.object.uid, change.object);
    }
  }

  /** Names held, in order. */
  get names(): string[] {
    return [...this.objects.values()].map((object) => object.name).sort();
  }

  /** Changes to objects of this name, in short. */
  of(name: string): string[] {
    return this.changes
      .filter((change) => change.object.name === name)
      .map((change) => (change.type === "Deleted" && change.final ? "Deleted finally" : change.type));
  }

  added(name: string): (Change<Thing> & { type: "Added" }) | undefined {
    return this.changes.find((change) => change.type === "Added" && change.object.name === name) as
      (Change<Thing> & { type: "Added" }) | undefined;
  }
}

/** What a reflector counted. */
export class RecordingMetrics implements ReflectorMetrics {
  readonly lists: Parameters<ReflectorMetrics["listed"]>[0][] = [];
  readonly listFailures: string[] = [];
  readonly watchEnds: string[] = [];
  readonly handlerFailures: string[] = [];
  eventCount = 0;

  listed(list: Parameters<ReflectorMetrics["listed"]>[0]): void {
    this.lists.push(list);
  }

  listFailed(reason: string): void {
    this.listFailures.push(reason);
  }

  watchEnded(reason: string): void {
    this.watchEnds.push(reason);
  }

  events(count: number): void {
    this.eventCount += count;
  }

  handlerFailed(handler: string): void {
    this.handlerFailures.push(handler);
  }
}

/** A transport that tells how many watches its client knows to be open, or to have been. */
class ObservedTransport extends KubeTransport {
  opened = 0;

  override stream(request: StreamRequest): AsyncGenerator<readonly unknown[], void, undefined> {
    const onOpen = (): void => {
      request.onOpen?.();
      this.opened += 1;
    };
    return super.stream({ ...request, onOpen });
  }
}

/** A reflector at work. */
export interface Running {
  readonly reflector: Reflector<Thing>;
  readonly sink: RecordingSink;
  readonly metrics: RecordingMetrics;
  readonly clock: Clock;
  readonly freshness: Freshness[];
  /** Waits until the reflector itself has heard that a watch is open: its proxy knows of one earlier. */
  readonly watching: () => Promise<void>;
  /** Ends it and waits for its end. */
  readonly stop: () => Promise<void>;
}

/** A namespace of its own on the shared API server, and a proxy between it and the reflectors of one test. */
export class Bench implements AsyncDisposable {
  readonly namespace: string;
  readonly path: string;
  readonly proxy: KubeProxy;
  /** Past the proxy, for what the test itself does. */
  readonly direct: KubeTransport;
  readonly directory: string;
  readonly #running: Running[] = [];
  readonly #transports: ObservedTransport[] = [];

  private constructor(proxy: KubeProxy, direct: KubeTransport, directory: string) {
    this.namespace = `reflector-${randomUUID().slice(0, 8)}`;
    this.path = `/apis/coordination.k8s.io/v1/namespaces/${this.namespace}/leases`;
    this.proxy = proxy;
    this.direct = direct;
    this.directory = directory;
  }

  static async open(): Promise<Bench> {
    const env = inject("env");
    const proxy = await KubeProxy.start({ url: env.kubeUrl, caFile: env.kubeCaFile });
    const direct = new KubeTransport({ config: await loadKubeConfig(env.kubeconfig), clock: systemClock });
    const bench = new Bench(proxy, direct, mkdtempSync(join(tmpdir(), "hygeia-reflector-")));
    await direct.request({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: bench.namespace } } });
    return bench;
  }

  /** A transport through the proxy. */
  async transport(clock: Clock = systemClock, token = inject("env").kubeToken): Promise<ObservedTransport> {
    const file = join(this.directory, `kubeconfig-${randomUUID()}`);
    this.proxy.writeKubeconfig(file, token);
    const transport = new ObservedTransport({ config: await loadKubeConfig(file), clock });
    this.#transports.push(transport);
    return transport;
  }

  /** A transport through the proxy, by way of another port. */
  async transportVia(port: number): Promise<ObservedTransport> {
    const file = join(this.directory, `kubeconfig-${randomUUID()}`);
    this.proxy.writeKubeconfig(file, inject("env").kubeToken);
    const config = await loadKubeConfig(file);
    config.clusters = config.clusters.map((cluster) => ({ ...cluster, server: `https://127.0.0.1:${port}` }));
    const transport = new ObservedTransport({ config, clock: systemClock });
    this.#transports.push(transport);
    return transport;
  }

  /** Starts a reflector of the namespace's Leases behind the proxy. */
  async start(
    overrides: Partial<ReflectorOptions<Thing>> & {
      readonly sink?: RecordingSink;
      readonly token?: string;
      readonly transport?: ObservedTransport;
    } = {},
  ): Promise<Running> {
    const { token, sink = new RecordingSink(), clock = systemClock, ...rest } = overrides;
    const transport = rest.transport ?? (await this.transport(clock, token));
    const metrics = new RecordingMetrics();
    const freshness: Freshness[] = [];
    const reflector = new Reflector<Thing>({
      clock,
      random: Math.random,
      path: this.path,
      project,
      sink,
      metrics,
      onFreshness: (now) => freshness.push(now),
      ...rest,
      transport,
    });
    const controller = new AbortController();
    const ended = reflector.run(controller.signal);
    const stop = async (): Promise<void> => {
      controller.abort();
      await ended;
    };
    const watching = (): Promise<void> => eventually(() => expect(transport.opened).toBeGreaterThan(0));
    const running = { reflector, sink, metrics, clock, freshness, watching, stop };
    this.#running.push(running);
    return running;
  }

  async create(name: string): Promise<Thing> {
    const body = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { name }, spec: {} };
    const response = await this.direct.request({ method: "POST", path: this.path, body });
    return project(response.body);
  }

  /** Changes an object, so that it gets a new revision. */
  async touch(name: string): Promise<Thing> {
    const response = await this.direct.request({
      method: "PATCH",
      path: `${this.path}/${name}`,
      contentType: "application/merge-patch+json",
      body: { spec: { holderIdentity: randomUUID() } },
    });
    return project(response.body);
  }

  async remove(name: string): Promise<void> {
    await this.direct.request({ method: "DELETE", path: `${this.path}/${name}` });
  }

  /** Names of the objects that exist, in order. */
  async names(): Promise<string[]> {
    const { body } = await this.direct.request({ method: "GET", path: this.path });
    return (body as { items: unknown[] }).items.map((item) => project(item).name).sort();
  }

  /** A token of a service account that has no rights. */
  async serviceAccountToken(name: string): Promise<string> {
    const path = `/api/v1/namespaces/${this.namespace}/serviceaccounts`;
    await this.direct.request({ method: "POST", path, body: { metadata: { name } } });
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} };
    const made = await this.direct.request({ method: "POST", path: `${path}/${name}/token`, body });
    return (made.body as { status: { token: string } }).status.token;
  }

  /** Gives a service account the right to list and watch the namespace's Leases. */
  async allow(name: string): Promise<void> {
    const path = `/apis/rbac.authorization.k8s.io/v1/namespaces/${this.namespace}`;
    const rules = [{ apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["list", "watch"] }];
    await this.direct.request({ method: "POST", path: `${path}/roles`, body: { metadata: { name }, rules } });
    const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name };
    const subjects = [{ kind: "ServiceAccount", name, namespace: this.namespace }];
    await this.direct.request({
      method: "POST",
      path: `${path}/rolebindings`,
      body: { metadata: { name }, roleRef, subjects },
    });
  }

  /** A request for the namespace's Leases. */
  readonly isList = (request: ProxyRequest): boolean =>
    request.path === this.path && !request.isWatch && request.query.get("limit") !== "1";

  readonly isWatch = (request: ProxyRequest): boolean => request.path === this.path && request.isWatch;

  readonly isBarrier = (request: ProxyRequest): boolean =>
    request.path === this.path && !request.isWatch && request.query.get("limit") === "1";

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#running.map((running) => running.stop()));
    await Promise.all([...this.#transports, this.direct].map((transport) => transport.close()));
    await this.proxy.stop();
    rmSync(this.directory, { recursive: true });
  }
}

/** Waits until the check passes, at most 20 s. */
export async function eventually<R>(check: () => R | Promise<R>): Promise<R> {
  return await vi.waitFor(check, { timeout: 20_000, interval: 10 });
}
