import type { Clock } from "../clock/clock.ts";
import type { Backoff } from "./backoff.ts";
import { KubeError } from "./http-errors.ts";
import { requireRevision } from "./resource-version.ts";
import type { KubeTransport, Query } from "./transport.ts";
import { metadataOf } from "./watch.ts";

/** A later page is asked for this often before the whole list fails; the first only once, since nothing is lost yet. */
const attemptsPerPage = 5;

export interface ListOptions {
  readonly transport: Pick<KubeTransport, "request">;
  readonly clock: Clock;
  readonly path: string;
  readonly query: Query;
  /** Objects in a page. */
  readonly pageSize: number;
  /** For one page, in milliseconds. */
  readonly deadlineMs: number;
  /** How long to wait before a page is asked for again. */
  readonly backoff: Backoff;
  readonly signal: AbortSignal;
  /**
   * Called once, when the first page is there: everything committed before `startedAt` (local monotonic milliseconds)
   * has a revision of at most `revision`. May throw to refuse the list.
   */
  readonly onRevision: (startedAt: number, revision: string) => void;
  /** Called with the objects of each page, which are not kept. */
  readonly onPage: (items: readonly unknown[]) => void;
}

/**
 * Reads one quorum list, page by page, all of one revision. Resolves with that revision when the last page has arrived.
 * @throws KubeError the one that made it fail: at once when asking again is no use (403, an expired continue token, a
 * malformed answer, anything on the first page), else after several attempts with growing waits, a Retry-After honoured
 */
export async function readList(options: ListOptions): Promise<string> {
  const what = `the list of ${options.path}`;
  let revision: string | undefined;
  let next = "";
  do {
    const { startedAt, body } = await readPage(options, next);
    const metadata = metadataOf(body);
    const pageRevision = requireRevision(metadata["resourceVersion"], what);
    if (revision === undefined) options.onRevision(startedAt, pageRevision);
    else if (revision !== pageRevision)
      throw new KubeError("BadResponse", `${what} changed its revision between pages`);
    revision = pageRevision;
    // An empty list may come as null, as Go writes a nil slice.
    const items = (body as Record<string, unknown>)["items"] ?? [];
    if (!Array.isArray(items)) throw new KubeError("BadResponse", `${what} came without items`);
    options.onPage(items);
    next = typeof metadata["continue"] === "string" ? metadata["continue"] : "";
  } while (next !== "");
  return revision;
}

async function readPage(options: ListOptions, next: string): Promise<{ startedAt: number; body: unknown }> {
  for (let attempt = 1; ; attempt++) {
    const startedAt = options.clock.monotonic();
    try {
      const { body } = await options.transport.request({
        method: "GET",
        path: options.path,
        query: { ...options.query, limit: options.pageSize, continue: next === "" ? undefined : next },
        deadlineMs: options.deadlineMs,
        signal: options.signal,
      });
      return { startedAt, body };
    } catch (error) {
      options.signal.throwIfAborted();
      if (next === "" || attempt === attemptsPerPage || !isWorthRepeating(error)) throw error;
      await options.clock.sleep(options.backoff.next(error.retryAfterMs), options.signal);
    }
  }
}

function isWorthRepeating(error: unknown): error is KubeError {
  if (!(error instanceof KubeError)) return false;
  if (error.status === 0) return error.code === "ConnectionLost" || error.code === "DeadlineExceeded";
  return !error.isExpired && (error.isTooManyRequests || error.status >= 500);
}
