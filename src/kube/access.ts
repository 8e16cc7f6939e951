import type { KubeTransport } from "./transport.ts";

const PATH = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const DEADLINE_MS = 10_000;

/** A verb on every object of a resource, in every namespace. */
export interface Access {
  readonly verb: string;
  /** Empty for the core group. */
  readonly group: string;
  readonly resource: string;
}

/**
 * Whether we were given a right. Asked rather than tried, so that without it nothing is tried in vain again and again;
 * asking needs no right itself.
 * @throws KubeError, or the signal's reason
 */
export async function mayI(
  transport: Pick<KubeTransport, "request">,
  access: Access,
  signal: AbortSignal,
): Promise<boolean> {
  const { body } = await transport.request({
    method: "POST",
    path: PATH,
    body: {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SelfSubjectAccessReview",
      spec: { resourceAttributes: access },
    },
    deadlineMs: DEADLINE_MS,
    signal,
  });
  return (body as { readonly status?: { readonly allowed?: unknown } }).status?.allowed === true;
}
