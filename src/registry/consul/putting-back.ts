import { RegistryError } from "../errors.ts";
import type { RestorePayload } from "../port.ts";
import type { AgentRoutes } from "./agents.ts";
import { readEntry } from "./catalog.ts";
import { type ConsulClient, within } from "./client.ts";
import { EntryId } from "./entry-id.ts";
import { quoted } from "./filter.ts";
import type { CatalogEntry } from "./model.ts";
import { agentRegistration, creations, fitsTransaction, registration, restorableIn } from "./restore.ts";
import { isLost } from "./status.ts";
import { transact } from "./transaction.ts";

export interface PuttingBackOptions {
  readonly routes: AgentRoutes;
  readonly callTimeout: number;
  /** Names the part of Consul the entries are in. */
  readonly scope: Readonly<Record<string, string>>;
}

/** Registers evicted entries again, where they were, and never over somebody else's. */
export class PuttingBack {
  readonly #options: PuttingBackOptions;

  constructor(options: PuttingBackOptions) {
    this.#options = options;
  }

  /**
   * @returns false when something is listed under the id
   * @throws RegistryError `NotUnderstood` when the payload is none of ours
   */
  async put(client: ConsulClient, payload: RestorePayload, signal: AbortSignal): Promise<boolean> {
    const id = EntryId.parse(payload.id);
    const listed = await readEntry(client, id, undefined, within(this.#options.callTimeout, signal));
    if (listed !== undefined) return false;
    const restorable = restorableIn(payload.value);
    if (restorable === undefined) throw new RegistryError("NotUnderstood", `what is kept of ${payload.id} is no entry`);
    const { entry, atAgent } = restorable;
    if (entry.node.Node !== id.node || entry.service.ID !== id.service)
      throw new RegistryError("NotUnderstood", `what is kept of ${payload.id} is another entry`);
    return atAgent ? await this.#atAgent(client, entry, signal) : await this.#inCatalog(client, id, entry, signal);
  }

  /** The catalog alone would not keep it: the agent deletes what it does not know. */
  async #atAgent(client: ConsulClient, entry: CatalogEntry, signal: AbortSignal): Promise<boolean> {
    const route = this.#options.routes.routeTo(entry.node.Node);
    if (route.kind !== "Open")
      throw new RegistryError("Unreachable", `the agent of node ${entry.node.Node}, which kept it, can not be reached`);
    const agent = client.at(route.address);
    try {
      await agent.send(
        "agent.service.register",
        {
          method: "PUT",
          path: "/agent/service/register",
          query: { "replace-existing-checks": "false" },
          body: agentRegistration(entry),
        },
        within(this.#options.callTimeout, signal),
      );
      return true;
    } finally {
      agent.close();
    }
  }

  async #inCatalog(client: ConsulClient, id: EntryId, entry: CatalogEntry, signal: AbortSignal): Promise<boolean> {
    const { callTimeout, scope } = this.#options;
    try {
      const withNode = !(await this.#hasNode(client, id.node, signal));
      const outcome = await transact(client, creations(entry, withNode, scope), within(callTimeout, signal));
      if (!outcome.applied) return false;
    } catch (error) {
      if (!isLost(error)) throw error;
      // What lies there now tells whether the lost answer was a yes only if it is exactly what was to be written.
      const now = await readEntry(client, id, entry.service.Service, within(callTimeout, signal));
      if (now === undefined || JSON.stringify(now.service.Meta) !== JSON.stringify(entry.service.Meta)) throw error;
    }
    if (!fitsTransaction(entry.service)) await this.#complete(client, id, entry, signal);
    return true;
  }

  /** A transaction can not carry all there is. The rest follows at once, unless somebody has written meanwhile. */
  async #complete(client: ConsulClient, id: EntryId, entry: CatalogEntry, signal: AbortSignal): Promise<void> {
    const { callTimeout } = this.#options;
    const now = await readEntry(client, id, entry.service.Service, within(callTimeout, signal));
    if (now === undefined || now.service.CreateIndex !== now.service.ModifyIndex) return;
    await client.send(
      "catalog.register",
      { method: "PUT", path: "/catalog/register", body: registration(entry) },
      within(callTimeout, signal),
    );
  }

  async #hasNode(client: ConsulClient, node: string, signal: AbortSignal): Promise<boolean> {
    const answer = await client.run("catalog.nodes", within(this.#options.callTimeout, signal), (consul, options) =>
      consul.catalog.node.list({
        ...options,
        consistent: "1",
        filter: `Node == ${quoted(node)}`,
      } as object),
    );
    return Array.isArray(answer.body) && answer.body.length > 0;
  }
}
