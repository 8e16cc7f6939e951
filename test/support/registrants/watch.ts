import { setTimeout as delay } from "node:timers/promises";

import type { IWatchRequest, IWatchResponse, WatchClient } from "etcd3";

import type { StoredKey } from "./session.ts";

/** Receives what happens to the keys, in etcd's order. */
export interface WatchHandler {
  put(key: StoredKey): void;
  /** @param revision of the deletion */
  deleted(key: string, revision: number): void;
  /** The history up to this revision cannot be had any more: the server compacted it, or lost its data. */
  gap(revision: number): void;
}

interface WatchStream {
  write(request: IWatchRequest): void;
  on(event: "data", handler: (answer: IWatchResponse) => void): unknown;
  on(event: "error" | "end", handler: () => void): unknown;
  cancel(): void;
}

/** A watch that goes on after every fault at the revision it had reached, until it is closed. */
export class EtcdWatch {
  readonly #client: WatchClient;
  readonly #range: { readonly key: Buffer; readonly range_end: Buffer };
  readonly #handler: WatchHandler;
  #next: number;
  #closed = false;
  #stream: WatchStream | undefined;

  constructor(
    client: WatchClient,
    range: { readonly key: Buffer; readonly range_end: Buffer },
    startRevision: number,
    handler: WatchHandler,
  ) {
    this.#client = client;
    this.#range = range;
    this.#next = startRevision;
    this.#handler = handler;
    void this.#run();
  }

  close(): void {
    this.#closed = true;
    this.#stream?.cancel();
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      // Refused or broken connections are what tests are made of; the next try comes soon.
      await this.#watchOnce().catch(() => undefined);
      await delay(50, undefined, { ref: false });
    }
  }

  async #watchOnce(): Promise<void> {
    const stream = (await this.#client.watch()) as unknown as WatchStream;
    this.#stream = stream;
    await new Promise<void>((resolve) => {
      stream.on("error", resolve);
      stream.on("end", resolve);
      stream.on("data", (answer) => {
        if (this.#closed) return;
        if (this.#read(answer) === "Cancelled") stream.cancel();
      });
      stream.write({ create_request: { ...this.#range, start_revision: this.#next } });
      // Closed while the stream was being opened.
      if (this.#closed) stream.cancel();
    });
  }

  #read(answer: IWatchResponse): "Cancelled" | "Open" {
    const revision = Number(answer.header.revision);
    if (answer.canceled) {
      const compacted = Number(answer.compact_revision);
      if (compacted > 0) this.#skipTo(compacted);
      return "Cancelled";
    }
    // The server is behind what we have seen already: it is empty, or an old snapshot.
    if (answer.created && revision < this.#next - 1) {
      this.#skipTo(revision + 1);
      return "Cancelled";
    }
    for (const { type, kv } of answer.events) {
      const key = kv.key.toString();
      const modRevision = Number(kv.mod_revision);
      if (type === "Put") this.#handler.put({ key, value: kv.value.toString(), modRevision, lease: kv.lease });
      else this.#handler.deleted(key, modRevision);
      this.#next = modRevision + 1;
    }
    return "Open";
  }

  #skipTo(revision: number): void {
    this.#next = revision;
    this.#handler.gap(revision);
  }
}
