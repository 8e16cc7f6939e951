import type { Site, Sysctl } from "./types.ts";

const ENFORCE = "pod-security.kubernetes.io/enforce";

/**
 * From which version of the Pod Security Standards on the levels baseline and restricted allow a sysctl (Kubernetes,
 * pod-security-admission/policy/check_sysctls.go).
 */
const allowedSince: Readonly<Record<string, number>> = {
  "net.ipv4.tcp_keepalive_time": 29,
  "net.ipv4.tcp_keepalive_intvl": 29,
  "net.ipv4.tcp_keepalive_probes": 29,
  "net.ipv4.tcp_fin_timeout": 29,
};

/**
 * Why the Pod Security level that the namespace enforces would refuse a pod with these sysctls; undefined when it would
 * not. A level that is not known counts as restricted and a version that is not known as latest, as the API server has
 * it. Exemptions and cluster-wide defaults stand in no object and are not seen here.
 */
export function podSecurityObjection(
  sysctls: readonly Sysctl[],
  { namespaceLabels, serverMinor }: Pick<Site, "namespaceLabels" | "serverMinor">,
): string | undefined {
  const level = namespaceLabels[ENFORCE] ?? "privileged";
  if (level === "privileged") return undefined;
  const version = namespaceLabels[`${ENFORCE}-version`] ?? "latest";
  const pinned = /^v1\.(\d{1,4})$/.exec(version)?.[1];
  const minor = Math.min(serverMinor, pinned === undefined ? serverMinor : Number(pinned));
  const refused = sysctls.find(({ name }) => (allowedSince[name] ?? Infinity) > minor);
  if (refused === undefined) return undefined;
  const since = allowedSince[refused.name];
  return `the namespace enforces Pod Security level ${level} of version ${version}, which does not allow ${refused.name}${since === undefined ? "" : ` before v1.${since}`}`;
}

/** The minor version of the Pod Security Standards from which on they all are allowed; infinite for one that never is. */
export function sysctlsAllowedSince(sysctls: readonly Pick<Sysctl, "name">[]): number {
  return Math.max(0, ...sysctls.map(({ name }) => allowedSince[name] ?? Infinity));
}
