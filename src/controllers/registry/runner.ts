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
/** Before what ended against all expectation is started anew. */
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
  /** Reason of the last trouble that was logged, until it is over. */
  #loggedTrouble: string | undefined;
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
    this.view.subscribeState(() => this.#logTrouble());
    this.#ended = this.#keepAlive(this.#stop.signal);
  }

  /** Takes it out at once; resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#managed = undefined;
    this.#stop.abort();
    await this.#ended;
  }

  /** A mistake of ours that shows with this Registry is not to end the work with it, and no other's. */
  async #keepAlive(signal: AbortSignal): Promise<void> {
    for (;;) {
      let failure: unknown;
      try {
        await this.#run(signal);
      } catch (error) {
        failure = error;
      }
      this.#managed = undefined;
      if (signal.aborted) return;
      this.#log.error({ err: failure }, "the work with a registry ended unexpectedly: starting it anew");
      await this.#parts.clock.sleep(RESTART_AFTER_MS, signal).catch(() => undefined);
    }
  }

  /** Ends with an error only. */
  async #run(outer: AbortSignal): Promise<void> {
    const clusterUid = await abortable(this.#parts.clusterUid, outer);
    const { made, credentials } = await this.#firstAdapter(clusterUid, outer);
    const life = new AbortController();
    const signal = AbortSignal.any([outer, life.signal]);
    // Should it end, against its contract, so does everything here; then it is started anew.
    const running = made.adapter
      .run(this.view, signal)
      .catch((error: unknown) => this.#log.error({ err: error }, "an adapter failed against its contract"))
      .finally(() => life.abort());
    this.#managed = this.#manage(made.adapter);
    try {
      await this.#followSecrets(made, credentials, signal);
    } finally {
      life.abort();
      await running;
      await made.adapter.close();
    }
  }

  /** A spec that no adapter can be made for is a problem of that Registry alone: it waits for other Secrets. */
  async #firstAdapter(
    clusterUid: string,
    signal: AbortSignal,
  ): Promise<{ readonly made: MadeAdapter; readonly credentials: Credentials }> {
    let digest: string | undefined;
    for (;;) {
      const credentials = await this.#credentialsOtherThan(digest, signal);
      const made = this.#try("InvalidSpec", () =>
        this.#parts.makeAdapter(this.name, this.#spec, credentials, clusterUid),
      );
      if (made !== undefined) return { made, credentials };
      digest = credentials.digest;
    }
  }

  /** Hands changed credentials to the adapter until the signal aborts. @throws the signal's reason */
  async #followSecrets(made: MadeAdapter, first: Credentials, signal: AbortSignal): Promise<never> {
    let credentials = first;
    for (;;) {
      credentials = await this.#useUntilChanged(credentials, signal);
      this.#log.info("a Secret of the registry changed: going on with what it holds now");
      this.#try("SecretInvalid", () => made.reconfigure(credentials));
    }
  }

  /** Watches over the certificates until the Secrets hold something else. @returns the new credentials */
  async #useUntilChanged(credentials: Credentials, signal: AbortSignal): Promise<Credentials> {
    const { clock, random } = this.#parts;
    const session = new AbortController();
    this.#tls = new TlsMonitor(this.#spec, credentials, { clock, random, onChange: this.#onState });
    const monitoring = this.#tls.run(AbortSignal.any([signal, session.signal])).catch((error: unknown) => {
      this.#log.error({ err: error }, "the watch over certificates failed by a mistake of ours");
    });
    this.#onState();
    try {
      return await this.#credentialsOtherThan(credentials.digest, signal);
    } finally {
      session.abort();
      await monitoring;
    }
  }

  /** @returns undefined when it failed; the problem then says why */
  #try<T>(reason: "InvalidSpec" | "SecretInvalid", attempt: () => T): T | undefined {
    try {
      return attempt();
    } catch (error) {
      this.#setProblem({ reason, message: error instanceof Error ? error.message : "unknown error" });
      return undefined;
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
    if (problem !== undefined) this.#log.warn({ reason: problem.reason }, problem.message);
    this.#problem = problem;
    this.#onState();
  }

  #logTrouble(): void {
    const { problem, mode } = this.view.freshness();
    const trouble = problem ?? (mode === "Fallback" ? { reason: mode, message: "the breaker is open" } : undefined);
    if (trouble?.reason === this.#loggedTrouble) return;
    this.#loggedTrouble = trouble?.reason;
    if (trouble === undefined) this.#log.info("the registry answers again");
    else this.#log.warn({ reason: trouble.reason }, trouble.message);
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
