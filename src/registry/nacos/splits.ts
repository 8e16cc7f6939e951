import { instanceKey, type NacosInstance } from "./model.ts";

/** What one server lists. */
export interface Side {
  readonly endpoint: string;
  readonly instances: readonly NacosInstance[];
}

/** An instance on which servers disagree. */
export interface Split {
  readonly instance: NacosInstance;
  /** Local monotonic milliseconds at which it was noticed. */
  readonly since: number;
  /** What they disagree about, for a person. */
  readonly message: string;
}

/** Remembers on which instances the servers of a cluster disagree, and since when. */
export class Splits {
  #splits = new Map<string, Split>();
  #compared: readonly Side[] = [];

  /** The one that has lasted longest. */
  get oldest(): Split | undefined {
    let oldest: Split | undefined;
    for (const split of this.#splits.values()) if (oldest === undefined || split.since < oldest.since) oldest = split;
    return oldest;
  }

  get size(): number {
    return this.#splits.size;
  }

  /** @param now local monotonic milliseconds */
  compare(sides: readonly [Side, ...Side[]], now: number): void {
    if (isSame(sides, this.#compared)) return;
    this.#compared = sides;
    const [first, ...others] = sides;
    const splits = new Map<string, Split>();
    const expected = byKey(first.instances);
    for (const other of others) {
      const found = byKey(other.instances);
      for (const [key, instance] of found) {
        const counterpart = expected.get(key);
        if (counterpart === undefined) this.#note(splits, key, instance, now, listedBy(other, first));
        else if (contentOf(counterpart) !== contentOf(instance))
          this.#note(splits, key, instance, now, differs(first, other));
      }
      for (const [key, instance] of expected)
        if (!found.has(key)) this.#note(splits, key, instance, now, listedBy(first, other));
    }
    this.#splits = splits;
  }

  #note(splits: Map<string, Split>, key: string, instance: NacosInstance, now: number, message: string): void {
    splits.set(key, { instance, since: this.#splits.get(key)?.since ?? now, message });
  }
}

/** The very same lists of the same servers say what they said before. */
function isSame(sides: readonly Side[], before: readonly Side[]): boolean {
  if (sides.length !== before.length) return false;
  return sides.every(({ endpoint, instances }, i) => {
    return endpoint === before[i]?.endpoint && instances === before[i].instances;
  });
}

function byKey(instances: readonly NacosInstance[]): ReadonlyMap<string, NacosInstance> {
  return new Map(instances.map((instance) => [instanceKey(instance), instance]));
}

/** Each server judges health by itself. */
function contentOf({ weight, enabled, ephemeral, metadata }: NacosInstance): string {
  return JSON.stringify([weight, enabled, ephemeral, metadata]);
}

function listedBy({ endpoint }: Side, { endpoint: other }: Side): string {
  return `${endpoint} lists it and ${other} does not`;
}

function differs({ endpoint }: Side, { endpoint: other }: Side): string {
  return `${endpoint} and ${other} list it with other content`;
}
