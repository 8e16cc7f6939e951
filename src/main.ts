import { readFileSync } from "node:fs";

import { systemClock } from "./clock/system.ts";
import { FlagError, parseFlags, usage } from "./flags.ts";
import { loadKubeConfig } from "./kube/transport.ts";
import { Operator } from "./operator.ts";
import { serveHttp } from "./telemetry/http.ts";
import { createLogger } from "./telemetry/log.ts";
import { createMetrics } from "./telemetry/metrics.ts";

/** Kubernetes sends SIGKILL 30 s after SIGTERM by default. */
const LAST_ANSWERS_MS = 1_000;

async function main(): Promise<void> {
  const flags = parseFlags(process.argv.slice(2), process.env);
  if (flags === undefined) {
    process.stdout.write(usage());
    return;
  }
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  const log = createLogger({ level: flags.logLevel });
  const metrics = createMetrics({ version, processMetrics: true });
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.once(name, () => {
      log.info({ signal: name }, "told to stop");
      stop.abort();
    });
  }
  log.info({ version, node: process.versions.node, flags }, "starting");
  const operator = new Operator({
    flags,
    config: await loadKubeConfig(flags.kubeconfig),
    clock: systemClock,
    random: Math.random,
    log,
    metrics,
  });
  const http = await serveHttp({
    probeAddress: flags.healthProbeBindAddress,
    metricsAddress: flags.metricsBindAddress,
    ready: operator.ready,
    metrics,
    clock: systemClock,
    log,
  });
  log.info({ probePort: http.probePort, metricsPort: http.metricsPort }, "serving");
  try {
    await operator.run(stop.signal);
  } finally {
    await http.close(LAST_ANSWERS_MS);
  }
  log.info("stopped");
}

try {
  await main();
} catch (error) {
  if (error instanceof FlagError) {
    process.stderr.write(`hygeia: ${error.message}\n`);
    process.exitCode = 2;
  } else {
    createLogger().fatal({ err: error }, "cannot go on");
    process.exitCode = 1;
  }
}
