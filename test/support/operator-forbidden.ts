import type { KubeClient } from "./kube-client.ts";
import { OPERATOR_NAMESPACE, SERVICE_ACCOUNT } from "./operator-install.ts";

const RBAC = "/apis/rbac.authorization.k8s.io/v1";
const BINDING = "hygeia-manager-rolebinding";
const ROLE = "hygeia-manager-role";
/** Names of what replaces them: everything but pods everywhere, and pods in each namespace but one. */
const NOT_PODS = "not-pods";
const PODS = "pods";

interface Role {
  readonly rules: readonly { readonly resources: readonly string[] }[];
}

/** The operator may read pods in every namespace but this one. @returns what gives it back its role */
export async function forbidNamespace(client: KubeClient, namespace: string): Promise<() => Promise<void>> {
  const subjects = [{ kind: "ServiceAccount", name: SERVICE_ACCOUNT, namespace: OPERATOR_NAMESPACE }];
  const bind = async (path: string, name: string, role: string): Promise<void> => {
    const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role };
    await client.create(`${RBAC}/${path}`, { metadata: { name }, roleRef, subjects });
  };
  const { rules } = await client.get<Role>(`${RBAC}/clusterroles/${ROLE}`);
  const withoutPods = rules.map((rule) => ({ ...rule, resources: rule.resources.filter((it) => it !== "pods") }));
  const pods = [{ apiGroups: [""], resources: ["pods"], verbs: ["get", "list", "watch"] }];
  await client.create(`${RBAC}/clusterroles`, { metadata: { name: NOT_PODS }, rules: withoutPods });
  await client.create(`${RBAC}/clusterroles`, { metadata: { name: PODS }, rules: pods });
  for (const { metadata } of await client.list("/api/v1/namespaces")) {
    if (metadata.name !== namespace) await bind(`namespaces/${metadata.name}/rolebindings`, PODS, PODS);
  }
  await bind("clusterrolebindings", NOT_PODS, NOT_PODS);
  await client.delete(`${RBAC}/clusterrolebindings/${BINDING}`);
  return () => bind("clusterrolebindings", BINDING, ROLE);
}
