import { type ConsulCall, type ConsulClient, Refused } from "./client.ts";
import { isObject } from "./model.ts";

/** What lies under a key. */
export interface KeyValue {
  readonly value: string;
  readonly index: number;
  /** That holds it; empty when none does. */
  readonly session: string;
}

/**
 * Reads a key consistently.
 * @returns undefined when there is none
 * @throws RegistryError
 */
export async function readKey(client: ConsulClient, key: string, call: ConsulCall): Promise<KeyValue | undefined> {
  const path = `/kv/${key.split("/").map(encodeURIComponent).join("/")}`;
  try {
    const { body } = await client.send("kv.get", { method: "GET", path, query: { consistent: "1" } }, call, [404]);
    const found: unknown = Array.isArray(body) ? body[0] : undefined;
    const index = modifyIndexIn(found);
    if (!isObject(found) || index === undefined) return undefined;
    const { Value, Session } = found;
    return {
      value: typeof Value === "string" ? Buffer.from(Value, "base64").toString() : "",
      index,
      session: typeof Session === "string" ? Session : "",
    };
  } catch (error) {
    if (error instanceof Refused) return undefined;
    throw error;
  }
}

/** The ModifyIndex of what a transaction or a read answers; undefined when it is none. */
export function modifyIndexIn(entry: unknown): number | undefined {
  const index: unknown = isObject(entry) ? entry["ModifyIndex"] : undefined;
  return typeof index === "number" && Number.isSafeInteger(index) ? index : undefined;
}
