import type {
  RegistrationPolicy,
  RegistrationPolicyRegistration,
  RegistrationPolicySpec,
  RegistrationPolicyZombies,
  RegistrationReport,
  Registry,
  RegistryLayout,
  RegistrySpec,
} from "../../src/api/v1alpha1/index.ts";
import type { KubeClient } from "./kube-client.ts";

const API = "/apis/hygeia.dev/v1alpha1";

/** Any part of an object: what is left out has the API server's defaults. */
type Part<T> = T extends readonly unknown[] ? T : T extends object ? { readonly [K in keyof T]?: Part<T[K]> } : T;

/** What a test says of a policy; it names the registries and what differs from the defaults. */
export interface PolicyOptions {
  readonly registries: readonly string[];
  readonly mode?: RegistrationPolicySpec["mode"];
  readonly priority?: number;
  /** Selects namespaces by their name; without it the policy matches everything. */
  readonly namespace?: string;
  readonly zombies?: Part<RegistrationPolicyZombies>;
  readonly service?: RegistrationPolicyRegistration["service"];
}

/** Creates or changes a Registry for an etcd. */
export async function applyRegistry(
  client: KubeClient,
  name: string,
  options: { readonly endpoints: readonly string[]; readonly layouts: readonly RegistryLayout[] } & {
    readonly recordPrefix?: string;
    readonly spec?: Part<Omit<RegistrySpec, "type" | "endpoints" | "etcd">>;
  },
): Promise<Registry> {
  const { endpoints, layouts, recordPrefix, spec } = options;
  const etcd = { layouts, ...(recordPrefix !== undefined && { recordPrefix }) };
  return apply<Registry>(client, "Registry", "registries", name, { type: "Etcd", endpoints, etcd, ...spec });
}

/** Creates or changes a Registry for a Consul. */
export async function applyConsulRegistry(
  client: KubeClient,
  name: string,
  options: Pick<RegistrySpec, "endpoints"> & {
    readonly consul?: Part<RegistrySpec["consul"] & object>;
    readonly spec?: Part<Omit<RegistrySpec, "type" | "endpoints" | "consul" | "etcd">>;
  },
): Promise<Registry> {
  const { endpoints, consul = {}, spec } = options;
  return apply<Registry>(client, "Registry", "registries", name, { type: "Consul", endpoints, consul, ...spec });
}

/** Creates or changes a Registry for a Nacos. */
export async function applyNacosRegistry(
  client: KubeClient,
  name: string,
  options: Pick<RegistrySpec, "endpoints"> & {
    readonly nacos?: Part<RegistrySpec["nacos"] & object>;
    readonly spec?: Part<Omit<RegistrySpec, "type" | "endpoints" | "nacos" | "etcd">>;
  },
): Promise<Registry> {
  const { endpoints, nacos = {}, spec } = options;
  return apply<Registry>(client, "Registry", "registries", name, { type: "Nacos", endpoints, nacos, ...spec });
}

/** Creates or changes a RegistrationPolicy; mode Enforce unless something else is said. */
export async function applyPolicy(
  client: KubeClient,
  name: string,
  options: PolicyOptions,
): Promise<RegistrationPolicy> {
  const { registries, mode = "Enforce", priority, namespace, zombies, service } = options;
  const namespaceSelector = { matchLabels: { "kubernetes.io/metadata.name": namespace } };
  return apply<RegistrationPolicy>(client, "RegistrationPolicy", "registrationpolicies", name, {
    mode,
    ...(priority !== undefined && { priority }),
    ...(namespace !== undefined && { match: { namespaceSelector } }),
    registration: {
      registries: registries.map((registry) => ({ name: registry })),
      ...(zombies !== undefined && { zombies }),
      ...(service !== undefined && { service }),
    },
  });
}

/** @throws KubeApiError when there is none */
export async function getPolicy(client: KubeClient, name: string): Promise<RegistrationPolicy> {
  return client.get<RegistrationPolicy>(`${API}/registrationpolicies/${name}`);
}

/** @throws KubeApiError when there is none */
export async function getRegistry(client: KubeClient, name: string): Promise<Registry> {
  return client.get<Registry>(`${API}/registries/${name}`);
}

/** Undefined until the operator has made one. */
export async function findReport(client: KubeClient, policy: string): Promise<RegistrationReport | undefined> {
  return client.find<RegistrationReport>(`${API}/registrationreports/${policy}`);
}

async function apply<T>(client: KubeClient, kind: string, plural: string, name: string, spec: object): Promise<T> {
  const body = { apiVersion: "hygeia.dev/v1alpha1", kind, metadata: { name }, spec };
  const query = { fieldManager: "test", force: true, fieldValidation: "Strict" };
  return client.patch<T>(`${API}/${plural}/${name}`, body, "application/apply-patch+yaml", query);
}
