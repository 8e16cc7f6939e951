import type { KubeTransport } from "./transport.ts";

interface ApplyOptions {
  /** Path of the object, such as `/apis/hygeia.dev/v1alpha1/registries/a`. */
  readonly path: string;
  /** Who owns the fields: one stable name for each concern. */
  readonly fieldManager: string;
  /** Takes fields over from another manager instead of failing; only for fields that nobody else may own. */
  readonly force?: boolean;
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

export interface StatusApply extends ApplyOptions {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
  /**
   * Apply only if the object is at this version, and so is not a later one of the same name. (A UID would not do: the
   * API server ignores it when it applies the status of a custom resource.)
   */
  readonly resourceVersion?: string;
  /** All status fields this manager owns: one that it owned and that is missing here is removed. */
  readonly status: unknown;
  /** The status as it was last seen or applied. When `status` says the same nothing is sent. */
  readonly observed?: unknown;
}

export interface ObjectApply extends ApplyOptions {
  /** The fields this manager owns, with `apiVersion`, `kind` and `metadata.name`. */
  readonly object: Readonly<Record<string, unknown>>;
  /** The same fields as they were last applied. When `object` says the same nothing is sent. */
  readonly observed?: unknown;
}

export type ApplyResult =
  /** What was wanted was there already. */
  | { readonly outcome: "Unchanged" }
  /** The object as the API server has it now. */
  | { readonly outcome: "Applied"; readonly object: unknown };

type Requester = Pick<KubeTransport, "request">;

/**
 * Server-side apply of the status subresource. Never creates the object.
 * @throws KubeError `Conflict` when another manager owns a field (without `force`) or the version is another one,
 * `NotFound`, `Invalid`, ...
 */
export async function applyStatus(transport: Requester, request: StatusApply): Promise<ApplyResult> {
  if (request.observed !== undefined && sameContent(request.observed, request.status)) return { outcome: "Unchanged" };
  const { apiVersion, kind, name, namespace, resourceVersion, status } = request;
  return apply(transport, request, `${request.path}/status`, {
    apiVersion,
    kind,
    metadata: { name, namespace, resourceVersion },
    status,
  });
}

/**
 * Server-side apply of an object; creates it when it is not there (with `metadata.uid` it never does).
 * @throws KubeError as {@link applyStatus}
 */
export async function applyObject(transport: Requester, request: ObjectApply): Promise<ApplyResult> {
  if (request.observed !== undefined && sameContent(request.observed, request.object)) return { outcome: "Unchanged" };
  return apply(transport, request, request.path, request.object);
}

async function apply(transport: Requester, options: ApplyOptions, path: string, body: unknown): Promise<ApplyResult> {
  const { body: object } = await transport.request({
    method: "PATCH",
    path,
    // Strict: a field that the CRD does not know is our mistake and must not be dropped in silence.
    query: { fieldManager: options.fieldManager, force: options.force ?? false, fieldValidation: "Strict" },
    contentType: "application/apply-patch+yaml",
    body,
    ...(options.deadlineMs === undefined ? {} : { deadlineMs: options.deadlineMs }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  return { outcome: "Applied", object };
}

/** True when two values are the same JSON: order of fields does not matter, and a field of undefined is no field. */
export function sameContent(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, index) => sameContent(item, b[index]));
  }
  const [left, right] = [definedFields(a), definedFields(b)];
  if (left.size !== right.size) return false;
  for (const [name, value] of left) {
    if (!sameContent(value, right.get(name))) return false;
  }
  return true;
}

function definedFields(value: object): Map<string, unknown> {
  return new Map(Object.entries(value).filter(([, item]) => item !== undefined));
}
