/** `npm run lint:policy`: what is wrong with the policies in a file, before they reach a cluster. */
import { parseArgs } from "node:util";

import { lintPolicy, findingsOf, type PolicyLint } from "../lint/policy.ts";
import { namedBy } from "../lint/names.ts";
import type { DnsContext } from "../lint/dns-counts.ts";
import { describePolicy, describeProblem } from "./lint-text.ts";
import { readPolicies, type FileProblem, type PolicyInFile } from "./policy-files.ts";

const USAGE = `npm run lint:policy -- FILE... [options]
    checks the RegistrationPolicies in files of YAML documents (- for standard input): whether their keepalive fits
    into its paths, which names pods would no longer find, and the DNS queries of lookups before and after.
    Exit code 0 when nothing is refused (warnings do not count), 1 when something is or a file is not valid, 2 for a
    command line that is not understood.
options
    --name NAME            count this name instead of the usual ones; NAME=FULL.NAME where it stands for another
                           than its look says (no dots: a service of the namespace, .svc: one of the cluster,
                           else itself); may be given several times
    --namespace NS         namespace of the pods; default: any, counted as "default"
    --cluster-domain D     DNS domain of the cluster; default cluster.local
    --host-search S        search domain of the nodes; may be given several times
    --families 1|2         families of addresses that programs ask for: 1 where it is IPv4 or IPv6 only (AF_INET, tcp4);
                           default 2, A and AAAA
    --output text|json     default text
    --help                 show this text
`;

interface Options {
  readonly files: readonly string[];
  readonly json: boolean;
  readonly context: DnsContext;
}

class UsageError extends Error {}

const DOMAIN = /^(?=.{1,253}\.?$)[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?)*\.?$/i;
const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** @returns undefined when only the usage is asked for */
function parseOptions(args: readonly string[]): Options | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      name: { type: "string", multiple: true, default: [] },
      namespace: { type: "string" },
      "cluster-domain": { type: "string", default: "cluster.local" },
      "host-search": { type: "string", multiple: true, default: [] },
      families: { type: "string", default: "2" },
      output: { type: "string", default: "text" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return undefined;
  if (positionals.length === 0) throw new UsageError("name at least one file");
  const { namespace, families, output } = values;
  if (namespace !== undefined && !LABEL.test(namespace)) {
    throw new UsageError(`--namespace wants the name of a namespace, not "${namespace}"`);
  }
  if (output !== "text" && output !== "json") throw new UsageError(`--output wants text or json, not "${output}"`);
  if (families !== "1" && families !== "2") throw new UsageError(`--families wants 1 or 2, not "${families}"`);
  const clusterDomain = domainOf("--cluster-domain", values["cluster-domain"]);
  const hostSearches = values["host-search"].map((domain) => domainOf("--host-search", domain));
  for (const name of values.name) {
    const [written = "", target, ...more] = name.split("=");
    const isName = DOMAIN.test(written) && (target === undefined || DOMAIN.test(target)) && more.length === 0;
    if (!isName) throw new UsageError(`--name wants a host name, or NAME=FULL.NAME, not "${name}"`);
  }
  const names = values.name.map((name) => namedBy(name, namespace ?? "default", clusterDomain));
  return {
    files: positionals,
    json: output === "json",
    context: {
      namespace,
      clusterDomain,
      hostSearches,
      families: families === "1" ? 1 : 2,
      ...(names.length === 0 ? {} : { names }),
    },
  };
}

function domainOf(option: string, text: string): string {
  if (!DOMAIN.test(text)) throw new UsageError(`${option} wants a DNS domain such as corp.example, not "${text}"`);
  return text.replace(/\.$/, "");
}

interface Linted extends PolicyInFile {
  readonly lint: PolicyLint;
}

function run({ files, json, context }: Options): void {
  const contents = files.map(readPolicies);
  const problems = contents.flatMap((content) => content.problems);
  const linted = contents
    .flatMap((content) => content.policies)
    .map((inFile): Linted => ({ ...inFile, lint: lintPolicy(inFile.policy.spec, context) }));
  const found = linted.flatMap(({ lint }) => findingsOf(lint));
  const refused = found.filter(({ severity }) => severity === "Refused").length;
  const warnings = found.filter(({ severity }) => severity === "Warning").length;
  const totals = { policies: linted.length, refused, warnings, problems: problems.length };
  process.stdout.write(json ? inJson(linted, problems, totals) : inText(linted, problems, totals));
  process.exitCode = refused > 0 || problems.length > 0 ? 1 : 0;
}

interface Totals {
  readonly policies: number;
  readonly refused: number;
  readonly warnings: number;
  readonly problems: number;
}

function inText(linted: readonly Linted[], problems: readonly FileProblem[], totals: Totals): string {
  const blocks = [
    ...problems.map(describeProblem),
    ...linted.map(({ file, policy, lint }) => describePolicy(file, policy.metadata.name, lint)),
    `${totals.policies} checked, ${totals.refused} refused, ${totals.warnings} warnings, ${totals.problems} not valid`,
  ];
  return `${blocks.join("\n\n")}\n`;
}

function inJson(linted: readonly Linted[], problems: readonly FileProblem[], totals: Totals): string {
  const policies = linted.map(({ file, policy, lint: { keepalive, dns } }) => ({
    file,
    name: policy.metadata.name,
    keepalive,
    dns: dns && {
      before: confInJson(dns.before),
      after: confInJson(dns.after),
      findings: dns.findings,
      counts: dns.counts.map(({ name, libc, before, after }) => ({ ...name, libc, before, after })),
    },
  }));
  return `${JSON.stringify({ totals, problems, policies }, undefined, 2)}\n`;
}

function confInJson({ searches, options, dropped }: NonNullable<PolicyLint["dns"]>["before"]): object {
  return { searches, options: Object.fromEntries([...options].map(([name, value]) => [name, value ?? null])), dropped };
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) process.stdout.write(USAGE);
  else run(options);
} catch (error) {
  const { code } = error as { readonly code?: unknown };
  const isUsage = error instanceof UsageError || (typeof code === "string" && code.startsWith("ERR_PARSE_ARGS"));
  if (!isUsage) throw error;
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}; --help shows all flags\n`);
  process.exitCode = 2;
}
