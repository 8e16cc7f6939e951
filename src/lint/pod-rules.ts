/**
 * The rules between fields that the API server applies to a spec as a whole, and to `spec.dns`, `spec.keepalive`,
 * `spec.lifecycle` and `spec.rollout` (crds/), for a policy that no API server has seen. That a keepalive fits into its paths is lintKeepalive()'s to say.
 */
import { parseDuration } from "../api/v1alpha1/duration.ts";
import type {
  FieldProblem,
  RegistrationPolicyDns,
  RegistrationPolicyKeepalive,
  RegistrationPolicyLifecycle,
  RegistrationPolicyRollout,
  RegistrationPolicySpec,
} from "../api/v1alpha1/index.ts";
import { canonicalIp } from "../net/address.ts";
import { MAX_SEARCH_CHARACTERS, searchLength } from "./resolver.ts";

/** Of the schema. */
const MOST_AT_ONCE_WITH_EVICT = 5;

type Parts = Pick<RegistrationPolicySpec, "registration" | "dns" | "keepalive" | "lifecycle" | "rollout">;

/** @param spec that fits the schema */
export function podRuleProblems(spec: Parts): readonly FieldProblem[] {
  const { dns, keepalive, lifecycle, rollout } = spec;
  return [
    ...emptySpecProblems(spec),
    ...(dns === undefined ? [] : dnsProblems(dns)),
    ...(keepalive === undefined ? [] : keepaliveProblems(keepalive)),
    ...(lifecycle === undefined ? [] : lifecycleProblems(lifecycle)),
    ...(rollout === undefined ? [] : rolloutProblems(rollout)),
  ];
}

/** A policy is about something. */
export function emptySpecProblems({ registration, dns, keepalive, lifecycle }: Parts): readonly FieldProblem[] {
  return problem(
    [registration, dns, keepalive, lifecycle].every((part) => part === undefined),
    "spec",
    "must have at least one of registration, dns, keepalive and lifecycle: without any the policy would do nothing",
  );
}

function dnsProblems(dns: RegistrationPolicyDns): FieldProblem[] {
  const { ndots, searches = [], nameservers = [], options = [], goContainers, goResolver, searchMode } = dns;
  return [
    ...problem(
      ndots === undefined &&
        [searches, nameservers, options].every(({ length }) => length === 0) &&
        goResolver === "Unset",
      "spec.dns",
      "must have at least one of ndots, searches, nameservers, options and goResolver: without any it would do nothing",
    ),
    ...problem(
      searchLength(searches) > MAX_SEARCH_CHARACTERS,
      "spec.dns.searches",
      `must be at most ${MAX_SEARCH_CHARACTERS} characters long together, spaces between them included: remove some`,
    ),
    ...nameservers.flatMap((address, i) =>
      problem(
        canonicalIp(address) === undefined,
        `spec.dns.nameservers[${i}]`,
        "must be an IP address, for example 10.96.0.10",
      ),
    ),
    ...options.flatMap(({ name, value }, i) =>
      problem(
        !isValueOf(name, value),
        `spec.dns.options[${i}].value`,
        "must be a number from 1 to 30 for timeout and from 1 to 5 for attempts, and absent for the other options",
      ),
    ),
    ...problem(
      (goResolver === "Unset") !== (goContainers === undefined),
      "spec.dns.goContainers",
      "must name the containers when goResolver is Go or Cgo, and be absent when it is Unset",
    ),
    ...problem(
      searchMode === "Replace" && searches.length === 0,
      "spec.dns.searches",
      "must hold at least one domain when searchMode is Replace: add for example svc.cluster.local",
    ),
  ];
}

function isValueOf(name: string, value: string | undefined): boolean {
  const most = { timeout: 30, attempts: 5 }[name];
  if (most === undefined) return value === undefined;
  return value !== undefined && /^[1-9][0-9]?$/.test(value) && Number(value) <= most;
}

function keepaliveProblems({ time, interval, finTimeout, paths = [] }: RegistrationPolicyKeepalive): FieldProblem[] {
  return [
    ...outside("spec.keepalive.time", time, "1s", "32767s", "300s"),
    ...outside("spec.keepalive.interval", interval, "1s", "32767s", "30s"),
    ...outside("spec.keepalive.finTimeout", finTimeout, "1s", "120s", "30s"),
    ...paths.flatMap(({ idleTimeout }, i) =>
      outside(`spec.keepalive.paths[${i}].idleTimeout`, idleTimeout, "1s", "168h", "350s"),
    ),
  ];
}

function lifecycleProblems({
  preStopSleepSeconds: sleep,
  terminationGracePeriodSeconds: grace,
}: RegistrationPolicyLifecycle): FieldProblem[] {
  return problem(
    sleep !== undefined && grace !== undefined && sleep >= grace,
    "spec.lifecycle.preStopSleepSeconds",
    "must be less than terminationGracePeriodSeconds: the sleep is part of the grace period",
  );
}

function rolloutProblems({
  strategy,
  maxConcurrentWorkloads,
  availableWithin,
  maintenanceWindow,
}: RegistrationPolicyRollout): FieldProblem[] {
  return [
    ...problem(
      strategy === "Evict" && maxConcurrentWorkloads > MOST_AT_ONCE_WITH_EVICT,
      "spec.rollout.maxConcurrentWorkloads",
      `must be at most ${MOST_AT_ONCE_WITH_EVICT} with strategy Evict: nothing is added before a pod is taken away`,
    ),
    ...outside("spec.rollout.availableWithin", availableWithin, "10s", "24h", "10m"),
    ...(maintenanceWindow === undefined ? [] : windowProblems(maintenanceWindow)),
  ];
}

/** A schedule that only its reader understands is no rule of the API server: the policy's condition RolledOut tells of it. */
function windowProblems(window: NonNullable<RegistrationPolicyRollout["maintenanceWindow"]>): FieldProblem[] {
  const field = "spec.rollout.maintenanceWindow.duration";
  return outside(field, window.duration, "1m", "168h", "2h");
}

function outside(field: string, value: string | undefined, from: string, to: string, example: string): FieldProblem[] {
  if (value === undefined) return [];
  const ms = parseDuration(value);
  return problem(
    ms < parseDuration(from) || ms > parseDuration(to),
    field,
    `must be a duration from ${from} to ${to}, for example ${example}`,
  );
}

function problem(isOne: boolean, field: string, message: string): FieldProblem[] {
  return isOne ? [{ field, message }] : [];
}
