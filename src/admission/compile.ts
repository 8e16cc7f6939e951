import { parseDuration, type RegistrationPolicy, type RegistrationPolicyKeepalive } from "../api/v1alpha1/index.ts";
import { HygeiaError } from "../errors.ts";
import type { DnsRule, GoResolverRule, PodPolicy, Sysctl } from "./types.ts";

/**
 * What the policy wants of pods; undefined when it wants nothing of them.
 * @param nests whether the keepalive fits into all its paths: one that does not is left out
 * @throws HygeiaError `InvalidKeepalive` for a value that no kernel takes, naming the field
 */
export function compilePodPolicy(
  { metadata, spec }: Pick<RegistrationPolicy, "metadata" | "spec">,
  nests: boolean,
): PodPolicy | undefined {
  const { keepalive, lifecycle } = spec;
  const sysctls = keepalive === undefined ? undefined : sysctlsOf(keepalive);
  const policy: PodPolicy = {
    name: metadata.name,
    generation: metadata.generation,
    dns: dnsRule(spec.dns),
    goResolver: goResolverRule(spec.dns),
    sysctls: nests ? sysctls : undefined,
    gracePeriod: lifecycle?.terminationGracePeriodSeconds,
    preStopSleep: lifecycle?.preStopSleepSeconds,
  };
  const { name: _name, generation: _generation, ...parts } = policy;
  return Object.values(parts).some((part) => part !== undefined) ? policy : undefined;
}

type DnsSpec = RegistrationPolicy["spec"]["dns"];

function dnsRule(dns: DnsSpec): DnsRule | undefined {
  if (dns === undefined) return undefined;
  const { ndots, options = [], searches = [], nameservers = [] } = dns;
  if (ndots === undefined && options.length + searches.length + nameservers.length === 0) return undefined;
  return {
    options: [
      ...(ndots === undefined ? [] : [{ name: "ndots", value: ndots.toString() }]),
      ...options.map(({ name, value }) => ({ name, value })),
    ],
    searches,
    replacesSearches: dns.searchMode === "Replace",
    nameservers,
    overrides: dns.onConflict === "Override",
  };
}

function goResolverRule(dns: DnsSpec): GoResolverRule | undefined {
  if (dns === undefined || dns.goResolver === "Unset") return undefined;
  return { netdns: dns.goResolver === "Go" ? "go" : "cgo", containers: dns.goContainers ?? [] };
}

/** The most that Linux takes (include/net/tcp.h); with more a pod's sandbox would not start. */
const LIMITS = { time: 32_767, interval: 32_767, probes: 127, finTimeout: 120 } as const;

function sysctlsOf({ time, interval, probes, finTimeout }: RegistrationPolicyKeepalive): Sysctl[] {
  const sysctl = (name: string, field: keyof typeof LIMITS, value: number): Sysctl => {
    if (!Number.isInteger(value) || value < 1 || value > LIMITS[field]) {
      const message = `spec.keepalive.${field}: must be a whole number from 1 to ${LIMITS[field]}`;
      throw new HygeiaError("InvalidKeepalive", field === "probes" ? message : `${message}, in seconds`);
    }
    return { name: `net.ipv4.${name}`, value: value.toString() };
  };
  const seconds = (text: string): number => parseDuration(text) / 1000;
  return [
    sysctl("tcp_keepalive_time", "time", seconds(time)),
    sysctl("tcp_keepalive_intvl", "interval", seconds(interval)),
    sysctl("tcp_keepalive_probes", "probes", probes),
    ...(finTimeout === undefined ? [] : [sysctl("tcp_fin_timeout", "finTimeout", seconds(finTimeout))]),
  ];
}
