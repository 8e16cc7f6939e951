import { KubeError } from "../kube/http-errors.ts";
import { requireRevision } from "../kube/resource-version.ts";
import type { KubeTransport } from "../kube/transport.ts";
import { metadataOf } from "../kube/watch.ts";

/** What kubectl asks for: rows instead of objects, an eighth of the work for the server and a fortieth of the bytes. */
const TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io";
/** The column of `kubectl get pods -o wide` with the primary address. */
const COLUMN = "IP";
const NO_ADDRESS = "<none>";
/** For all pods in one answer, milliseconds: 20,000 of them take a fifth of a second. */
const DEADLINE_MS = 10_000;

export interface AddressCounts {
  /** Of the whole answer. */
  readonly revision: string;
  /** How many pods have an address as their primary one, by its text. */
  readonly pods: ReadonlyMap<string, number>;
}

/**
 * How many pods, dead or alive, have each primary address: a quorum read of one revision, as no resourceVersion is sent.
 * @throws KubeError `BadResponse` for an answer that is not that table, and what the transport raises
 */
export async function readAddressCounts(
  transport: Pick<KubeTransport, "request">,
  signal: AbortSignal,
): Promise<AddressCounts> {
  const { body } = await transport.request({
    method: "GET",
    path: "/api/v1/pods",
    query: { includeObject: "None" },
    accept: TABLE,
    deadlineMs: DEADLINE_MS,
    signal,
  });
  const { kind, columnDefinitions, rows } = body as Readonly<Record<string, unknown>>;
  const column = kind === "Table" && Array.isArray(columnDefinitions) ? columnDefinitions.findIndex(isAddress) : -1;
  const metadata = metadataOf(body);
  if (column < 0 || (metadata["continue"] ?? "") !== "") throw notATable();
  const revision = requireRevision(metadata["resourceVersion"], "a table of pods");
  // Go writes a nil slice as null.
  const list: unknown = rows ?? [];
  if (!Array.isArray(list)) throw notATable();
  const pods = new Map<string, number>();
  for (const row of list as unknown[]) {
    const cells: unknown = (row as { readonly cells?: unknown } | null)?.cells;
    const address: unknown = Array.isArray(cells) ? cells[column] : undefined;
    if (typeof address !== "string" || address === "") throw notATable();
    if (address !== NO_ADDRESS) pods.set(address, (pods.get(address) ?? 0) + 1);
  }
  return { revision, pods };
}

function isAddress(definition: unknown): boolean {
  return (definition as { readonly name?: unknown } | null)?.name === COLUMN;
}

function notATable(): KubeError {
  return new KubeError("BadResponse", "the API server's answer is no table of pods with their addresses");
}
