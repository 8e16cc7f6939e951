import { parseArgs } from "node:util";

import { parseDuration } from "./api/v1alpha1/index.ts";
import { lifetimesOf } from "./admission/certificates/rotation.ts";
import { admissionModes, type WebhookSettings } from "./admission/settings.ts";
import { HygeiaError } from "./errors.ts";
import { logLevels, type LogLevel } from "./telemetry/log.ts";

/** What the command line says, with the defaults of what it leaves out. Durations in milliseconds. */
export interface Flags {
  /** Undefined: as kubectl finds it, else the service account of the pod. */
  readonly kubeconfig: string | undefined;
  readonly namespace: string;
  readonly leaderElect: boolean;
  readonly leaseName: string;
  readonly metricsBindAddress: string;
  readonly healthProbeBindAddress: string;
  readonly logLevel: LogLevel;
  readonly dryRun: boolean;
  readonly clusterDomain: string;
  readonly sweepIntervalMs: number;
  readonly relistIntervalMs: number;
  readonly freshnessLimitMs: number;
  readonly webhook: WebhookSettings;
}

/** Raised for a command line that is not understood; the message names the flag and what to write. */
export class FlagError extends HygeiaError {
  constructor(message: string) {
    super("BadFlag", message);
  }
}

interface FlagText {
  /** A boolean is written `--name`, `--name=true` or `--name=false`. */
  readonly type: "string" | "boolean";
  readonly default?: string;
  readonly help: string;
}

const texts = {
  kubeconfig: {
    type: "string",
    help: "file that says how to reach the API server; default as kubectl, then in-cluster",
  },
  namespace: {
    type: "string",
    help: "namespace of the operator, its Lease and the Secrets it may read; default $POD_NAMESPACE, then hygeia-system",
  },
  "leader-elect": {
    type: "boolean",
    default: "true",
    help: "true: of several replicas one acts; false: this one acts",
  },
  "leader-elect-lease-name": { type: "string", default: "hygeia-controller-manager", help: "name of the Lease" },
  "metrics-bind-address": { type: "string", default: ":8080", help: "where /metrics answers; 0 for nowhere" },
  "health-probe-bind-address": { type: "string", default: ":8081", help: "where /healthz and /readyz answer" },
  "log-level": { type: "string", default: "info", help: logLevels.join(", ") },
  "dry-run": {
    type: "boolean",
    default: "false",
    help: "treat every policy as mode Audit: judge and report, change nothing",
  },
  "cluster-domain": { type: "string", default: "cluster.local", help: "DNS domain of the cluster" },
  "sweep-interval": { type: "string", default: "30s", help: "time between two judgements of every instance" },
  "relist-interval": { type: "string", default: "5m", help: "time between two complete lists of every watched kind" },
  "freshness-limit": {
    type: "string",
    default: "15s",
    help: "age from which a view of the cluster or of a registry decides nothing",
  },
  admission: {
    type: "string",
    default: "auto",
    help:
      "how new pods are made to obey policies: webhook; policy (MutatingAdmissionPolicy objects of the API server's, " +
      "Kubernetes 1.36); none (they are not); auto (webhook as soon as the configuration of " +
      "--webhook-configuration-name exists; until then policy where the API server serves it, else none)",
  },
  "webhook-bind-address": { type: "string", default: ":9443", help: "where the webhook answers (HTTPS)" },
  "webhook-cert-dir": {
    type: "string",
    help:
      "directory with tls.crt and tls.key for the webhook, read again when they change; whoever issues them writes " +
      "caBundle too; default: the operator makes its own certificates",
  },
  "webhook-service-name": {
    type: "string",
    default: "hygeia-webhook-service",
    help: "Service in --namespace by which the API server reaches the webhook; its certificate is made out to it",
  },
  "webhook-configuration-name": {
    type: "string",
    default: "hygeia-mutating-webhook-configuration",
    help: "MutatingWebhookConfiguration whose caBundle the operator keeps",
  },
  "webhook-ca-secret-name": {
    type: "string",
    default: "hygeia-webhook-ca",
    help: "Secret in --namespace with the certificate authority of the webhook",
  },
  "webhook-ca-lifetime": {
    type: "string",
    default: "8760h",
    help: "life of that authority; a new one is published at two thirds of it",
  },
  "webhook-certificate-lifetime": {
    type: "string",
    default: "168h",
    help: "life of the webhook's certificate, made anew at two thirds of it; at most a quarter of the authority's",
  },
  version: { type: "boolean", default: "false", help: "show the version, its commit where it is known, and Node's" },
  help: { type: "boolean", default: "false", help: "show this text" },
} as const satisfies Record<string, FlagText>;

/** The text that --help prints. */
export function usage(): string {
  const lines = Object.entries(texts).map(([name, flag]: [string, FlagText]) => {
    const preset = flag.default === undefined ? "" : ` (default ${flag.default})`;
    return `  --${name.padEnd(30)} ${flag.help}${preset}`;
  });
  return ["Usage: hygeia [flags]", "", ...lines, ""].join("\n");
}

/**
 * @param args without the program's own name
 * @returns `Help` or `Version` when only that text is asked for
 * @throws FlagError
 */
export function parseFlags(args: readonly string[], env: NodeJS.ProcessEnv): Flags | "Help" | "Version" {
  const values = read(args);
  if (boolean("help", values.help)) return "Help";
  if (boolean("version", values.version)) return "Version";
  return {
    kubeconfig: values.kubeconfig,
    namespace: values.namespace ?? env["POD_NAMESPACE"] ?? "hygeia-system",
    leaderElect: boolean("leader-elect", values["leader-elect"]),
    leaseName: values["leader-elect-lease-name"],
    metricsBindAddress: values["metrics-bind-address"],
    healthProbeBindAddress: values["health-probe-bind-address"],
    logLevel: oneOf("log-level", values["log-level"], logLevels),
    dryRun: boolean("dry-run", values["dry-run"]),
    clusterDomain: values["cluster-domain"],
    sweepIntervalMs: duration("sweep-interval", values["sweep-interval"], 100),
    relistIntervalMs: duration("relist-interval", values["relist-interval"], 1_000),
    freshnessLimitMs: duration("freshness-limit", values["freshness-limit"], 12_000),
    webhook: webhookSettings(values),
  };
}

/** So often a replica looks whether another has changed the authorities; leaves live for days. */
const LOOK_EVERY_MS = 30_000;

function webhookSettings(values: Values): WebhookSettings {
  const authorityMs = duration("webhook-ca-lifetime", values["webhook-ca-lifetime"], 60_000);
  const leafMs = duration("webhook-certificate-lifetime", values["webhook-certificate-lifetime"], 15_000);
  if (leafMs * 4 > authorityMs) {
    const given = `--webhook-certificate-lifetime=${values["webhook-certificate-lifetime"]}`;
    throw new FlagError(`${given}: must be at most a quarter of --webhook-ca-lifetime`);
  }
  if (values["webhook-bind-address"] === "0")
    throw new FlagError("--webhook-bind-address=0: write :9443, or --admission=none to do without the webhook");
  if (values["webhook-cert-dir"] === "") throw new FlagError("--webhook-cert-dir: write the path of a directory");
  return {
    mode: oneOf("admission", values.admission, admissionModes),
    address: values["webhook-bind-address"],
    certificateDirectory: values["webhook-cert-dir"],
    serviceName: values["webhook-service-name"],
    configurationName: values["webhook-configuration-name"],
    secretName: values["webhook-ca-secret-name"],
    lifetimes: lifetimesOf(authorityMs, leafMs),
    lookEveryMs: Math.min(LOOK_EVERY_MS, leafMs / 10),
  };
}

/** Values as text, by flag; what was not given and has no default is undefined. */
function read(args: readonly string[]) {
  const isBoolean = (name: string): boolean =>
    Object.hasOwn(texts, name) && texts[name as keyof typeof texts].type === "boolean";
  const spelled = args.map((arg) => (arg.startsWith("--") && isBoolean(arg.slice(2)) ? `${arg}=true` : arg));
  const options = Object.fromEntries(Object.keys(texts).map((name) => [name, { type: "string" as const }]));
  let given: Partial<Record<string, string>>;
  try {
    given = parseArgs({ args: spelled, options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new FlagError(`${error instanceof Error ? error.message : String(error)}; --help shows all flags`);
  }
  const presets = Object.entries(texts).map(([name, flag]: [string, FlagText]) => [name, flag.default]);
  return { ...Object.fromEntries(presets), ...given } as Values;
}

type Values = {
  readonly [Name in keyof typeof texts]: (typeof texts)[Name] extends { default: string } ? string : string | undefined;
};

function boolean(name: string, value: string): boolean {
  return oneOf(name, value, ["true", "false"]) === "true";
}

function oneOf<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined) throw new FlagError(`--${name}=${value}: write one of ${allowed.join(", ")}`);
  return found;
}

function duration(name: string, text: string, leastMs: number): number {
  let ms: number;
  try {
    ms = parseDuration(text);
  } catch {
    throw new FlagError(`--${name}=${text}: write a duration such as 30s or 1m30s`);
  }
  if (ms < leastMs) throw new FlagError(`--${name}=${text}: must be at least ${leastMs} ms`);
  return ms;
}
