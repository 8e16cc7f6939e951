import type { FixturePod } from "../cluster-fixture.ts";
import type { EntryOracle } from "../entry-oracle.ts";
import type { KubeClient } from "../kube-client.ts";

/** One of several real registries: what processes, its administrator and the oracle do with it. */
export interface RegistryActor {
  /** Of the Registry object. */
  readonly name: string;
  readonly oracle: EntryOracle;
  /** Creates the Registry object. */
  apply(client: KubeClient): Promise<void>;
  /**
   * A pod's process registers itself, so that nothing but an eviction takes it away while the test lasts.
   * @returns the entry's id, as the oracle and the report call it
   */
  register(pod: FixturePod, service: string): Promise<string>;
  /** Every server of it answers nobody (SIGSTOP) until {@link resume}. */
  pause(): void;
  resume(): void;
  /** Stops watching, and its servers. */
  close(): Promise<void>;
}
