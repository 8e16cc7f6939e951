import type { FixturePod } from "../cluster-fixture.ts";
import type { EntryOracle } from "../entry-oracle.ts";
import type { KubeClient } from "../kube-client.ts";
import type { applyRegistry } from "../operator-objects.ts";

/** What a Registry object says besides where the registry is and what it is. */
export type RegistryExtras = Pick<
  NonNullable<Parameters<typeof applyRegistry>[2]["spec"]>,
  "requestTimeout" | "ownership"
>;

export type Metadata = Readonly<Record<string, string>>;

/** Something that no pod of the cluster registered. */
export interface StrangerOptions {
  readonly service: string;
  readonly host: string;
  /** Default: that of everybody. */
  readonly port?: number;
  readonly metadata?: Metadata;
}

/** One of several real registries: what processes, its administrator and the oracle do with it. */
export interface RegistryActor {
  /** Of the Registry object. */
  readonly name: string;
  readonly oracle: EntryOracle;
  /** Of the real servers. */
  readonly endpoints: readonly string[];
  /**
   * Creates the Registry object.
   * @param endpoints by which the operator is to reach it; default the real ones
   */
  apply(client: KubeClient, endpoints?: readonly string[], extras?: RegistryExtras): Promise<void>;
  /**
   * A pod's process registers itself, so that nothing but an eviction takes it away while the test lasts.
   * @returns the entry's id, as the oracle and the report call it
   */
  register(pod: FixturePod, service: string, metadata?: Metadata): Promise<string>;
  /**
   * Somebody outside the cluster, or by mistake, registers something. The oracle knows nothing of it.
   * @returns the entry's id
   */
  registerStranger(options: StrangerOptions): Promise<string>;
  /** Everything that is registered now. */
  list(): Promise<ReadonlySet<string>>;
  /** Every server of it answers nobody (SIGSTOP) until {@link resume}. */
  pause(): void;
  resume(): void;
  /** Its servers are started again without any data; the oracle expects nothing there until it is registered again. */
  wipe(): Promise<void>;
  /** Stops watching, and its servers. */
  close(): Promise<void>;
}
