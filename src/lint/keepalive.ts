/**
 * Whether a TCP keepalive fits into what connections pass through: every hop forgets a connection on which nothing has
 * moved for a time, and the probes must come well before that. docs/pods.md has a worked example.
 */
import { parseDuration } from "../api/v1alpha1/duration.ts";
import type {
  RegistrationPolicyKeepalive,
  RegistrationPolicyPath,
  RegistrationPolicySpec,
} from "../api/v1alpha1/index.ts";
import type { Finding, Severity } from "./finding.ts";
import { PRESETS } from "./paths.ts";

/** What is said about one path of the policy. */
export interface PathFinding extends Finding {
  /** Its name in the policy. */
  readonly path: string;
  /** After so long without traffic it forgets a connection, seconds; undefined when the policy does not say. */
  readonly idleTimeoutSeconds: number | undefined;
}

/** What there is to say about `spec.keepalive`. Times in seconds. */
export interface KeepaliveLint {
  readonly time: number;
  readonly interval: number;
  readonly probes: number;
  /** A peer that is gone is found out so long after the last traffic. */
  readonly detection: number;
  /** Probes that a thousand idle sockets send in a second; each is answered. */
  readonly probesPerSecondPerThousandSockets: number;
  /** One for each path, in the order of the policy. */
  readonly paths: readonly PathFinding[];
  /** What is not about one path. */
  readonly findings: readonly Finding[];
}

/** After so long without a sign of life from an instance it is no longer listed, or no longer believed. */
export interface Forgetting {
  readonly seconds: number;
  /** Whether the policy says so, or the registry does it by itself. */
  readonly by: "SilentFor" | "TTL";
}

/** What nobody can see in a policy and everybody must know. */
export const EFFECTIVE_FOR = "effective only for sockets with SO_KEEPALIVE and no times of their own";

interface Times {
  readonly time: number;
  readonly interval: number;
  readonly probes: number;
}

/** The rule of thumb for a keepalive that holds a connection: the hop must still know it after three lost probes. */
const PROBES_BEFORE_FORGOTTEN = 3;
/** One probe may be lost, and so much time is left then, seconds. */
const MARGIN_SECONDS = 30;

/**
 * @param keepalive of a policy that fits the schema
 * @param forgetting undefined when it is not known
 */
export function lintKeepalive(
  keepalive: RegistrationPolicyKeepalive,
  forgetting: Forgetting | undefined,
): KeepaliveLint {
  const times = {
    time: seconds(keepalive.time),
    interval: seconds(keepalive.interval),
    probes: keepalive.probes,
  };
  const detection = times.time + times.interval * times.probes;
  return {
    ...times,
    detection,
    probesPerSecondPerThousandSockets: 1000 / times.time,
    paths: (keepalive.paths ?? []).map((path, index) => judgePath(path, index, times)),
    findings: judgeDetection(detection, times, forgetting),
  };
}

/**
 * Whether the sysctls of `spec.keepalive` may be set: no path would forget connections that live. True also where
 * there is no keepalive or no path.
 */
export function keepaliveNests({ keepalive }: Pick<RegistrationPolicySpec, "keepalive">): boolean {
  if (keepalive === undefined) return true;
  return lintKeepalive(keepalive, undefined).paths.every(({ severity }) => severity !== "Refused");
}

function judgePath(path: RegistrationPolicyPath, index: number, times: Times): PathFinding {
  const preset = path.preset === undefined ? undefined : PRESETS[path.preset];
  const idle = path.idleTimeout === undefined ? preset?.idleTimeoutSeconds : seconds(path.idleTimeout);
  const counts = (path.tcpKeepalive ?? preset?.tcpKeepalive ?? "Counts") === "Counts";
  const finding = (severity: Severity, code: string, says: string): PathFinding => ({
    severity,
    code,
    field: `spec.keepalive.paths[${index}]`,
    message: `path ${describe(path, idle)}: ${says}`,
    path: path.name,
    idleTimeoutSeconds: idle,
  });
  if (idle === undefined) {
    return finding("Refused", "IdleTimeoutUnknown", "it has neither an idleTimeout nor a preset: write one of them");
  }
  if (!counts) return finding("Warning", "KeepaliveIgnored", ignored(idle));
  const { time, interval } = times;
  const lastProbe = time + PROBES_BEFORE_FORGOTTEN * interval;
  if (lastProbe >= idle) {
    const sum = `time + 3 x interval = ${time}s + 3 x ${interval}s = ${lastProbe}s is not below ${idle}s`;
    return finding(
      "Refused",
      "CutsConnections",
      `${sum}: it would forget connections that live. ${advice(idle, times)}`,
    );
  }
  const narrow = narrowMargins(idle, times);
  if (narrow.length > 0) {
    return finding("Warning", "NarrowMargin", `${narrow.join(", and ")}. ${advice(idle, times)}`);
  }
  const left = idle - (time + 2 * interval);
  return finding("Fine", "Nested", `time + 2 x interval = ${time + 2 * interval}s, which leaves ${left}s`);
}

function describe({ name, preset }: RegistrationPolicyPath, idle: number | undefined): string {
  const facts = [...(preset === undefined ? [] : [preset]), ...(idle === undefined ? [] : [`idle timeout ${idle}s`])];
  return facts.length === 0 ? name : `${name} (${facts.join(", ")})`;
}

function ignored(idle: number): string {
  return (
    "TCP keepalive does not count there, only data does: " +
    `clients must give up idle connections before ${idle}s, servers after it`
  );
}

function narrowMargins(idle: number, { time, interval }: Times): string[] {
  const withOneLost = time + 2 * interval;
  const narrow: string[] = [];
  if (time > idle / 2) narrow.push(`time ${time}s is more than half of ${idle}s`);
  if (withOneLost > idle - MARGIN_SECONDS) {
    const left = `leaves ${idle - withOneLost}s when a probe is lost, less than ${MARGIN_SECONDS}s`;
    narrow.push(`time + 2 x interval = ${time}s + 2 x ${interval}s = ${withOneLost}s ${left}`);
  }
  return narrow;
}

/** What to write instead. */
function advice(idle: number, { interval }: Times): string {
  const longest = Math.min(
    Math.floor(idle / 2),
    idle - MARGIN_SECONDS - 2 * interval,
    idle - PROBES_BEFORE_FORGOTTEN * interval - 1,
  );
  if (longest >= 1) return `With interval ${interval}s a time of at most ${longest}s fits with every margin`;
  // Three seconds are the shortest keepalive there is: time 1s and interval 1s.
  if (idle < MARGIN_SECONDS + 3) return `${idle}s leaves no room for a keepalive with a margin of ${MARGIN_SECONDS}s`;
  const shorter = Math.max(1, Math.floor((idle - MARGIN_SECONDS) / 5));
  return `No time fits with interval ${interval}s: lower it to ${shorter}s or less`;
}

const forgets: Readonly<Record<Forgetting["by"], string>> = {
  SilentFor: "(spec.registration.zombies.silentFor) after which its registration counts as dead",
  TTL: "(the shortest TTL of the policy's instances, in etcd the usual one of their frameworks) after which the registry forgets it",
};

function judgeDetection(
  detection: number,
  { time, interval, probes }: Times,
  forgetting: Forgetting | undefined,
): Finding[] {
  if (forgetting === undefined || detection <= forgetting.seconds) return [];
  const sum = `time + interval x probes = ${time}s + ${interval}s x ${probes} = ${detection}s`;
  return [
    {
      severity: "Warning",
      code: "SlowDetection",
      field: "spec.keepalive",
      message:
        `a dead peer is found out after ${sum}, later than the ${forgetting.seconds}s of silence ` +
        `${forgets[forgetting.by]}: ` +
        "lower time, interval or probes where callers must notice as soon",
    },
  ];
}

function seconds(duration: string): number {
  return parseDuration(duration) / 1000;
}
