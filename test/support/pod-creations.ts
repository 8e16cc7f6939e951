import { setTimeout as delay } from "node:timers/promises";

/** One pod as it was created. Times are monotonic milliseconds. */
export interface Creation {
  readonly name: string;
  /** Which of the workloads it belongs to. */
  readonly workload: string;
  readonly sentAt: number;
  readonly answeredAt: number;
  readonly isChanged: boolean;
}

/** Part of the time, monotonic milliseconds. */
export interface Window {
  readonly from: number;
  readonly until: number;
}

export interface CreationsOptions {
  /** Creations under way at the same time, at most. */
  readonly parallel: number;
  /** Creations a second, at most. */
  readonly rate: number;
  /** Creates the pod of this number. @throws what it was refused with */
  readonly create: (index: number) => Promise<Pick<Creation, "name" | "workload" | "isChanged">>;
}

/** Creates pods at a steady rate until it is stopped, and keeps of each when that was and what came out. */
export class PodCreations {
  readonly done: Creation[] = [];
  /** What creations were refused with. */
  readonly refusals: string[] = [];
  readonly #options: CreationsOptions;
  readonly #workers: Promise<unknown>;
  #next = 0;
  #isStopped = false;

  constructor(options: CreationsOptions) {
    this.#options = options;
    const startedAt = performance.now();
    this.#workers = Promise.all(Array.from({ length: options.parallel }, () => this.#work(startedAt)));
  }

  /** Creates no more, and waits for what is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#workers;
  }

  async #work(startedAt: number): Promise<void> {
    const { rate, create } = this.#options;
    while (!this.#isStopped) {
      const index = this.#next++;
      const waitMs = startedAt + (index * 1000) / rate - performance.now();
      if (waitMs > 1) await delay(waitMs);
      const sentAt = performance.now();
      try {
        const created = await create(index);
        this.done.push({ ...created, sentAt, answeredAt: performance.now() });
      } catch (error) {
        this.refusals.push(String(error));
      }
    }
  }
}

/** True when some of the creation fell into one of the windows. */
export function touches({ sentAt, answeredAt }: Creation, windows: readonly Window[]): boolean {
  return windows.some(({ from, until }) => sentAt <= until && answeredAt >= from);
}

/** True when all of the creation fell into one of the windows. */
export function isWithin({ sentAt, answeredAt }: Creation, windows: readonly Window[]): boolean {
  return windows.some(({ from, until }) => sentAt >= from && answeredAt <= until);
}
