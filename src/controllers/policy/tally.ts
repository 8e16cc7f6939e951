/** A count of evictions, and when the last one was. */
export interface Tally {
  readonly total: number;
  readonly last: Date | undefined;
}

interface Account {
  /** Evictions of this process under the policy's name before there was this policy. */
  readonly before: number;
  /** Evictions of this process that are not to be added to what the status says: they are in it, or are another's. */
  counted: number;
  /** What the status said when this process became leader; undefined until it was read. */
  stored: { readonly tally: Tally; readonly counted: number } | undefined;
}

/**
 * Adds up what earlier leaders wrote into a policy's status and what this process evicts, so that the total never goes
 * down. A process counts by the policy's name, and for as long as it lives; so what it did for an earlier policy of the
 * name, and what it wrote itself while it led before, is not added again.
 */
export class EvictionTotals {
  /** By UID of the policy. */
  readonly #accounts = new Map<string, Account>();

  /** To be called as soon as a policy is seen, with what this process evicted under its name. */
  open(uid: string, own: Tally): void {
    if (this.#accounts.has(uid)) return;
    this.#accounts.set(uid, { before: own.total, counted: own.total, stored: undefined });
  }

  /** To be called when this process becomes leader: another may have written since. */
  forgetStored(): void {
    for (const account of this.#accounts.values()) account.stored = undefined;
  }

  /** Takes in what the status says, by a quorum read at the beginning of our leadership. */
  begin(uid: string, tally: Tally): void {
    const account = this.#accounts.get(uid);
    if (account !== undefined) account.stored = { tally, counted: account.counted };
  }

  /** @returns undefined until {@link begin} was called for the policy in this leadership */
  total(uid: string, own: Tally): Tally | undefined {
    const account = this.#accounts.get(uid);
    if (account?.stored === undefined) return undefined;
    const { tally, counted } = account.stored;
    const ownLast = own.total > account.before ? own.last : undefined;
    return { total: tally.total + own.total - counted, last: later(tally.last, ownLast) };
  }

  /** The status has been written with so many evictions of this process in it. */
  written(uid: string, own: Tally): void {
    const account = this.#accounts.get(uid);
    if (account !== undefined) account.counted = own.total;
  }

  /** The policy is gone. */
  close(uid: string): void {
    this.#accounts.delete(uid);
  }
}

function later(a: Date | undefined, b: Date | undefined): Date | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a > b ? a : b;
}
