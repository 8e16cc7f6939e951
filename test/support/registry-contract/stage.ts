import { setTimeout as delay } from "node:timers/promises";

import { afterAll, beforeAll, beforeEach, expect, onTestFinished } from "vitest";

import type { Fence, InstanceRecord, RegistryAdapter, RegistryFreshness } from "../../../src/registry/port.ts";
import { RegistryView } from "../../../src/registry/view.ts";

/** What one service process registers. */
export interface ContractInstance {
  readonly service: string;
  /** Names the process; ids are made from it. */
  readonly instance: string;
  readonly host: string;
  readonly port: number;
  /** Seconds; 0 = for ever. */
  readonly ttl: number;
}

/** One registry, its adapter, and hands on both sides of the network between them. */
export interface RegistryHarness {
  /** A further adapter on the same registry, over the same network. */
  adapter(): RegistryAdapter;
  /** Milliseconds within which an adapter over a good network proves that its view is current. */
  readonly freshWithin: number;
  /** How the registry hears that a process with a ttl lives, and forgets it; without it by a lease that runs down. */
  readonly life?: "Lease" | "Heartbeat" | "None";

  /** The processes' side, which the network below does not touch. */
  /** Registers, in place of whoever has the id. @returns the record's id */
  register(instance: ContractInstance): Promise<string>;
  /** The process that registered writes the same once more. */
  rewrite(id: string): Promise<void>;
  /** The process that registered says that it lives. */
  keepAlive(id: string): Promise<void>;
  /** The process that registered goes in good order. */
  remove(id: string): Promise<void>;
  isListed(id: string): Promise<boolean>;
  /** Texts of the operator's undo records. */
  undoRecords(): Promise<readonly string[]>;

  /** The adapters' network. */
  /** Connections stay, nothing flows. */
  hold(): void;
  release(): void;
  /** Connections break and can be made again at once. */
  cut(): void;
  /** Connections break, and new ones are refused. */
  refuse(): Promise<void>;
  accept(): Promise<void>;

  close(): Promise<void>;
}

/** An adapter that runs, with its view and everything it said of its freshness. */
export interface Running {
  readonly adapter: RegistryAdapter;
  readonly view: RegistryView;
  readonly states: RegistryFreshness[];
  stop(): Promise<void>;
}

/** A view that keeps what it was told. */
class RecordingView extends RegistryView {
  readonly states: RegistryFreshness[] = [];
  /** Called at every word about freshness. */
  onState: (state: RegistryFreshness) => void = () => undefined;

  override freshness(): RegistryFreshness;
  override freshness(state: RegistryFreshness): void;
  override freshness(state?: RegistryFreshness): RegistryFreshness {
    if (state === undefined) return super.freshness();
    this.states.push(state);
    super.freshness(state);
    this.onState(state);
    return state;
  }
}

export const never = new AbortController().signal;

export function fence(overrides: Partial<Fence> = {}): Fence {
  return { isValid: () => true, clusterUid: "c0ffee", reason: "DeathConfirmed", traceId: "trace-1", ...overrides };
}

/** Waits until `check` throws no more. */
export async function eventually(check: () => void | Promise<void>, timeout = 20_000): Promise<void> {
  const until = performance.now() + timeout;
  for (;;) {
    try {
      await check();
      return;
    } catch (error) {
      if (performance.now() > until) throw error;
      await delay(10);
    }
  }
}

/** What the tests of the contract stand on. */
export interface ContractStage {
  readonly harness: RegistryHarness;
  /** A process that no other test has. */
  readonly one: ContractInstance;
  /** Runs an adapter until the end of the test. */
  readonly run: () => Running & { readonly view: RecordingView };
  /** Waits until the view holds everything that was committed before now. */
  readonly caughtUp: (view: RegistryView) => Promise<void>;
  /** Registers {@link one}, or another, and gives what the view shows of it. */
  readonly registered: (running: Running, instance?: ContractInstance) => Promise<InstanceRecord>;
  /** Time after which the registry forgets a process with a ttl of so many seconds by itself, milliseconds. */
  readonly forgottenAfter: (seconds: number) => number;
}

let counter = 0;

/** Sets up for all tests of the `describe` that it is called in. */
export function setStage(start: () => Promise<RegistryHarness>): ContractStage {
  let harness: RegistryHarness;
  let one: ContractInstance;

  beforeAll(async () => {
    harness = await start();
  });
  afterAll(async () => {
    await harness.close();
  });
  beforeEach(() => {
    counter++;
    const unique = String(counter);
    one = { service: `service-${unique}`, instance: `i${unique}`, host: `10.1.0.${unique}`, port: 8080, ttl: 60 };
    onTestFinished(async () => {
      harness.release();
      await harness.accept();
    });
  });

  function run(): Running & { readonly view: RecordingView } {
    const adapter = harness.adapter();
    const view = new RecordingView(adapter.name);
    const running = new AbortController();
    const ended = adapter.run(view, running.signal);
    const stop = async (): Promise<void> => {
      running.abort();
      await ended;
      await adapter.close();
    };
    onTestFinished(stop);
    return { adapter, view, states: view.states, stop };
  }

  async function caughtUp(view: RegistryView): Promise<void> {
    const now = performance.now();
    await eventually(() => {
      expect(view.freshness().problem).toBeUndefined();
      expect(view.freshness().caughtUpTo).toBeGreaterThan(now);
    });
  }

  async function registered(running: Running, instance = one): Promise<InstanceRecord> {
    const id = await harness.register(instance);
    await caughtUp(running.view);
    const record = running.view.get(id);
    if (record === undefined) throw new Error(`${id} is not listed`);
    return record;
  }

  return {
    get harness() {
      return harness;
    },
    get one() {
      return one;
    },
    run,
    caughtUp,
    registered,
    forgottenAfter: (seconds) => (harness.life === "None" ? 0 : seconds * 1000),
  };
}
