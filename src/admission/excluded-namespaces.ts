/**
 * Namespaces whose pods are left alone: what a cluster needs to start must not wait for us, and we must not wait for
 * ourselves. config/webhook excludes the same.
 * @param own the operator's own
 */
export function excludedNamespaces(own: string): ReadonlySet<string> {
  return new Set(["kube-system", "kube-node-lease", own]);
}
