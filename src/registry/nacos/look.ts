import type { Clock } from "../../clock/clock.ts";
import type { NacosApi } from "./api.ts";
import type { NacosInstance } from "./model.ts";
import type { NacosTiming } from "./options.ts";
import type { InstanceRef } from "./record-id.ts";
import { isPersistent, writersIn } from "./registrants.ts";
import type { NacosServer } from "./server.ts";
import type { Writers } from "./writers.ts";

/** Between two looks at what is being written just now, milliseconds. */
const LOOK_EVERY_MS = 50;

/** One instance as one server has it now. */
export interface Seen {
  readonly instance: NacosInstance;
  readonly writers: Writers;
}

/** What a look needs of its adapter. */
export interface LookOptions {
  readonly clock: Clock;
  readonly timing: NacosTiming;
}

/**
 * Reads one instance from one server as it is now: who keeps it listed is told at once, what is listed half a second late.
 * So what nobody keeps any more is gone, and what somebody keeps and is not listed yet is waited for.
 * @returns undefined when it is not there
 * @throws RegistryError, or the signal's reason
 */
export async function look(
  server: NacosServer,
  ref: InstanceRef,
  { clock, timing }: LookOptions,
  signal: AbortSignal,
): Promise<Seen | undefined> {
  const api = await server.api(signal);
  const until = clock.monotonic() + timing.listLag;
  for (;;) {
    const [listed, publishers] = await Promise.all([
      api.cluster(ref, server.call(signal)),
      api.publishers(ref, [{ ip: ref.ip, port: ref.port, ephemeral: undefined }], server.call(signal)),
    ]);
    const instance = listed.find(({ ip, port }) => ip === ref.ip && port === ref.port);
    const mine = publishers?.filter(({ ip, port, cluster = ref.cluster }) => {
      return ip === ref.ip && port === ref.port && cluster === ref.cluster;
    });
    if (mine?.length === 0) return undefined;
    if (instance !== undefined) {
      const stamps = await stampsOf(api, server, mine?.map(({ clientId }) => clientId) ?? [], signal);
      const writers = writersIn(instance, publishers, stamps);
      return writers === undefined ? undefined : { instance, writers };
    }
    if (mine === undefined || clock.monotonic() > until) return undefined;
    await clock.sleep(LOOK_EVERY_MS, signal);
  }
}

/**
 * As {@link look}, and waits until the list has caught up with everything that was written before.
 * @returns undefined when it is not there
 */
export async function settledLook(
  server: NacosServer,
  ref: InstanceRef,
  options: LookOptions,
  signal: AbortSignal,
): Promise<Seen | undefined> {
  const seen = await look(server, ref, options, signal);
  if (seen === undefined || !(await wasWrittenJustNow(server, seen, options, signal))) return seen;
  await options.clock.sleep(options.timing.listLag, signal);
  return await look(server, ref, options, signal);
}

/**
 * Whether a client registered or beat so lately that the list may not show it yet, by the server's own clock alone; also
 * when the server can not tell, and in a cluster also when another one has told it that the client is still there.
 */
export async function wasWrittenJustNow(
  server: NacosServer,
  { writers }: Seen,
  { timing }: LookOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const api = await server.api(signal);
  for (const id of writers.ids) {
    const state = await api.client(id, server.call(signal));
    if (state === undefined) continue;
    const { lastUpdated, serverTime } = state;
    if (lastUpdated === undefined) return true;
    if (serverTime !== undefined && lastUpdated > serverTime - timing.listLag) return true;
  }
  return false;
}

async function stampsOf(
  api: NacosApi,
  server: NacosServer,
  clientIds: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const stamps = new Map<string, number>();
  for (const id of clientIds.filter(isPersistent)) {
    const state = await api.client(id, server.call(signal));
    if (state?.lastUpdated !== undefined) stamps.set(id, state.lastUpdated);
  }
  return stamps;
}
