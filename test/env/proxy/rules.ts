import type { Exchange, ProxyRequest } from "./exchange.ts";

/** What a rule does to an exchange. */
export interface Action {
  /** Before the request is forwarded; `Done` when the exchange needs no more. */
  onRequest?(exchange: Exchange, rule: BoundRule): Promise<"Forward" | "Done">;
  /** When the server's answer begins, before its status is forwarded. */
  onHead?(exchange: Exchange, rule: BoundRule): Promise<"Forward" | "Done">;
  /**
   * For each part of the answer's body: a whole line with its newline for a watch, else as the bytes come.
   * @returns what is forwarded, undefined for nothing; `Done` when nothing more is to be forwarded
   */
  onBody?(part: Buffer, exchange: Exchange, rule: BoundRule): Promise<Buffer | undefined | "Done">;
}

export interface RuleOptions {
  readonly match: (request: ProxyRequest) => boolean;
  readonly action: Action;
  /** How many matching requests go free before the rule applies. Default 0. */
  readonly skip?: number;
  /** To how many requests it applies at most. Default unlimited. */
  readonly times?: number;
}

/** A rule in force. */
export class BoundRule {
  readonly action: Action;
  readonly #options: RuleOptions;
  readonly #removed = Promise.withResolvers<undefined>();
  #matched = 0;
  #isRemoved = false;
  #onRemove: () => void;

  constructor(options: RuleOptions, onRemove: (rule: BoundRule) => void) {
    this.#options = options;
    this.action = options.action;
    this.#onRemove = () => onRemove(this);
  }

  /** Resolves when the rule is removed. */
  get removed(): Promise<undefined> {
    return this.#removed.promise;
  }

  get isRemoved(): boolean {
    return this.#isRemoved;
  }

  /** To how many requests it has been applied. */
  get applied(): number {
    const { skip = 0, times = Infinity } = this.#options;
    return Math.max(0, Math.min(this.#matched - skip, times));
  }

  /** Asks for a new request; counts it when it matches. */
  takes(request: ProxyRequest): boolean {
    const { match, skip = 0, times = Infinity } = this.#options;
    if (!match(request)) return false;
    this.#matched += 1;
    return this.#matched > skip && this.#matched <= skip + times;
  }

  /** Asks for a request that was under way when the rule was made. */
  takesRunning(request: ProxyRequest): boolean {
    return this.#options.skip === undefined && this.#options.times === undefined && this.#options.match(request);
  }

  /** Ends the rule: what it held goes on. */
  remove(): void {
    this.#isRemoved = true;
    this.#onRemove();
    this.#removed.resolve(undefined);
  }
}
