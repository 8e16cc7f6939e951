import type { Scope } from "../env/index.ts";
import type { FixturePod } from "../support/cluster-fixture.ts";
import type { KubeClient } from "../support/kube-client.ts";
import type { EtcdAccess } from "../support/registrants/index.ts";

/** How the observer's process reaches a registry. */
export type RegistryAccess =
  | { readonly type: "Etcd"; readonly etcd: EtcdAccess }
  | { readonly type: "Consul"; readonly url: string }
  | { readonly type: "Nacos"; readonly url: string };

/** What a starting registry gets. */
export interface StartContext {
  readonly scope: Scope;
  readonly log: (line: string) => void;
}

/** One real registry under load. */
export interface BenchRegistry {
  readonly access: RegistryAccess;
  readonly kinds: readonly RegistrationKind[];
  /** Creates the Registry object of this name. */
  apply(client: KubeClient, name: string): Promise<void>;
  close(): Promise<void>;
}

/** One way to be registered. */
export interface RegistrationKind {
  /** As the report calls it. */
  readonly name: string;
  /** How many of so many instances are registered in this way; all kinds together make the number. */
  share(instances: number): number;
  /** Registers a pod's process. @returns the entry's id, as the observer calls it */
  register(service: string, pod: FixturePod): Promise<string>;
  /** What becomes of its process when its pod dies, where that is more than that it says nothing any more. */
  crash?(id: string): void;
  /** Undefined where the registry never forgets by itself. */
  readonly forgetting: Forgetting | undefined;
}

/** What the registry does about such an entry by itself. */
export interface Forgetting {
  /** As the report calls it. */
  readonly rule: string;
  /** Longest wait for it, milliseconds. */
  readonly limitMs: number;
  /** What is still there by then is no failure, but counted. */
  readonly mayStay?: true;
  /** How many of the dying register so: enough for a fair picture, and not so many that they load the machine. */
  readonly samples: number;
  /** A pod's process registers once more, where nobody evicts, and says that it lives until it crashes. */
  register(pod: FixturePod): Promise<{ readonly id: string; crash(): void }>;
}
