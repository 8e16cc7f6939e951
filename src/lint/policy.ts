import { parseDuration } from "../api/v1alpha1/duration.ts";
import type { RegistrationPolicySpec } from "../api/v1alpha1/index.ts";
import type { DnsContext } from "./dns-counts.ts";
import { lintDns, type DnsLint } from "./dns.ts";
import type { Finding } from "./finding.ts";
import { lintKeepalive, type KeepaliveLint } from "./keepalive.ts";

/** What there is to say about what a policy asks of pods; undefined for a part that it does not have. */
export interface PolicyLint {
  readonly keepalive: KeepaliveLint | undefined;
  readonly dns: DnsLint | undefined;
}

/** @param spec of a policy that fits the schema */
export function lintPolicy(
  { keepalive, dns, registration }: Pick<RegistrationPolicySpec, "keepalive" | "dns" | "registration">,
  context: DnsContext,
): PolicyLint {
  const silentFor = registration?.zombies.silentFor;
  const forgetting =
    silentFor === undefined ? undefined : ({ seconds: parseDuration(silentFor) / 1000, by: "SilentFor" } as const);
  return {
    keepalive: keepalive && lintKeepalive(keepalive, forgetting),
    dns: dns && lintDns(dns, context),
  };
}

/** Everything that was found, the keepalive first. */
export function findingsOf({ keepalive, dns }: PolicyLint): readonly Finding[] {
  return [...(keepalive?.paths ?? []), ...(keepalive?.findings ?? []), ...(dns?.findings ?? [])];
}
