import { GROUP, PLURALS, VERSION, type RegistrationPolicy } from "../../api/v1alpha1/index.ts";
import type { KubeTransport } from "../../kube/transport.ts";
import type { InstanceSummary } from "../types.ts";
import type { PolicyObject } from "./compile.ts";
import { EvictionTotals, type Tally } from "./tally.ts";

const READ_DEADLINE_MS = 10_000;

/** Totals of evictions per policy that go on where the status in the API server stands. */
export class StoredTotals {
  readonly #summary: Pick<InstanceSummary, "evicted">;
  readonly #transport: Pick<KubeTransport, "request">;
  readonly #totals = new EvictionTotals();
  readonly #open = new Set<string>();

  constructor(summary: Pick<InstanceSummary, "evicted">, transport: Pick<KubeTransport, "request">) {
    this.#summary = summary;
    this.#transport = transport;
  }

  /** To be called after each change of the policies, with all of them. */
  follow(objects: Iterable<PolicyObject>): void {
    const present = new Set<string>();
    for (const { name, uid } of objects) {
      present.add(uid);
      this.#open.add(uid);
      this.#totals.open(uid, this.#summary.evicted(name));
    }
    for (const uid of this.#open) {
      if (present.has(uid)) continue;
      this.#open.delete(uid);
      this.#totals.close(uid);
    }
  }

  /** See {@link EvictionTotals.forgetStored}. */
  forgetStored(): void {
    this.#totals.forgetStored();
  }

  /**
   * The total with evictions of this process, `own`, in it; reads the stored one where it is not known yet.
   * @returns undefined when the object is another one by now
   * @throws KubeError
   */
  async total({ name, uid, status }: PolicyObject, own: Tally, signal: AbortSignal): Promise<Tally | undefined> {
    const known = this.#totals.total(uid, own);
    // A higher one was written by the leader before us after we read.
    if (known !== undefined && known.total >= (status?.evicted ?? 0)) return known;
    const path = `/apis/${GROUP}/${VERSION}/${PLURALS.RegistrationPolicy}/${encodeURIComponent(name)}`;
    const { body } = await this.#transport.request({ method: "GET", path, deadlineMs: READ_DEADLINE_MS, signal });
    const stored = body as RegistrationPolicy;
    if (stored.metadata.uid !== uid) return undefined;
    const last = stored.status?.lastEviction;
    this.#totals.begin(uid, {
      total: stored.status?.evicted ?? 0,
      last: last === undefined ? undefined : new Date(last),
    });
    return this.#totals.total(uid, own);
  }

  /** See {@link EvictionTotals.written}. */
  written(uid: string, own: Tally): void {
    this.#totals.written(uid, own);
  }
}
