import { BarrierLog } from "../../../src/kube/barrier.ts";
import { FreshnessTracker } from "../../../src/kube/reflector-freshness.ts";
import { ReflectorView } from "../../../src/kube/reflector-view.ts";
import type { Change, Freshness, ObjectIdentity, Sink } from "../../../src/kube/types.ts";
import type { ApiServer, Collection, Commit } from "./api-server.ts";
import { Channel } from "./channel.ts";
import type { SeededRandom } from "./random.ts";
import type { VirtualTime } from "./virtual-time.ts";

const BARRIER_MS = 2_000;
const BOOKMARK_MS = 1_500;

/** The product's own reflector logic over a simulated connection that is late, breaks and leaves gaps. */
export class Reflected<T extends ObjectIdentity> {
  readonly channel: Channel;
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  readonly #server: ApiServer;
  readonly #objects: Collection<T>;
  readonly #sink: Sink<T>;
  readonly #barriers = new BarrierLog();
  readonly #tracker: FreshnessTracker;
  readonly #view: ReflectorView<T>;
  /** Until the first list has been read there is no watch, and while it is cut neither. */
  #watchFrom = Infinity;
  #listing = false;
  /** Counts connections, so that an answer to a list of before is not taken. */
  #attempt = 0;
  #cutUntil = -Infinity;
  #stopped = false;

  constructor(
    parts: { time: VirtualTime; random: SeededRandom; server: ApiServer; objects: Collection<T> },
    sink: Sink<T>,
  ) {
    this.#time = parts.time;
    this.#random = parts.random;
    this.#server = parts.server;
    this.#objects = parts.objects;
    this.#sink = sink;
    this.channel = new Channel(parts.time, parts.random);
    this.#tracker = new FreshnessTracker(this.#barriers, () => undefined);
    this.#view = new ReflectorView<T>({ project: (raw) => raw as T, barriers: this.#barriers, selective: false });
    this.#objects.subscribe((commit) => {
      if (!this.#stopped && commit.revision > this.#watchFrom) this.channel.send(() => this.#receive(commit));
    });
    this.#every(BARRIER_MS, () => this.#barrier());
    this.#every(BOOKMARK_MS, () => this.#bookmark());
  }

  get freshness(): Freshness {
    return this.#tracker.freshness;
  }

  stop(): void {
    this.#stopped = true;
    this.#attempt += 1;
    this.channel.break();
  }

  /** A complete quorum list, beside the watch if there is one. */
  list(): void {
    if (this.#listing || this.#stopped || this.#time.monotonic() < this.#cutUntil) return;
    this.#listing = true;
    const attempt = this.#attempt;
    const list = this.#view.beginList();
    const startedAt = this.#time.monotonic();
    const highest = this.#tracker.highest;
    this.#time.after(this.#oneWay(), () => {
      if (attempt !== this.#attempt) return;
      const revision = this.#server.revision;
      const objects = this.#objects.list();
      const arrive = (): void => {
        if (attempt !== this.#attempt) return;
        this.#listing = false;
        this.#tracker.quorumRead(startedAt, String(revision), highest, "list");
        const items = objects.map((object) => ({ ...identity(object), raw: object }));
        this.#view.addPage(list, items);
        this.#deliver(this.#view.finishList(list, String(revision)), "List");
        this.#view.listAccepted(list, String(revision));
        this.#tracker.listApplied(String(revision));
      };
      if (this.#watchFrom !== Infinity) {
        this.#time.after(this.#oneWay(), arrive);
        return;
      }
      // The watch begins where the list ends, and never arrives before it.
      this.#watchFrom = revision;
      this.channel.send(arrive);
    });
  }

  /** The watch ends and what happens meanwhile is lost: only a list tells what became of it. */
  cut(ms: number): void {
    this.#attempt += 1;
    this.channel.break();
    this.#watchFrom = Infinity;
    this.#cutUntil = this.#time.monotonic() + ms;
    this.#tracker.gap();
    if (this.#listing) this.#view.abandonList();
    this.#listing = false;
    this.#time.after(ms, () => this.list());
  }

  #receive({ revision, type, object }: Commit<T>): void {
    const changes: Change<T>[] = [];
    this.#view.event(type, { ...identity(object), raw: object }, changes);
    this.#deliver(changes, "Watch");
    this.#view.commit();
    this.#tracker.watchReached(String(revision));
  }

  #deliver(changes: readonly Change<T>[], cause: "List" | "Watch"): void {
    if (changes.length > 0 || cause === "List") this.#sink.apply(changes, cause);
  }

  #barrier(): void {
    const startedAt = this.#time.monotonic();
    const highest = this.#tracker.highest;
    if (startedAt < this.#cutUntil) return;
    this.#time.after(this.#oneWay(), () => {
      const revision = String(this.#server.revision);
      this.#time.after(this.#oneWay(), () => {
        if (!this.#stopped) this.#tracker.quorumRead(startedAt, revision, highest, "barrier");
      });
    });
  }

  #bookmark(): void {
    const revision = this.#server.revision;
    if (revision < this.#watchFrom) return;
    this.channel.send(() => this.#tracker.watchReached(String(revision)));
  }

  #oneWay(): number {
    return this.#random.delay(1, 400);
  }

  #every(ms: number, run: () => void): void {
    const again = (): void => {
      if (this.#stopped) return;
      run();
      this.#time.after(ms, again);
    };
    this.#time.after(ms, again);
  }
}

function identity({ uid, namespace, name, resourceVersion }: ObjectIdentity): ObjectIdentity {
  return { uid, namespace, name, resourceVersion };
}
