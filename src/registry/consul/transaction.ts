import { RegistryError } from "../errors.ts";
import { type Answer, type ConsulCall, type ConsulClient, Refused } from "./client.ts";
import { isObject } from "./model.ts";
import type { ConsulScope } from "./options.ts";
import { refusalError } from "./status.ts";

/** One operation of `PUT /v1/txn`, in Consul's own words. */
export type Operation =
  | { readonly KV: Readonly<Record<string, unknown>> & { readonly Verb: string; readonly Key: string } }
  | { readonly Service: { readonly Verb: string; readonly Node: string; readonly Service: object } }
  | { readonly Check: { readonly Verb: string; readonly Check: object } }
  | { readonly Node: { readonly Verb: string; readonly Node: object } };

/** Why a transaction was rolled back: the index of the operation and Consul's words. */
export interface Conflict {
  readonly operation: number;
  readonly what: string;
}

export type Outcome =
  | { readonly applied: true; readonly results: readonly Readonly<Record<string, unknown>>[] }
  | { readonly applied: false; readonly conflicts: readonly Conflict[] };

/**
 * Applies all operations or none.
 * @throws RegistryError `PermissionDenied` when the token may not do one of them
 */
export async function transact(
  client: ConsulClient,
  operations: readonly Operation[],
  call: ConsulCall,
): Promise<Outcome> {
  let answer: Answer;
  try {
    answer = await client.run(
      "transaction.create",
      call,
      (consul, options) =>
        // The package hands operations through as they are; its types know them in lower case only.
        consul.transaction.create(
          operations as unknown as Parameters<typeof consul.transaction.create>[0] & [],
          options as unknown as Parameters<typeof consul.transaction.create>[1] & object,
        ),
      [409],
    );
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const conflicts = conflictsIn(error.body);
    const denied = conflicts.find(({ what }) => /permission denied|ACL not found/i.test(what));
    if (denied !== undefined) throw refusalError({ status: 403, text: denied.what }, "transaction", client.endpoint);
    if (conflicts.length === 0) throw new RegistryError("NotUnderstood", "a transaction is refused without a reason");
    return { applied: false, conflicts };
  }
  const results: unknown = isObject(answer.body) ? answer.body["Results"] : undefined;
  return { applied: true, results: Array.isArray(results) ? results.filter(isObject) : [] };
}

/** The names under which a key, a service or a check of this scope is meant; for operations, which ignore the query. */
export function scopeOf({ namespace, partition }: ConsulScope): Readonly<Record<string, string>> {
  return {
    ...(namespace === undefined ? {} : { Namespace: namespace }),
    ...(partition === undefined ? {} : { Partition: partition }),
  };
}

/** What a transaction keeps under a key. */
export function valueOf(text: string): string {
  return Buffer.from(text).toString("base64");
}

/** Why a transaction was refused, of the body of its answer. */
export function conflictsIn(body: unknown): readonly Conflict[] {
  const errors: unknown = isObject(body) ? body["Errors"] : undefined;
  if (!Array.isArray(errors)) return [];
  return errors.filter(isObject).map(({ OpIndex, What }) => ({ operation: Number(OpIndex), what: String(What) }));
}
