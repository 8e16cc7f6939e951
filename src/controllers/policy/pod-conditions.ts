/** The conditions of a policy about what it asks of pods: what the linter finds in its spec. */
import { nameOf } from "../../lint/dns-queries.ts";
import { lintDns, type DnsLint } from "../../lint/dns.ts";
import type { Finding } from "../../lint/finding.ts";
import { type Forgetting, EFFECTIVE_FOR, lintKeepalive, type KeepaliveLint } from "../../lint/keepalive.ts";
import type { Compilation } from "./compile.ts";
import type { Says } from "./status.ts";

const NOT_ACCEPTED = "the policy is not in force: see condition Accepted";
/** Counts of queries in a message; docs and the command line show them all. */
const COUNTS_SHOWN = 5;

/**
 * Whether the keepalive fits into what connections pass through.
 * @param shortestTtlMs of the policy's instances; undefined where none is known
 */
export function keepaliveNested(compilation: Compilation, shortestTtlMs: number | undefined): Says<"KeepaliveNested"> {
  const type = "KeepaliveNested";
  if (!compilation.accepted) return { type, reason: "NotAccepted", message: NOT_ACCEPTED };
  const { spec, silentForMs } = compilation.policy;
  if (spec.keepalive === undefined) {
    return { type, reason: "NotConfigured", message: "spec.keepalive is absent: pods keep what they have" };
  }
  const lint = lintKeepalive(spec.keepalive, forgetting(silentForMs, shortestTtlMs));
  const facts = describe(lint);
  if (lint.paths.length === 0) {
    const absent = "spec.keepalive.paths is absent: write what the connections pass through";
    return { type, reason: "NoPaths", message: [absent, ...sentences(lint.findings, "Warning"), facts].join("; ") };
  }
  const findings = [...lint.paths, ...lint.findings];
  const refused = sentences(findings, "Refused");
  const warnings = sentences(findings, "Warning");
  if (refused.length > 0) {
    return {
      type,
      reason: "CutsConnections",
      message: ["the sysctls are not set", ...refused, ...warnings].join("; "),
    };
  }
  if (warnings.length > 0) return { type, reason: "NestedWithWarnings", message: [...warnings, facts].join("; ") };
  return { type, reason: "Nested", message: [facts, ...sentences(findings, "Fine")].join("; ") };
}

/** What the policy says goes before what its instances have. */
function forgetting(silentForMs: number, shortestTtlMs: number | undefined): Forgetting | undefined {
  // Infinite without spec.registration.
  if (silentForMs > 0)
    return Number.isFinite(silentForMs) ? { seconds: silentForMs / 1000, by: "SilentFor" } : undefined;
  return shortestTtlMs === undefined ? undefined : { seconds: shortestTtlMs / 1000, by: "TTL" };
}

/** Whether pods find the names that they find without the policy. Search domains of nodes are not known, nor counted. */
export function dnsSafe(compilation: Compilation, clusterDomain: string): Says<"DNSSafe"> {
  const type = "DNSSafe";
  if (!compilation.accepted) return { type, reason: "NotAccepted", message: NOT_ACCEPTED };
  const { dns } = compilation.policy.spec;
  if (dns === undefined) {
    return { type, reason: "NotConfigured", message: "spec.dns is absent: pods keep what they have" };
  }
  const lint = lintDns(dns, { namespace: undefined, clusterDomain, hostSearches: [] });
  const message = [...sentences(lint.findings, "Warning"), counted(lint)].join("; ");
  const reason = lint.findings.map(({ code }) => code).find(isUnsafe);
  if (reason !== undefined) return { type, reason, message };
  return { type, reason: lint.findings.length > 0 ? "SafeWithWarnings" : "Safe", message };
}

const unsafe = [
  "MuslSearchIgnored",
  "SearchesTruncated",
  "NamesLost",
  "NameserversRaced",
  "AskedUpstreamFirst",
] as const;

function isUnsafe(code: string): code is (typeof unsafe)[number] {
  return (unsafe as readonly string[]).includes(code);
}

function sentences(findings: readonly Finding[], severity: Finding["severity"]): string[] {
  return findings.filter((finding) => finding.severity === severity).map(({ message }) => message);
}

function describe({ detection, probesPerSecondPerThousandSockets: rate }: KeepaliveLint): string {
  return `a dead peer is found out after ${detection}s; 1000 idle sockets send ${rate.toFixed(1)} probes a second; ${EFFECTIVE_FOR}`;
}

/** Queries of the lookups that cost something else than before, with the first of the resolvers. */
function counted({ counts, libcs: [libc] }: DnsLint): string {
  if (libc === undefined) return "";
  const changed = counts.filter(
    (count) => count.libc === libc && count.after.found !== undefined && count.before.queries !== count.after.queries,
  );
  if (changed.length === 0) return `lookups cost as many queries as before with ${nameOf(libc)}`;
  const shown = changed
    .slice(0, COUNTS_SHOWN)
    .map(({ name: { name }, before, after }) => `${name} ${before.queries} -> ${after.queries}`);
  return `queries for a lookup with ${nameOf(libc)}, before -> after: ${shown.join(", ")}`;
}
