import type { NacosInstance, Publisher } from "./model.ts";

/** How an instance was registered, which decides what a third party can do to it. */
export type RegistrationKind = "GRPC" | "HTTP" | "Persistent";

/** Who keeps one instance listed. */
export interface Writers {
  /** Client ids in their order. */
  readonly ids: readonly string[];
  /** When a persistent instance was last registered, by the server's clock: told at every registration, and no beats move it. */
  readonly stamp: number | undefined;
}

/** The clients that registered this very instance. */
export function writersOf(instance: NacosInstance, publishers: readonly Publisher[]): readonly string[] {
  const { ip, port, cluster } = instance;
  const ids = publishers
    .filter((publisher) => publisher.ip === ip && publisher.port === port && (publisher.cluster ?? cluster) === cluster)
    .map(({ clientId }) => clientId);
  return [...new Set(ids)].toSorted();
}

/** Where the server tells of no clients (1.x), all that is ephemeral came over HTTP. */
export function presumedWriter({ ip, port, ephemeral }: NacosInstance): string {
  return `${ip}:${String(port)}#${String(ephemeral)}`;
}

/** Whether a client is a gRPC connection, and not an address at which something was registered over HTTP. */
export function isConnection(clientId: string): boolean {
  return !/#(?:true|false)$/.test(clientId);
}

/** One gRPC connection among the writers is enough: an HTTP delete leaves what it registered. */
export function kindOf({ ids }: Writers): RegistrationKind {
  if (ids.some(isConnection)) return "GRPC";
  return ids.some((id) => id.endsWith("#true")) ? "HTTP" : "Persistent";
}
