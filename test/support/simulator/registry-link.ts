import { KeyTable, type KeyValue } from "../../../src/registry/etcd/key-table.ts";
import { LayoutSet } from "../../../src/registry/etcd/layouts/layout-set.ts";
import { Timeline } from "../../../src/registry/timeline.ts";
import { nextEra } from "../../../src/registry/etcd/version.ts";
import type { InstanceRecord, RegistryFreshness } from "../../../src/registry/port.ts";
import { RegistryView } from "../../../src/registry/view.ts";
import { Channel } from "./channel.ts";
import type { EtcdServer, KeyEvent, StoredKey } from "./etcd-server.ts";
import type { SeededRandom } from "./random.ts";
import type { VirtualTime } from "./virtual-time.ts";

const BARRIER_MS = 2_000;

/** Under these prefixes the simulated processes register. */
const layouts = new LayoutSet([{ layout: "EtcdNaming", prefix: "naming" }, { layout: "Kratos" }]);

/** The product's own tables over a simulated connection to the registry. */
export class RegistryLink {
  readonly view = new RegistryView("etcd");
  readonly channel: Channel;
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  readonly #server: EtcdServer;
  readonly #timeline = new Timeline();
  readonly #table: KeyTable;
  #watchFrom = Infinity;
  #reached = 0;
  #clusterId = 0;
  #problem: RegistryFreshness["problem"];
  #stopped = false;

  constructor(time: VirtualTime, random: SeededRandom, server: EtcdServer) {
    this.#time = time;
    this.#random = random;
    this.#server = server;
    this.channel = new Channel(time, random);
    this.#table = new KeyTable("etcd", layouts, this.#timeline, nextEra());
    server.subscribe((event) => {
      if (!this.#stopped && event.revision > this.#watchFrom) this.channel.send(() => this.#receive(event));
    });
    server.subscribeRestart(() => this.cut(random.delay(50, 5_000)));
    this.#every();
    this.#snapshot();
  }

  stop(): void {
    this.#stopped = true;
    this.channel.break();
  }

  /** Part of every version. */
  get era(): number {
    return this.#table.era;
  }

  /** The connection breaks; the history meanwhile is compacted, so that only a snapshot helps. */
  cut(ms: number): void {
    if (this.#stopped) return;
    this.channel.break();
    this.#watchFrom = Infinity;
    this.#problem = { reason: "Unreachable", message: "the connection broke" };
    this.#publish();
    this.#time.after(ms, () => this.#snapshot());
  }

  #snapshot(): void {
    if (this.#stopped) return;
    const startedAt = this.#time.monotonic();
    this.#time.after(this.#oneWay(), () => {
      if (this.#stopped || this.#watchFrom !== Infinity) return;
      const { revision, clusterId } = this.#server;
      const keys = this.#server.list();
      this.#watchFrom = revision;
      // The watch begins where the list ends, and never arrives before it.
      this.channel.send(() => {
        if (clusterId !== this.#clusterId || revision < this.#reached) {
          this.#timeline.clear();
          this.#table.beginEra(nextEra());
          this.#reached = 0;
        }
        this.#clusterId = clusterId;
        this.#timeline.add(startedAt, revision);
        this.#take(keys);
        this.#problem = undefined;
        this.#reach(revision);
      });
    });
  }

  #take(keys: readonly StoredKey[]): void {
    const now = this.#time.monotonic();
    const listed = new Set(keys.map(({ key }) => key));
    for (const id of [...this.#table.ids()]) if (!listed.has(id)) this.#table.removeId(id);
    const records = keys.map((stored) => this.#put(stored, now) ?? this.view.get(stored.key));
    this.view.snapshot(records.filter((record) => record !== undefined));
  }

  #receive({ revision, type, stored }: KeyEvent): void {
    if (type === "PUT") {
      const record = this.#put(stored, this.#time.monotonic());
      if (record !== undefined) this.view.change([record], []);
    } else if (this.#table.removeId(stored.key)) {
      this.view.change([], [stored.key]);
    }
    this.#reach(revision);
  }

  #put(stored: StoredKey, now: number): InstanceRecord | undefined {
    const { upserted } = this.#table.put(toKeyValue(stored), now);
    if (stored.lease !== "0") this.#time.after(this.#oneWay(), () => this.#learnTtl(stored));
    return upserted;
  }

  #learnTtl({ key, lease }: StoredKey): void {
    const answer = this.#server.timeToLive(lease);
    if (answer === undefined || this.#stopped) return;
    const record = this.#table.learnTtl(key, lease, answer.grantedMs);
    if (record !== undefined && this.view.get(key) !== undefined) this.view.change([record], []);
  }

  #reach(revision: number): void {
    this.#reached = Math.max(this.#reached, revision);
    this.#publish();
  }

  #publish(): void {
    this.view.freshness({
      synced: this.#reached > 0,
      caughtUpTo: this.#timeline.before(this.#reached + 1),
      problem: this.#problem,
      mode: "Normal",
      serverVersion: "3.6.8",
      clusterId: String(this.#clusterId),
    });
  }

  /** A linearizable request that tells the revision, and a progress notice behind all events so far. */
  #every(): void {
    this.#time.after(BARRIER_MS, () => {
      if (this.#stopped) return;
      const startedAt = this.#time.monotonic();
      this.#time.after(this.#oneWay(), () => {
        const { revision, clusterId } = this.#server;
        if (revision >= this.#watchFrom) this.channel.send(() => this.#reach(revision));
        this.#time.after(this.#oneWay(), () => {
          if (clusterId === this.#clusterId) this.#timeline.add(startedAt, revision);
        });
      });
      this.#every();
    });
  }

  #oneWay(): number {
    return this.#random.delay(1, 300);
  }
}

/** As etcd sends it. */
function toKeyValue({ key, value, createRevision, modRevision, lease }: StoredKey): KeyValue {
  return {
    key: Buffer.from(key),
    value: Buffer.from(value),
    create_revision: String(createRevision),
    mod_revision: String(modRevision),
    lease,
  };
}
