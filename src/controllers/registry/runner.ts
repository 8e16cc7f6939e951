import type { RegistrySpec } from "../../api/v1alpha1/index.ts";
import type { Clock, Random } from "../../clock/clock.ts";
import type { RegistryAdapter } from "../../registry/port.ts";
import { RegistryView } from "../../registry/view.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { ManagedRegistry } from "../types.ts";
import type { AdapterFactory, MadeAdapter } from "./adapter-factory.ts";
import { resolveCredentials, type Credentials, type ReadSecret, type SecretProblem } from "./secrets.ts";
import { TlsMonitor } from "./tls-monitor.ts";

export interface RunnerParts {
  readonly makeAdapter: AdapterFactory;
  readonly readSecret: ReadSecret;
  /** UID of the kube-system namespace, as soon as it is known. */
  readonly clusterUid: Promise<string>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Why there is no adapter, or none with the credentials of now. A reason of condition Reachable. */
export type RunnerProblem = SecretProblem | { readonly reason: "InvalidSpec"; readonly message: string };

/** Between two looks at the Secrets, jittered by a fifth: Secrets are read by name only, so there is no watch. */
const SECRETS_EVERY_MS = 10_000;
/** Before an adapter that failed against its contract is started anew. */
const RESTART_AFTER_MS = 5_000;

/**
 * What runs for one Registry object from start() to stop(): reads its Secrets, runs an adapter with them, and tells it
 * when they change. While a Secret can not be had, the adapter goes on with what it has.
 */
export class RegistryRunner {
  readonly name: string;
  readonly view: RegistryView;
  readonly #uid: string;
  readonly #parts: RunnerParts;
  readonly #log: Logger;
  readonly #onState: () => void;
  readonly #stop = new AbortController();
  #spec: RegistrySpec;
  #managed: ManagedRegistry | undefined;
  #problem: RunnerProblem | undefined;
  #tls: TlsMonitor | undefined;
  #ended: Promise<void> | undefined;

  /** @param onState called when the adapter, the problem or the TLS findings changed */
  constructor(name: string, uid: string, spec: RegistrySpec, parts: RunnerParts, onState: () => void) {
    this.name = name;
    this.view = new RegistryView(name);
    this.#uid = uid;
    this.#spec = spec;
    this.#parts = parts;
    this.#log = parts.log.child({ registry: name });
    this.#onState = onState;
  }

  /** Undefined until there is an adapter, and once it is stopped. */
  get managed(): ManagedRegistry | undefined {
    return this.#managed;
  }

  /** Why the Secrets can not be had now; an adapter that runs keeps what it has. */
  get problem(): RunnerProblem | undefined {
    return this.#problem;
  }

  /** Undefined until there are credentials. */
  get tls(): TlsMonitor | undefined {
    return this.#tls;
  }

  /** True when this runner can serve the spec as it is: at most the ownership differs. */
  serves(spec: RegistrySpec): boolean {
    return connectionOf(spec) === connectionOf(this.#spec);
  }

  /** Takes over the ownership of a spec that this runner {@link serves}. */
  update(spec: RegistrySpec): void {
    this.#spec = spec;
    if (this.#managed !== undefined) this.#managed = this.#manage(this.#managed.adapter);
  }

  start(): void {
    const { signal } = this.#stop;
    this.#ended = this.#run(signal).catch((error: unknown) => {
      if (!signal.aborted) this.#log.error({ err: error }, "stopped working with a registry by a mistake of ours");
    });
  }

  /** Takes it out at once; resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#managed = undefined;
    this.#stop.abort();
    await this.#ended;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const clusterUid = await abortable(this.#parts.clusterUid, signal);
    let credentials = await this.#credentialsOtherThan(undefined, signal);
    const made = this.#makeAdapter(credentials, clusterUid);
    if (made === undefined) return;
    const { adapter } = made;
    const running = this.#keepRunning(adapter, signal);
    this.#managed = this.#manage(adapter);
    try {
      for (;;) {
        credentials = await this.#useUntilChanged(credentials, signal);
        this.#log.info("a Secret of the registry changed: going on with what it holds now");
        made.reconfigure(credentials);
      }
    } finally {
      await running;
      await adapter.close();
    }
  }

  /** Watches over the certificates until the Secrets hold something else. @returns the new credentials */
  async #useUntilChanged(credentials: Credentials, signal: AbortSignal): Promise<Credentials> {
    const { clock, random } = this.#parts;
    const session = new AbortController();
    this.#tls = new TlsMonitor(this.#spec, credentials, { clock, random, onChange: this.#onState });
    const monitoring = this.#tls.run(AbortSignal.any([signal, session.signal]));
    this.#onState();
    try {
      return await this.#credentialsOtherThan(credentials.digest, signal);
    } finally {
      session.abort();
      await monitoring;
    }
  }

  /** A spec that no adapter can be made for is a problem of that Registry alone. */
  #makeAdapter(credentials: Credentials, clusterUid: string): MadeAdapter | undefined {
    try {
      return this.#parts.makeAdapter(this.name, this.#spec, credentials, clusterUid);
    } catch (error) {
      this.#log.error({ err: error }, "no adapter can be made for this spec");
      const message = error instanceof Error ? error.message : "no adapter can be made for it";
      this.#setProblem({ reason: "InvalidSpec", message });
      return undefined;
    }
  }

  /** run() never ends by itself; should it, nobody else is to suffer, and it is tried again. */
  async #keepRunning(adapter: RegistryAdapter, signal: AbortSignal): Promise<void> {
    for (;;) {
      let failure: unknown;
      try {
        await adapter.run(this.view, signal);
      } catch (error) {
        failure = error;
      }
      if (signal.aborted) return;
      this.#log.error({ err: failure }, "an adapter ended against its contract: starting it anew");
      await this.#parts.clock.sleep(RESTART_AFTER_MS, signal).catch(() => undefined);
    }
  }

  /** Looks at the Secrets until they can be had and differ from the digest. */
  async #credentialsOtherThan(digest: string | undefined, signal: AbortSignal): Promise<Credentials> {
    const { readSecret, clock, random } = this.#parts;
    for (let isFirst = digest === undefined; ; isFirst = false) {
      if (!isFirst) await clock.sleep(SECRETS_EVERY_MS * (0.8 + 0.4 * random()), signal);
      const found = await resolveCredentials(this.#spec, readSecret, signal);
      this.#setProblem(found.ok ? undefined : found.problem);
      if (found.ok && found.credentials.digest !== digest) return found.credentials;
    }
  }

  #setProblem(problem: RunnerProblem | undefined): void {
    if (this.#problem?.message === problem?.message) return;
    this.#problem = problem;
    this.#onState();
  }

  #manage(adapter: RegistryAdapter): ManagedRegistry {
    const { podCIDRs, requiredMetadata } = this.#spec.ownership;
    return {
      name: this.name,
      uid: this.#uid,
      adapter,
      view: this.view,
      requiredMetadata: requiredMetadata ?? {},
      podCIDRs: podCIDRs.filter((network) => network !== "Auto"),
    };
  }
}

/** Everything that another adapter is needed for when it changes. */
function connectionOf(spec: RegistrySpec): string {
  return JSON.stringify({ ...spec, ownership: undefined });
}

/** @throws the signal's reason when it aborts first */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
