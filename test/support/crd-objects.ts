/** Objects of our kinds as somebody writes them, whole but for what a test replaces. */
/** Where the API server keeps each kind. */
export const PATHS = {
  Registry: "/apis/hygeia.dev/v1alpha1/registries",
  RegistrationPolicy: "/apis/hygeia.dev/v1alpha1/registrationpolicies",
  RegistrationReport: "/apis/hygeia.dev/v1alpha1/registrationreports",
} as const;

/** What a Registry that speaks TLS has in its spec. */
export const HTTPS = { endpoints: ["https://etcd-0.infra.svc:2379"] };

/** Any of our kinds with a body. */
export function object(kind: keyof typeof PATHS, name: string, body: object = {}): object {
  return { apiVersion: "hygeia.dev/v1alpha1", kind, metadata: { name }, ...body };
}

/** A whole Registry, with some fields of its spec replaced. */
export function registry(spec: object = {}): object {
  const etcd = { layouts: [{ layout: "Kratos" }] };
  return object("Registry", "main", { spec: { type: "Etcd", endpoints: ["http://10.0.0.7:2379"], etcd, ...spec } });
}

/** A whole Registry of type Etcd. */
export function etcd(block: object): object {
  return registry({ etcd: { layouts: [{ layout: "Kratos" }], ...block } });
}

/** A whole Registry of type Consul. */
export function consul(block: object = {}, spec: object = {}): object {
  return registry({ type: "Consul", etcd: undefined, consul: block, ...spec });
}

/** A whole Registry of type Nacos. */
export function nacos(block: object = {}, spec: object = {}): object {
  return registry({ type: "Nacos", etcd: undefined, nacos: block, ...spec });
}

/** A whole RegistrationPolicy, with some fields of its spec.registration replaced. */
export function policy(registration: object = {}, spec: object = {}): object {
  const registries = [{ name: "main" }];
  return object("RegistrationPolicy", "main", { spec: { registration: { registries, ...registration }, ...spec } });
}
