import { type EtcdAccess, EtcdSession, type EtcdWatch } from "../support/registrants/index.ts";

/**
 * A process of its own that watches the control plane's etcd and the registry side by side. Both kinds of commit are
 * timed by one clock and arrive by the same kind of watch, so their difference is the time between the two commits,
 * and the load generator's event loop has no part in it.
 */
export interface ObserverStart {
  readonly type: "start";
  readonly kubernetes: EtcdAccess;
  readonly registry: EtcdAccess;
}

/** Asks for what was seen since the start or the last such request. */
export interface ObserverCollect {
  readonly type: "collect";
}

/** Times by key, milliseconds of the observer's clock; for a key that was written several times, the first. */
export interface Observations {
  readonly type: "observations";
  /** By `namespace/name`. */
  readonly podWrites: readonly (readonly [string, number])[];
  readonly departures: readonly (readonly [string, number])[];
}

const PODS = "/registry/pods/";
const sessions: EtcdSession[] = [];
const watches: EtcdWatch[] = [];
const podWrites = new Map<string, number>();
const departures = new Map<string, number>();

async function start({ kubernetes, registry }: ObserverStart): Promise<void> {
  const [cluster, entries] = [new EtcdSession(kubernetes), new EtcdSession(registry)];
  sessions.push(cluster, entries);
  const from = async (session: EtcdSession): Promise<number> => (await session.list("/nothing/")).revision + 1;
  watches.push(
    cluster.watch(PODS, await from(cluster), {
      put: ({ key }) => {
        const name = key.slice(PODS.length);
        if (!podWrites.has(name)) podWrites.set(name, performance.now());
      },
      deleted: () => undefined,
      gap: () => undefined,
    }),
    entries.watch("", await from(entries), {
      put: () => undefined,
      deleted: (key) => {
        if (!departures.has(key)) departures.set(key, performance.now());
      },
      gap: () => undefined,
    }),
  );
}

async function stop(): Promise<void> {
  for (const watch of watches) watch.close();
  await Promise.all(sessions.map((session) => session.close()));
}

process.on("message", (message: ObserverStart | ObserverCollect) => {
  if (message.type === "start") {
    void start(message).then(() => process.send?.({ type: "started" }));
    return;
  }
  const answer: Observations = { type: "observations", podWrites: [...podWrites], departures: [...departures] };
  podWrites.clear();
  departures.clear();
  process.send?.(answer);
});
process.on("disconnect", () => void stop());
