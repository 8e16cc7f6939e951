import { systemClock } from "./clock/system.ts";
import { FlagError, parseFlags, usage } from "./flags.ts";
import { loadKubeConfig } from "./kube/transport.ts";
import { Operator } from "./operator.ts";
import { serveHttp } from "./telemetry/http.ts";
import { createLogger, type Logger } from "./telemetry/log.ts";
import { createMetrics } from "./telemetry/metrics.ts";
import { buildInfo, describeBuild } from "./version.ts";

/** How long scrapes and probes under way may take at the end. */
const LAST_ANSWERS_MS = 1_000;
/** Ctrl-C in a terminal reaches a process under npm twice at once; what comes later is a person who will not wait. */
const SAME_SIGNAL_MS = 1_000;
/** When everything has ended, nothing should keep the process; should something all the same, it is not waited for. */
const LEFTOVERS_MS = 2_000;

const signals = { SIGTERM: 15, SIGINT: 2 } as const;

async function main(): Promise<void> {
  const flags = parseFlags(process.argv.slice(2), process.env);
  const build = buildInfo(process.env);
  if (flags === "Help" || flags === "Version") {
    process.stdout.write(flags === "Help" ? usage() : describeBuild(build));
    return;
  }
  const log = createLogger({ level: flags.logLevel });
  endOnMistakes(log);
  const metrics = createMetrics({ ...build, processMetrics: true });
  const stop = stopOnSignals(log);
  log.info({ ...build, flags }, "starting");
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
    await operator.run(stop);
  } finally {
    await http.close(LAST_ANSWERS_MS);
  }
  log.info("stopped");
}

/** @returns a signal that aborts at the first SIGTERM or SIGINT; a later one ends the process at once */
function stopOnSignals(log: Logger): AbortSignal {
  const stop = new AbortController();
  let firstAt: number | undefined;
  for (const [name, number] of Object.entries(signals)) {
    process.on(name, () => {
      const now = systemClock.monotonic();
      firstAt ??= now;
      if (!stop.signal.aborted) {
        log.info({ signal: name }, "told to stop: ends what is under way; a second signal ends the process at once");
        stop.abort();
      } else if (now - firstAt > SAME_SIGNAL_MS) {
        log.warn({ signal: name }, "told to stop again: what is under way is left to the next leader");
        process.exit(128 + number);
      }
    });
  }
  return stop.signal;
}

/** What nobody caught leaves a state that nobody knows: better no process, and the other replica leads. */
function endOnMistakes(log: Logger): void {
  process.on("uncaughtException", (error, origin) => {
    log.fatal({ err: error, origin }, "a mistake in the program: the process ends");
    process.exit(1);
  });
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
systemClock.setTimer(() => process.exit(), LEFTOVERS_MS);
