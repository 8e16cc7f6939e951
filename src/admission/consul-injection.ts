import type { PodShape } from "./pod-shape.ts";
import type { Site } from "./types.ts";

/** What Go's strconv.ParseBool takes for each, as consul-k8s reads its annotations. */
const truthy = new Set(["1", "t", "T", "TRUE", "true", "True"]);
const falsy = new Set(["0", "f", "F", "FALSE", "false", "False"]);

/**
 * True when consul-k8s is still to inject this pod and may redirect its DNS to Consul: it then sets `dnsPolicy` and
 * `dnsConfig` itself, and refuses a pod that has a `dnsConfig` already (consul-k8s, connect-inject/webhook/dns.go). Its
 * redirection needs the transparent proxy; both can be turned off by annotation, else by a label of the namespace.
 * Sysctls it neither sets nor reads.
 */
export function mayRedirectDns(pod: PodShape, { namespaceLabels }: Site): boolean {
  const annotations = pod.annotations ?? {};
  const text = (name: string): string | undefined => annotations[`consul.hashicorp.com/${name}`];
  if (!truthy.has(text("connect-inject") ?? "") || text("connect-inject-status") === "injected") return false;
  const isOff = (name: string): boolean =>
    falsy.has(text(name) ?? namespaceLabels[`consul.hashicorp.com/${name}`] ?? "");
  return !isOff("transparent-proxy") && !isOff("consul-dns");
}
