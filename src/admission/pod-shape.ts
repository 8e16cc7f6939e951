import type { ResolverOption, Sysctl } from "./types.ts";

/** `spec.dnsConfig`; a list that is absent is undefined. */
export interface DnsConfigShape {
  readonly nameservers: readonly string[] | undefined;
  readonly searches: readonly string[] | undefined;
  readonly options: readonly ResolverOption[] | undefined;
}

export interface EnvShape {
  readonly name: string;
  readonly value: string;
  /** Its value comes from elsewhere and is not seen here. */
  readonly hasValueFrom: boolean;
}

export interface ContainerShape {
  /** JSON pointer. */
  readonly path: string;
  readonly name: string;
  readonly env: readonly EnvShape[] | undefined;
  readonly hasEnvFrom: boolean;
  readonly hasLifecycle: boolean;
  readonly hasPreStop: boolean;
  /** Seconds of the native sleep action, if that is what preStop does. */
  readonly preStopSleep: number | undefined;
}

/** A requirement of `spec.affinity` on the labels of a node. */
export interface NodeRequirement {
  readonly key: string;
  readonly operator: string;
  readonly values: readonly string[];
}

/** The parts of a pod that admission reads. What is `null` in JSON is absent, as it is for the API server. */
export interface PodShape {
  readonly annotations: Readonly<Record<string, string>> | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly hostNetwork: boolean;
  /** It has a user namespace of its own (`hostUsers: false`). */
  readonly userNamespace: boolean;
  readonly windows: boolean;
  readonly nodeSelector: Readonly<Record<string, string>>;
  /** The terms of the required node affinity, of which one is to be met; only what they ask of labels. */
  readonly nodeTerms: readonly (readonly NodeRequirement[])[];
  readonly runtimeClassName: string;
  /** As it stands in the pod, `ClusterFirst` when it does not. */
  readonly dnsPolicy: string;
  readonly dnsConfig: DnsConfigShape | undefined;
  readonly hasSecurityContext: boolean;
  readonly sysctls: readonly Sysctl[] | undefined;
  /** Seconds; the API server's own 30 when the pod does not say. */
  readonly gracePeriod: number;
  readonly containers: readonly ContainerShape[];
  readonly initContainers: readonly ContainerShape[];
}

/** @returns undefined when anything that is read is not of the type the Kubernetes API gives it */
export function readPod(pod: unknown): PodShape | undefined {
  try {
    return shapeOf(object(pod));
  } catch (error) {
    if (error instanceof Oddity) return undefined;
    throw error;
  }
}

/** Something is not what the Kubernetes API says it is. */
class Oddity extends Error {}

type Json = Readonly<Record<string, unknown>>;

function shapeOf(pod: Json): PodShape {
  const metadata = object(pod["metadata"]);
  const spec = object(pod["spec"]);
  const selector = strings(optional(spec["nodeSelector"], object) ?? {});
  const os = optional(spec["os"], object) ?? {};
  const securityContext = optional(spec["securityContext"], object);
  const annotations = optional(metadata["annotations"], object);
  return {
    annotations: annotations === undefined ? undefined : strings(annotations),
    labels: strings(optional(metadata["labels"], object) ?? {}),
    hostNetwork: optional(spec["hostNetwork"], boolean) ?? false,
    userNamespace: optional(spec["hostUsers"], boolean) === false,
    windows: [os["name"], selector["kubernetes.io/os"], selector["beta.kubernetes.io/os"]].includes("windows"),
    nodeSelector: selector,
    nodeTerms: nodeTermsOf(spec["affinity"]),
    runtimeClassName: optional(spec["runtimeClassName"], string) ?? "",
    dnsPolicy: optional(spec["dnsPolicy"], string) ?? "ClusterFirst",
    dnsConfig: optional(spec["dnsConfig"], dnsConfigOf),
    hasSecurityContext: securityContext !== undefined,
    sysctls: optional(securityContext?.["sysctls"], (value) => list(value).map(sysctlOf)),
    gracePeriod: optional(spec["terminationGracePeriodSeconds"], number) ?? 30,
    containers: containersOf(spec, "containers"),
    initContainers: containersOf(spec, "initContainers"),
  };
}

function nodeTermsOf(affinity: unknown): NodeRequirement[][] {
  const nodes = optional(optional(affinity, object)?.["nodeAffinity"], object);
  const required = optional(nodes?.["requiredDuringSchedulingIgnoredDuringExecution"], object);
  const terms = optional(required?.["nodeSelectorTerms"], list) ?? [];
  return terms.map((term) => (optional(object(term)["matchExpressions"], list) ?? []).map(requirementOf));
}

function requirementOf(value: unknown): NodeRequirement {
  const { key, operator, values } = object(value);
  return { key: string(key), operator: string(operator), values: (optional(values, list) ?? []).map(string) };
}

function dnsConfigOf(value: unknown): DnsConfigShape {
  const config = object(value);
  const texts = (items: unknown): string[] => list(items).map(string);
  return {
    nameservers: optional(config["nameservers"], texts),
    searches: optional(config["searches"], texts),
    options: optional(config["options"], (items) =>
      list(items).map((item) => {
        const option = object(item);
        return { name: string(option["name"]), value: optional(option["value"], string) };
      }),
    ),
  };
}

function sysctlOf(value: unknown): Sysctl {
  const sysctl = object(value);
  return { name: string(sysctl["name"]), value: string(sysctl["value"]) };
}

function containersOf(spec: Json, field: "containers" | "initContainers"): ContainerShape[] {
  const containers = optional(spec[field], list) ?? [];
  return containers.map((value, index): ContainerShape => {
    const container = object(value);
    const lifecycle = optional(container["lifecycle"], object);
    const preStop = optional(lifecycle?.["preStop"], object);
    const sleep = optional(preStop?.["sleep"], object);
    return {
      path: `/spec/${field}/${index}`,
      name: string(container["name"]),
      env: optional(container["env"], (items) => list(items).map(envOf)),
      hasEnvFrom: (optional(container["envFrom"], list) ?? []).length > 0,
      hasLifecycle: lifecycle !== undefined,
      hasPreStop: preStop !== undefined,
      preStopSleep: optional(sleep?.["seconds"], number),
    };
  });
}

function envOf(value: unknown): EnvShape {
  const variable = object(value);
  return {
    name: string(variable["name"]),
    value: optional(variable["value"], string) ?? "",
    hasValueFrom: optional(variable["valueFrom"], object) !== undefined,
  };
}

function optional<T>(value: unknown, read: (value: unknown) => T): T | undefined {
  return value === undefined || value === null ? undefined : read(value);
}

function object(value: unknown): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Oddity();
  return value as Json;
}

function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new Oddity();
  return value;
}

function string(value: unknown): string {
  if (typeof value !== "string") throw new Oddity();
  return value;
}

function number(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value)) throw new Oddity();
  return value;
}

function boolean(value: unknown): boolean {
  if (typeof value !== "boolean") throw new Oddity();
  return value;
}

function strings(value: Json): Readonly<Record<string, string>> {
  Object.values(value).forEach(string);
  return value as Readonly<Record<string, string>>;
}
