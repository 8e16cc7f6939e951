import type { Clock } from "../../clock/clock.ts";
import { neverConnected } from "../connection-error.ts";
import { Slots } from "../../net/slots.ts";
import { RegistryError } from "../errors.ts";
import type { AgentRoutes } from "./agents.ts";
import { readEntry } from "./catalog.ts";
import { type ConsulClient, NotSent, Refused, within } from "./client.ts";
import type { AgentAddress } from "./ownership.ts";
import { isLost } from "./status.ts";
import { transact } from "./transaction.ts";
import type { Eviction } from "./writes.ts";

/** An agent tells the servers of a deregistration at once, but answers before: so long we look for it, milliseconds. */
const SYNC_PATIENCE_MS = 2_000;
/** Between two looks, milliseconds: at first, and at most, for it doubles. A busy server is not to be asked often. */
const FIRST_LOOK_MS = 25;
const LONGEST_LOOK_MS = 400;
/** Deregistrations under way at one agent: each makes it compare all that it keeps with what the servers have. */
const AT_ONE_AGENT = 4;

export interface AgentRemovalOptions {
  readonly routes: AgentRoutes;
  readonly clock: Clock;
  readonly callTimeout: number;
  readonly scope: Readonly<Record<string, string>>;
}

type Answered = "Done" | "Unknown" | "Fenced" | "Changed";

/** Removes entries at the agents that keep them. An agent compares nothing: the look just before is all there is. */
export class AgentRemoval {
  readonly #options: AgentRemovalOptions;
  /** By node. */
  readonly #slots = new Map<string, Slots>();

  constructor(options: AgentRemovalOptions) {
    this.#options = options;
  }

  /**
   * @returns `Unknown` when the agent has no such entry, `Changed` when it is not the judged one; the undo record is then taken away again
   * @throws RegistryError when the agent can not be reached or refuses; the record's removal says so from then on
   */
  async remove(client: ConsulClient, eviction: Eviction, signal: AbortSignal): Promise<Answered> {
    const { routes } = this.#options;
    const { node } = eviction.id;
    const route = routes.routeTo(node);
    if (route.kind !== "Open") {
      await this.#forgetUndo(client, eviction, signal);
      throw new RegistryError("Unreachable", `the agent of node ${node} keeps the entry and can not be reached`);
    }
    try {
      const ask = (): Promise<Answered> => this.#lookAndAsk(client, route.address, eviction, signal);
      const outcome = await this.#slotsOf(node).run(ask, signal);
      routes.answered(node);
      if (outcome !== "Done") await this.#forgetUndo(client, eviction, signal);
      else await this.#awaitAbsence(client, eviction, signal);
      return outcome;
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      if (error.code === "Unreachable" || error.code === "TimedOut" || error.code === "TLSFailed")
        routes.broken(node, error.message);
      // Where it may have been done after all, the record is what shows it.
      if (!isLost(error) || neverConnected(error)) await this.#forgetUndo(client, eviction, signal);
      throw error;
    }
  }

  #slotsOf(node: string): Slots {
    let slots = this.#slots.get(node);
    if (slots === undefined) this.#slots.set(node, (slots = new Slots(AT_ONE_AGENT)));
    return slots;
  }

  /** Whoever registered while others were served must not be taken for the one that was judged. */
  async #lookAndAsk(
    client: ConsulClient,
    address: AgentAddress,
    eviction: Eviction,
    signal: AbortSignal,
  ): Promise<Answered> {
    const { id, record, isJudged } = eviction;
    const entry = await readEntry(client, id, record.service, within(this.#options.callTimeout, signal));
    if (entry === undefined || !isJudged(entry)) return "Changed";
    return await this.#ask(client, address, eviction, signal);
  }

  async #ask(
    client: ConsulClient,
    address: AgentAddress,
    { id, mayBeSent }: Eviction,
    signal: AbortSignal,
  ): Promise<"Done" | "Unknown" | "Fenced"> {
    const agent = client.at(address);
    try {
      await agent.run(
        "agent.service.deregister",
        { ...within(this.#options.callTimeout, signal), beforeSend: mayBeSent },
        (consul, options) => consul.agent.service.deregister({ ...options, id: id.service }),
        [404],
      );
      return "Done";
    } catch (error) {
      if (error instanceof Refused) return "Unknown";
      if (error instanceof NotSent) return "Fenced";
      throw error;
    } finally {
      agent.close();
    }
  }

  /** So that whoever reads after us does not find what is already leaving. */
  async #awaitAbsence(client: ConsulClient, { id, record }: Eviction, signal: AbortSignal): Promise<void> {
    const { clock, callTimeout } = this.#options;
    const until = clock.monotonic() + SYNC_PATIENCE_MS;
    for (let pause = FIRST_LOOK_MS; ; pause = Math.min(LONGEST_LOOK_MS, pause * 2)) {
      try {
        const entry = await readEntry(client, id, record.service, within(callTimeout, signal));
        if (entry === undefined || clock.monotonic() > until) return;
      } catch (error) {
        // The agent has done it; what the servers show is for others to find out.
        if (error instanceof RegistryError) return;
        throw error;
      }
      await clock.sleep(pause, signal);
    }
  }

  async #forgetUndo(client: ConsulClient, { undoKey }: Eviction, signal: AbortSignal): Promise<void> {
    const { scope, callTimeout } = this.#options;
    try {
      await transact(client, [{ KV: { ...scope, Verb: "delete", Key: undoKey } }], within(callTimeout, signal));
    } catch (error) {
      signal.throwIfAborted();
      // It leaves by itself in a day.
      if (!(error instanceof RegistryError)) throw error;
    }
  }
}
