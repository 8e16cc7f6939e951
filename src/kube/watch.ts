import { errorOfEvent, KubeError } from "./http-errors.ts";
import { requireRevision } from "./resource-version.ts";
import type { ObjectIdentity } from "./types.ts";

/** An object as the API sends it, with the fields by which it is known checked. */
export interface RawObject extends ObjectIdentity {
  readonly raw: unknown;
}

/** One line of a watch. */
export type WatchEvent =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: RawObject }
  | { readonly type: "BOOKMARK"; readonly resourceVersion: string };

/**
 * Reads one parsed line of a watch.
 * @param what names the watch in errors
 * @throws KubeError for an ERROR event, with the status it carries
 * @throws KubeError `BadResponse` or `OpaqueVersion` for a line that is not a watch event
 */
export function readWatchEvent(line: unknown, what: string): WatchEvent {
  const { type, object } = (typeof line === "object" && line !== null ? line : {}) as Record<string, unknown>;
  switch (type) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
      return { type, object: readObject(object, what) };
    case "BOOKMARK":
      return { type, resourceVersion: requireRevision(metadataOf(object)["resourceVersion"], `a bookmark of ${what}`) };
    case "ERROR":
      throw errorOfEvent(what, object);
    default:
      throw new KubeError("BadResponse", `${what} sent a line that is not a watch event`);
  }
}

/**
 * Reads by what an object is known.
 * @throws KubeError `BadResponse` or `OpaqueVersion` for what is not an object of the API
 */
export function readObject(raw: unknown, what: string): RawObject {
  const { uid, name, namespace, resourceVersion } = metadataOf(raw);
  if (typeof uid !== "string" || typeof name !== "string" || uid === "" || name === "")
    throw new KubeError("BadResponse", `${what} sent an object without uid or name`);
  return {
    uid,
    name,
    namespace: typeof namespace === "string" ? namespace : "",
    resourceVersion: requireRevision(resourceVersion, `an object of ${what}`),
    raw,
  };
}

/** `metadata` of an object or a list; empty when there is none. */
export function metadataOf(raw: unknown): Readonly<Record<string, unknown>> {
  const metadata = typeof raw === "object" && raw !== null ? (raw as Record<string, unknown>)["metadata"] : undefined;
  return typeof metadata === "object" && metadata !== null ? (metadata as Record<string, unknown>) : {};
}
