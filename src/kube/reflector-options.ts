import type { Clock, Random } from "../clock/clock.ts";
import type { KubeTransport } from "./transport.ts";
import type { Freshness, ObjectIdentity, Sink } from "./types.ts";

/** What a reflector tells of its work. */
export interface ReflectorMetrics {
  /** A complete list was applied. */
  listed(list: {
    readonly seconds: number;
    /** Objects in the list. */
    readonly objects: number;
    /** Objects in the view before. */
    readonly before: number;
    readonly added: number;
    readonly deleted: number;
  }): void;
  /** A list failed, with the reason constant. */
  listFailed(reason: string): void;
  /** A watch ended: `End` when the server ended it as asked, else the reason constant. */
  watchEnded(reason: string): void;
  /** Events other than bookmarks arrived. */
  events(count: number): void;
  /** A projection or the sink threw, or the freshness callback did. */
  handlerFailed(handler: "Projection" | "Sink" | "Freshness"): void;
}

export interface ReflectorOptions<T extends ObjectIdentity> {
  readonly transport: Pick<KubeTransport, "request" | "stream">;
  readonly clock: Clock;
  readonly random: Random;
  /** The collection, such as `/api/v1/pods`. */
  readonly path: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
  /** What is kept of an object as the API sends it; undefined when it is of no interest. */
  readonly project: (raw: unknown) => T | undefined;
  /**
   * Grows when `project` may make something else of the same object. The next complete list then projects every object
   * anew and tells of those that differ; `Reflector.requestRelist()` asks for it. Absent where that never happens.
   */
  readonly projectionVersion?: () => number;
  /** Called for every list, also when it brings no difference, and for events. */
  readonly sink: Sink<T>;
  /** Called whenever `Reflector.freshness()` has changed. */
  readonly onFreshness?: (freshness: Freshness) => void;
  readonly metrics?: ReflectorMetrics;
  /** Time between two complete lists, give or take 10 %, in milliseconds. Default 5 minutes. */
  readonly relistEveryMs?: number;
  /** Least time from one list to one that `Reflector.requestRelist()` asked for. Default 10 s. */
  readonly relistMinGapMs?: number;
  /** Time between two barriers, give or take 10 %, in milliseconds. `Infinity` for none. Default 2 s. */
  readonly barrierEveryMs?: number;
  /**
   * How long the server keeps a watch, give or take 12.5 %, in seconds. It sends a bookmark two seconds before the end,
   * so this is how often a quiet view is proven to be current. Default 8.
   */
  readonly watchSeconds?: number;
  /** Objects in a page of a list. Default 500. */
  readonly pageSize?: number;
  /** For one page of a list, in milliseconds. Default 60 s. */
  readonly listDeadlineMs?: number;
}
