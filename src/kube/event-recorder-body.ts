import { microTime } from "../clock/format.ts";
import { redactText } from "../telemetry/redact.ts";

/** Points at an object from an Event. With its UID `kubectl describe` finds the Event. */
export interface ObjectReference {
  readonly apiVersion: string;
  readonly kind: string;
  /** Empty or missing for a cluster-scoped object. */
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
}

/** Something to tell the owner of an object. */
export interface EventNote {
  /** The object it is about. */
  readonly regarding: ObjectReference;
  /** A second object that takes part. */
  readonly related?: ObjectReference;
  readonly type: "Normal" | "Warning";
  /** Why, in CamelCase: short, unique, a constant. */
  readonly reason: string;
  /** What was done or failed, in CamelCase. Default the reason. */
  readonly action?: string;
  /** One sentence or two for a person. What exceeds 1,024 bytes is cut. */
  readonly note: string;
  /**
   * What tells this event from others of the same object, type and reason; default the note. Leave out of it whatever
   * varies without being news, such as ages and counts.
   */
  readonly dedupeValues?: readonly string[];
}

/** Where the Event comes from. */
interface Reporter {
  readonly controller: string;
  readonly instance: string;
}

/** Limits of the API server's validation, in bytes. */
const noteLimit = 1024;
const wordLimit = 128;
/** Room in a name of 253 characters for a dot and 16 digits. */
const namePrefixLimit = 236;

/** Events of cluster-scoped objects live here: the API server demands it. */
const clusterNamespace = "default";

/** The namespace whose events collection the Event is posted to. */
export function namespaceOf(event: EventNote): string {
  const namespace = event.regarding.namespace ?? "";
  return namespace === "" ? clusterNamespace : namespace;
}

/** Two events with the same key within the dedupe time are the same news. */
export function dedupeKey(event: EventNote): string {
  const { apiVersion, kind, namespace = "", name, uid = "" } = event.regarding;
  const values = event.dedupeValues ?? [event.note];
  return JSON.stringify([apiVersion, kind, namespace, name, uid, event.type, event.reason, ...values]);
}

/**
 * The `events.k8s.io/v1` Event to post.
 * @param suffix 16 hexadecimal digits that make the name unique, so that a repeated post is recognized
 */
export function eventBody(event: EventNote, reporter: Reporter, suffix: string, now: Date): Record<string, unknown> {
  const prefix = event.regarding.name.slice(0, namePrefixLimit).replace(/[^a-z0-9]+$/, "");
  return {
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata: { namespace: namespaceOf(event), name: `${prefix}.${suffix}` },
    eventTime: microTime(now),
    reportingController: reporter.controller,
    reportingInstance: cut(reporter.instance, wordLimit),
    type: event.type,
    reason: cut(event.reason, wordLimit),
    action: cut(event.action ?? event.reason, wordLimit),
    regarding: event.regarding,
    related: event.related,
    note: cut(redactText(event.note), noteLimit),
  };
}

/** The text in at most `limit` bytes of UTF-8, with an ellipsis when something is missing. */
function cut(text: string, limit: number): string {
  const bytes = Buffer.from(text, "utf8");
  if (bytes.length <= limit) return text;
  const ellipsis = "…";
  let end = limit - Buffer.byteLength(ellipsis);
  // A byte 10xxxxxx goes on with the character before it.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end).toString("utf8") + ellipsis;
}
