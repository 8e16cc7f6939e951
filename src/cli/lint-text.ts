/** The findings of the linter as a person reads them. */
import type { NameCount } from "../lint/dns-counts.ts";
import { nameOf, type Libc, type Lookup } from "../lint/dns-queries.ts";
import type { DnsLint } from "../lint/dns.ts";
import type { Finding, Severity } from "../lint/finding.ts";
import { EFFECTIVE_FOR, type KeepaliveLint } from "../lint/keepalive.ts";
import type { PolicyLint } from "../lint/policy.ts";
import { resolverOf, searchLength, type ResolvConf } from "../lint/resolver.ts";
import type { FileProblem } from "./policy-files.ts";

const LABELS: Readonly<Record<Severity, string>> = { Refused: "REFUSED", Warning: "warning", Fine: "ok" };

/** Several lines about one policy. */
export function describePolicy(file: string, name: string, lint: PolicyLint): string {
  const { keepalive, dns } = lint;
  const parts = [
    ...(keepalive === undefined ? [] : [describeKeepalive(keepalive)]),
    ...(dns === undefined ? [] : [describeDns(dns)]),
  ];
  const body = parts.length === 0 ? ["  neither spec.keepalive nor spec.dns: nothing to check"] : parts;
  return [`${file}: RegistrationPolicy ${name}`, ...body].join("\n\n");
}

/** One line. */
export function describeProblem({ file, where, field, message }: FileProblem): string {
  const subject = [file, ...(where === undefined ? [] : [where])].join(": ");
  return field === undefined ? `${subject}: ${message}` : `${subject}: ${field}: ${message}`;
}

function describeKeepalive(lint: KeepaliveLint): string {
  const { time, interval, probes, detection, probesPerSecondPerThousandSockets: rate } = lint;
  return [
    `  keepalive: time ${time}s, interval ${interval}s, probes ${probes}`,
    `    a dead peer is found out after ${detection}s; 1000 idle sockets send ${rate.toFixed(1)} probes a second`,
    `    ${EFFECTIVE_FOR}`,
    ...findings([...lint.paths, ...lint.findings]),
  ].join("\n");
}

function describeDns(lint: DnsLint): string {
  const { before, after } = lint;
  return [
    `  dns: ${confOf(before)}`,
    `    -> ${confOf(after)}`,
    ...findings(lint.findings),
    "",
    `    queries for a lookup (${lint.families === 1 ? "A or AAAA" : "A and AAAA"}), before -> after`,
    ...table(lint),
  ].join("\n");
}

function confOf(conf: ResolvConf): string {
  const { searches } = conf;
  // What every resolver makes of the option; a search line that musl skips is a finding.
  const { ndots } = resolverOf(conf, "Glibc");
  return `ndots ${ndots}, ${searches.length} search domains of ${searchLength(searches)} characters`;
}

function findings(all: readonly Finding[]): string[] {
  return all.map(({ severity, field, message }) => `    ${LABELS[severity].padEnd(7)} ${field}: ${message}`);
}

function table({ counts, libcs }: DnsLint): string[] {
  const names = [...new Set(counts.map(({ name }) => name))];
  const rows = [
    ["name", ...libcs.map(nameOf)],
    ...names.map((name) => [name.name, ...libcs.map((libc) => cell(counts, name, libc))]),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length))) ?? [];
  return rows.map((row) => `    ${row.map((text, column) => text.padEnd(widths[column] ?? 0)).join("  ")}`.trimEnd());
}

function cell(counts: readonly NameCount[], name: NameCount["name"], libc: Libc): string {
  const count = counts.find((each) => each.name === name && each.libc === libc);
  return count === undefined ? "" : `${costOf(count.before)} -> ${costOf(count.after)}`;
}

function costOf({ queries, found }: Lookup): string {
  return found === undefined ? `not found (${queries})` : String(queries);
}
