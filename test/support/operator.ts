import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { request } from "undici";

import { type ManagedProcess, Scope, writeKubeconfig } from "../env/index.ts";
import type { KubeProxy } from "../env/proxy/index.ts";
import type { ClusterAccess } from "./cluster-fixture.ts";
import { installOperator, OPERATOR_NAMESPACE, operatorNodeOptions, operatorToken } from "./operator-install.ts";
import { type LogLine, OperatorLog } from "./operator-log.ts";
import { MetricsReading } from "./operator-metrics.ts";
import { eventually } from "./operator-wait.ts";

export interface OperatorOptions {
  /** Where it is installed, with the administrator's access. */
  readonly cluster: ClusterAccess;
  /** Stands between the operator and the API server. */
  readonly proxy?: KubeProxy;
  /** Flags without the dashes, besides those that say where things are. Leader election is off by default. */
  readonly flags?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** What node runs, and where; default src/main.ts, here. */
  readonly program?: { readonly args: readonly string[]; readonly cwd: string };
  /** What an answer 403 of the API server means to the test: default, that it fails. */
  readonly denials?: "Fail" | "Expected";
  /** Name of the process in messages; default `operator`. */
  readonly name?: string;
}

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const HTTP_TIMEOUT_MS = 2_000;

/**
 * Starts the operator as `node src/main.ts`, with exactly the rights and Node options that config/default gives it (which
 * is applied first where it is not yet), and waits until its process answers. It ends with its parent.
 */
export async function startOperator(options: OperatorOptions): Promise<Operator> {
  const { cluster, proxy, name = "operator" } = options;
  const program = options.program ?? { args: [MAIN], cwd: process.cwd() };
  await installOperator(cluster);
  const scope = new Scope();
  const directory = scope.directory(name);
  const kubeconfig = join(directory, "kubeconfig");
  const [token, nodeOptions] = await Promise.all([operatorToken(cluster), operatorNodeOptions(cluster)]);
  if (proxy === undefined) writeKubeconfig(kubeconfig, { url: cluster.url, caFile: cluster.caFile, token });
  else proxy.writeKubeconfig(kubeconfig, token);
  const [probePort = 0, metricsPort = 0] = await scope.ports(2);
  const flags = {
    kubeconfig,
    namespace: OPERATOR_NAMESPACE,
    "leader-elect": "false",
    "health-probe-bind-address": `127.0.0.1:${probePort}`,
    "metrics-bind-address": `127.0.0.1:${metricsPort}`,
    ...options.flags,
  };
  const logFile = join(directory, "log");
  const probe = (path: string): Promise<HttpAnswer> => get(`http://127.0.0.1:${probePort}${path}`);
  try {
    const process = await scope.start({
      name,
      command: globalThis.process.execPath,
      args: [...program.args, ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)],
      env: { NODE_OPTIONS: nodeOptions, ...options.env },
      cwd: program.cwd,
      logFile,
      ready: async () => (await probe("/healthz")).status === 200,
      stopGrace: 10_000,
    });
    const scrape = (): Promise<HttpAnswer> => get(`http://127.0.0.1:${metricsPort}/metrics`);
    return new Operator({ process, scope, logFile, probe, scrape, options });
  } catch (error) {
    await scope.stop();
    throw error;
  }
}

interface HttpAnswer {
  readonly status: number;
  readonly text: string;
}

interface OperatorParts {
  readonly process: ManagedProcess;
  readonly scope: Scope;
  readonly logFile: string;
  readonly probe: (path: string) => Promise<HttpAnswer>;
  readonly scrape: () => Promise<HttpAnswer>;
  readonly options: OperatorOptions;
}

/** The operator under test: a process of its own, seen through its log, its metrics and its probes. */
export class Operator {
  readonly log: OperatorLog;
  readonly #parts: OperatorParts;
  readonly #denials = new Set<string>();
  #stopped = false;

  constructor(parts: OperatorParts) {
    this.#parts = parts;
    this.log = new OperatorLog(parts.logFile);
  }

  get pid(): number {
    return this.#parts.process.pid;
  }

  /** Resolves when the present run has ended, with its exit code. */
  get exited(): Promise<number | null> {
    return this.#parts.process.exited;
  }

  async metrics(): Promise<MetricsReading> {
    const startedAt = performance.now();
    const { text } = await this.#parts.scrape();
    const reading = new MetricsReading(text, startedAt);
    const denied = reading.sum("rest_client_requests_total", { code: "403" });
    if (denied > 0) this.#denials.add(`rest_client_requests_total{code="403"} is ${denied}`);
    return reading;
  }

  /** What /readyz says, every check by name. */
  async readiness(): Promise<{ readonly ready: boolean; readonly text: string }> {
    const { status, text } = await this.#parts.probe("/readyz?verbose");
    return { ready: status === 200, text };
  }

  /** Waits until /readyz says so. */
  async untilReady(within?: number): Promise<void> {
    await eventually("the operator is ready", async () => (await this.readiness()).ready, within);
  }

  /**
   * Waits until its view holds everything that the API server had committed before this call.
   * @param poke called between looks; a change of some pod lets the view advance before the next bookmark
   */
  async untilCaughtUp(poke: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    const since = performance.now();
    await eventually("the view of the cluster has caught up", async () => {
      await poke();
      const reading = await this.metrics();
      return reading.startedAt - reading.sum("hygeia_cluster_view_age_seconds") * 1000 > since;
    });
  }

  /** Ends the process; default SIGKILL. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    await this.metrics().catch(() => undefined);
    await this.#parts.process.kill(signal);
  }

  /** SIGSTOP. */
  pause(): void {
    this.#parts.process.pause();
  }

  /** SIGCONT. */
  resume(): void {
    this.#parts.process.resume();
  }

  /** Runs it again with the same flags, after {@link kill} or instead of it, and waits until its process answers. */
  async restart(): Promise<void> {
    await this.kill();
    await this.#parts.process.start();
  }

  /**
   * Ends it as a kubelet does. A second time it does nothing.
   * @throws Error when the API server denied it something during the test, unless that is expected
   */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    await this.metrics().catch(() => undefined);
    await this.#parts.process.stop();
    const denials = this.#parts.options.denials === "Expected" ? [] : this.#findDenials();
    this.#keepLog();
    await this.#parts.scope.stop();
    if (denials.length > 0) throw new Error(`the API server denied the operator something:\n${denials.join("\n")}`);
  }

  /** Where the environment names a directory for it, the log outlives the test. */
  #keepLog(): void {
    const directory = globalThis.process.env["HYGEIA_TEST_LOGS"];
    if (directory === undefined) return;
    mkdirSync(directory, { recursive: true });
    copyFileSync(this.#parts.logFile, join(directory, `${this.#parts.process.name}-${this.pid}.log`));
  }

  #findDenials(): string[] {
    const lines = this.log.lines.map((line) => JSON.stringify(line)).filter((line) => /\bForbidden\b/i.test(line));
    return [...this.#denials, ...lines];
  }

  /** The last lines of the log, for the message of a failed test. */
  tail(lines = 40): string {
    return this.log.lines
      .slice(-lines)
      .map((line: LogLine) => JSON.stringify(line))
      .join("\n");
  }
}

async function get(url: string): Promise<HttpAnswer> {
  const signal = AbortSignal.timeout(HTTP_TIMEOUT_MS);
  const { statusCode: status, body } = await request(url, { signal });
  return { status, text: await body.text() };
}
