import { type EtcdAccess, EtcdSession, type EtcdWatch } from "../support/registrants/index.ts";
import { ConsulDepartures } from "../support/consul-departures.ts";
import { NacosApi } from "../support/nacos-api.ts";
import { NacosDepartures } from "../support/nacos-departures.ts";
import type { RegistryAccess } from "./registry.ts";

/**
 * A process of its own that watches the control plane's etcd and the registry side by side: both ends of a death are
 * timed by one clock, and the load generator's event loop has no part in it. A departure from etcd is timed by the same
 * kind of watch as the pod's write; from Consul when a blocking query shows it, and one from Nacos, or its rotation, when the admin list does, which is half a
 * second late.
 */
export interface ObserverStart {
  readonly type: "start";
  readonly kubernetes: EtcdAccess;
  readonly registry: RegistryAccess;
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
const closers: (() => void | Promise<void>)[] = [];
const podWrites = new Map<string, number>();
const departures = new Map<string, number>();

function noteOnce(times: Map<string, number>, key: string): void {
  if (!times.has(key)) times.set(key, performance.now());
}

async function watchEtcd(
  access: EtcdAccess,
  prefix: string,
  {
    put = () => undefined,
    deleted = () => undefined,
  }: { put?: (key: string) => void; deleted?: (key: string) => void },
): Promise<void> {
  const session = new EtcdSession(access);
  const { revision } = await session.list("/nothing/");
  const watch: EtcdWatch = session.watch(prefix, revision + 1, {
    put: ({ key }) => {
      put(key);
    },
    deleted,
    gap: () => undefined,
  });
  closers.push(async () => {
    watch.close();
    await session.close();
  });
}

async function follow(source: ConsulDepartures | NacosDepartures): Promise<void> {
  closers.push(() => {
    source.close();
  });
  await source.start();
}

async function start({ kubernetes, registry }: ObserverStart): Promise<void> {
  const left = (id: string): void => {
    noteOnce(departures, id);
  };
  await watchEtcd(kubernetes, PODS, {
    put: (key) => {
      noteOnce(podWrites, key.slice(PODS.length));
    },
  });
  switch (registry.type) {
    case "Etcd":
      await watchEtcd(registry.etcd, "", { deleted: left });
      break;
    case "Consul":
      await follow(new ConsulDepartures(registry.url, left));
      break;
    case "Nacos":
      await follow(new NacosDepartures(new NacosApi(registry.url), left));
  }
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
process.on("disconnect", () => {
  for (const close of closers) void close();
});
