import type { PodDns } from "../../src/lint/resolver.ts";
import type { PodSpec } from "./pods.ts";

/** What src/lint calls a pod's DNS, as the pod's spec says it. */
export function specOf({ dnsPolicy, hostNetwork = false, config }: PodDns): Partial<PodSpec> {
  if (config === undefined) return { dnsPolicy, hostNetwork };
  const { nameservers = [], searches = [], options = [] } = config;
  return {
    dnsPolicy,
    hostNetwork,
    dnsConfig: {
      nameservers,
      searches,
      options: options.map(({ name, value }) => (value === undefined ? { name } : { name, value })),
    },
  };
}
