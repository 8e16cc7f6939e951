/**
 * What a policy's `spec.dns` does to lookups in its pods: names that would no longer be found, search domains that a
 * resolver would not read, and the queries that each name costs before and after. docs/pods.md has a worked example.
 */
import type { RegistrationPolicyDns } from "../api/v1alpha1/index.ts";
import { confOf, countNames, namespaceOf, type DnsContext, type NameCount } from "./dns-counts.ts";
import { askedUpstreamFirst, ignoredByMusl, lostNames, nameservers, truncatedSearches } from "./dns-findings.ts";
import type { Libc } from "./dns-queries.ts";
import type { Finding } from "./finding.ts";
import { typicalNames, type LookedUpName } from "./names.ts";
import type { ResolvConf } from "./resolver.ts";

/** What there is to say about `spec.dns`. */
export interface DnsLint {
  readonly libcs: readonly Libc[];
  /** Of addresses, that each lookup asks for. */
  readonly families: 1 | 2;
  /** The pod's resolv.conf without and with the policy, of a pod that sets nothing itself. */
  readonly before: ResolvConf;
  readonly after: ResolvConf;
  /** For each name, one for each resolver. */
  readonly counts: readonly NameCount[];
  readonly findings: readonly Finding[];
}

/** @param dns of a policy that fits the schema */
export function lintDns(dns: RegistrationPolicyDns, context: DnsContext): DnsLint {
  const libcs = possibleLibcs(dns.libc);
  const before = confOf(undefined, context);
  const after = confOf(dns, context);
  const count = (names: readonly LookedUpName[]) => countNames(names, libcs, before, after, context.families);
  const typical = typicalNames(namespaceOf(context), context.clusterDomain);
  const counts = count(context.names ?? typical);
  const judged = context.names === undefined ? counts : [...counts, ...count(typical)];
  return {
    libcs,
    families: context.families ?? 2,
    before,
    after,
    counts,
    findings: [
      ...truncatedSearches(dns, context),
      ...ignoredByMusl(dns, context, libcs),
      ...lostNames(dns, context, judged, after),
      ...askedUpstreamFirst(dns, judged),
      ...nameservers(dns, after, libcs),
    ],
  };
}

/** Which resolvers the pods may have. A Go program brings its own along, whatever the image. */
function possibleLibcs(libc: RegistrationPolicyDns["libc"]): readonly Libc[] {
  return { Any: ["Glibc", "Musl", "Go"] as const, Glibc: ["Glibc", "Go"] as const, Musl: ["Musl", "Go"] as const }[
    libc
  ];
}
