import type { IDuplexStream, IEvent, IWatchRequest, IWatchResponse } from "etcd3";

import { RegistryError } from "../errors.ts";
import type { EtcdClient } from "./client.ts";
import { registryErrorOf, watchErrorOf } from "./status.ts";

/** One range to watch. Without an end it is the one key. */
export interface WatchRange {
  readonly start: Buffer;
  readonly end: Buffer | undefined;
  /** First revision that is wanted. */
  readonly fromRevision: number;
}

export interface WatchListener {
  /**
   * Events of one range, complete revisions only, in order.
   * @param range index into the ranges
   * @param revision everything of this range up to it has been delivered
   */
  onEvents(range: number, events: readonly IEvent[], revision: number): void;
  /** Everything of all ranges up to this revision has been delivered. */
  onProgress(revision: number): void;
}

/**
 * Several ranges watched over one stream. etcd keeps the order inside a range only: a range that falls behind is served
 * apart from the others, so an event on one says nothing of another. What does is the answer to a progress request
 * (docs/decisions/etcd-adapter.md), which etcd gives only when every range of the stream is in step.
 */
export class WatchStream {
  readonly #stream: IDuplexStream<IWatchRequest, IWatchResponse>;
  readonly #listener: WatchListener;
  readonly #endpoint: string;
  readonly #rangeCount: number;
  /** etcd's watch id -> index of the range. */
  readonly #ids = new Map<string, number>();
  /** Parts of an answer that was too long for one message, by range. */
  readonly #fragments = new Map<number, IEvent[]>();
  #created = 0;
  #end: (error: unknown) => void = () => undefined;

  /** Resolves when the stream is over, with the cause: a RegistryError, or what the listener threw. Never rejects. */
  readonly ended: Promise<unknown>;

  private constructor(
    stream: IDuplexStream<IWatchRequest, IWatchResponse>,
    listener: WatchListener,
    endpoint: string,
    ranges: readonly WatchRange[],
  ) {
    this.#stream = stream;
    this.#listener = listener;
    this.#endpoint = endpoint;
    this.#rangeCount = ranges.length;
    this.ended = new Promise((resolve) => {
      this.#end = (error) => {
        resolve(error);
        stream.cancel();
      };
    });
    stream.on("data", (response) => {
      try {
        this.#receive(response);
      } catch (error) {
        // Thrown on, it would end the process: grpc-js has nobody to give it to.
        this.#end(error);
      }
    });
    stream.on("error", (error) => {
      this.#end(registryErrorOf(error, "watch", endpoint));
    });
    stream.on("end", () => {
      this.#end(new RegistryError("Unreachable", `watch at ${endpoint}: the server ended the stream`));
    });
    for (const { start, end, fromRevision } of ranges) {
      stream.write({
        create_request: {
          key: start,
          ...(end === undefined ? {} : { range_end: end }),
          start_revision: fromRevision,
          fragment: true,
        },
      });
    }
  }

  /**
   * @param signal ends the stream
   * @throws RegistryError when no stream can be opened
   */
  static async open(
    client: EtcdClient,
    ranges: readonly WatchRange[],
    listener: WatchListener,
    signal: AbortSignal,
  ): Promise<WatchStream> {
    const { endpoint } = client;
    return new WatchStream(await client.openWatch(signal), listener, endpoint, ranges);
  }

  /**
   * Asks how far the stream is. etcd answers at once when all ranges are in step, else not at all: ask again.
   * Does nothing before all ranges stand: until then etcd holds back their events, but not its answer.
   */
  requestProgress(): void {
    if (this.#created === this.#rangeCount) this.#stream.write({ progress_request: {} });
  }

  #receive(response: IWatchResponse): void {
    if (response.compact_revision !== "0") {
      this.#end(new RegistryError("Compacted", `watch at ${this.#endpoint}: the history asked for is gone`));
      return;
    }
    if (response.canceled) {
      this.#end(watchErrorOf(response.cancel_reason, this.#endpoint));
      return;
    }
    if (response.created) {
      // Answers to create requests come in the order of the requests.
      this.#ids.set(response.watch_id, this.#created);
      this.#created++;
      return;
    }
    const revision = Number(response.header.revision);
    const range = this.#ids.get(response.watch_id);
    if (range === undefined) {
      // -1 speaks for all ranges.
      if (response.watch_id === "-1") this.#listener.onProgress(revision);
      return;
    }
    if (response.events.length > 0) this.#receiveEvents(range, response);
  }

  #receiveEvents(range: number, response: IWatchResponse): void {
    const parts = this.#fragments.get(range);
    const events = parts === undefined ? response.events : [...parts, ...response.events];
    if (response.fragment) {
      this.#fragments.set(range, events);
      return;
    }
    this.#fragments.delete(range);
    const last = events.at(-1);
    // The header's revision may be ahead of what a slow range was sent.
    this.#listener.onEvents(range, events, Number(last?.kv.mod_revision ?? 0));
  }
}
