import { type PodPart, type PodPolicy, type Site, type SkipReason } from "../../../src/admission/types.ts";

/** A Pod as a client sends it, that any API server accepts. */
export interface PodManifest {
  readonly apiVersion: "v1";
  readonly kind: "Pod";
  readonly metadata: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: Readonly<Record<string, unknown>> & { readonly containers: readonly ContainerManifest[] };
}

export interface ContainerManifest {
  readonly name: string;
  readonly image: string;
  readonly [field: string]: unknown;
}

/** What becomes of one pod under one policy. */
export interface AdmissionCase {
  readonly pod: PodManifest;
  readonly policy: PodPolicy;
  readonly site: Site;
  /** The pod afterwards, without the annotations that tell of it. */
  readonly expected: PodManifest;
  readonly skipped: readonly (readonly [PodPart, SkipReason])[];
  /**
   * What becomes of the pod where the API server's own policies change it, if that is another thing: they know the
   * namespace by themselves, and nothing of how fresh the operator's view is. docs/admission.md lists these reasons.
   */
  readonly byPolicy?: Pick<AdmissionCase, "expected" | "skipped">;
}

export const SITE: Site = {
  namespace: "shop",
  namespaceLabels: { "kubernetes.io/metadata.name": "shop" },
  serverMinor: 36,
  clusterNameservers: ["10.96.0.10"],
  sysctlObstacle: undefined,
  engineObjection: undefined,
};

export const NOTHING: PodPolicy = {
  name: "shop",
  generation: 3,
  dns: undefined,
  goResolver: undefined,
  sysctls: undefined,
  gracePeriod: undefined,
  preStopSleep: undefined,
};

export type Dns = NonNullable<PodPolicy["dns"]>;

/** A policy that wants this of the DNS of its pods. */
export function dnsPolicy(dns: Partial<Dns>): PodPolicy {
  const rule: Dns = { options: [], searches: [], replacesSearches: false, nameservers: [], overrides: false, ...dns };
  return { ...NOTHING, dns: rule };
}

export const ndots = (value: string) => ({ name: "ndots", value });
export const NDOTS_2 = dnsPolicy({ options: [ndots("2")] });
export const REOPEN = { name: "single-request-reopen", value: undefined };
export const TIMEOUT_1 = { name: "timeout", value: "1" };

export const SYSCTLS = [
  { name: "net.ipv4.tcp_keepalive_time", value: "600" },
  { name: "net.ipv4.tcp_keepalive_intvl", value: "30" },
  { name: "net.ipv4.tcp_keepalive_probes", value: "3" },
];
export const KEEPALIVE: PodPolicy = { ...NOTHING, sysctls: SYSCTLS };
export const GO: PodPolicy = { ...NOTHING, goResolver: { netdns: "go", containers: ["app"] } };
export const ALL: PodPolicy = {
  ...NDOTS_2,
  goResolver: GO.goResolver,
  sysctls: SYSCTLS,
  gracePeriod: 60,
  preStopSleep: 5,
};

export function app(fields: Readonly<Record<string, unknown>> = {}, name = "app"): ContainerManifest {
  return { name, image: "registry.example/app:1", ...fields };
}

export function pod(spec: Readonly<Record<string, unknown>> = {}, metadata: PodManifest["metadata"] = {}): PodManifest {
  return { apiVersion: "v1", kind: "Pod", metadata, spec: { containers: [app()], ...spec } };
}

export const dnsConfig = (config: Readonly<Record<string, unknown>>) => ({ dnsConfig: config });
export const sysctls = (...list: readonly { readonly name: string; readonly value: string }[]) => ({
  securityContext: { sysctls: list },
});
export const sleep = (seconds: number) => ({ lifecycle: { preStop: { sleep: { seconds } } } });
export const HOOK = { lifecycle: { preStop: { exec: { command: ["/bin/drain"] } } } };
export const godebug = (value: string) => ({ env: [{ name: "GODEBUG", value }] });
export const domains = (count: number, suffix = "example") =>
  Array.from({ length: count }, (_, i) => `d${i}.${suffix}`);
export const enforcing = (level: string, version?: string): Site => ({
  ...SITE,
  namespaceLabels: {
    ...SITE.namespaceLabels,
    "pod-security.kubernetes.io/enforce": level,
    ...(version === undefined ? {} : { "pod-security.kubernetes.io/enforce-version": version }),
  },
});
export const consul = (annotations: Readonly<Record<string, string>>) => ({
  annotations: Object.fromEntries(
    Object.entries(annotations).map(([name, value]) => [`consul.hashicorp.com/${name}`, value]),
  ),
});

export type Row = Pick<AdmissionCase, "pod" | "policy"> & Partial<AdmissionCase>;

/** An `expected` that is left out is the pod unchanged; a `site` that is left out has no obstacle. */
export function row(row: Row): AdmissionCase {
  return { site: SITE, expected: row.pod, skipped: [], ...row };
}

/** What Pod Security restricted asks for. */
export const RESTRICTED = {
  securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: "RuntimeDefault" } },
  containers: [app({ securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } } })],
};
