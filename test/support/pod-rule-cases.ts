/** What the rules of the CRD for spec.dns, spec.keepalive, spec.lifecycle and spec.rollout let through and what they refuse. */

/** The parts of a RegistrationPolicy's spec that are about pods. */
export interface PodSpecs {
  readonly dns?: object;
  readonly keepalive?: object;
  readonly lifecycle?: object;
  readonly rollout?: object;
}

export interface PodRuleCase {
  /** The beginning of the rule's message. */
  readonly message: string;
  /** Where the mistake is. */
  readonly field: string;
  readonly accepted: readonly PodSpecs[];
  readonly refused: readonly PodSpecs[];
}

const TIMES = { time: "300s", interval: "30s", probes: 3 };

const dns = (fields: object): PodSpecs => ({ dns: fields });
/** That asks for something else too. */
const dnsToo = (fields: object): PodSpecs => dns({ ndots: 2, ...fields });
const option = (fields: object): PodSpecs => dns({ options: [fields] });
const keepalive = (fields: object): PodSpecs => ({ keepalive: { ...TIMES, ...fields } });
const path = (fields: object): PodSpecs => keepalive({ paths: [{ name: "nlb", ...fields }] });
const lifecycle = (fields: object): PodSpecs => ({ lifecycle: fields });
const rollout = (fields: object): PodSpecs => ({ dns: { ndots: 2 }, rollout: fields });
const maintenance = (duration: string): PodSpecs =>
  rollout({ maintenanceWindow: { schedule: "0 2 * * 1-5", duration } });

/** Nine domains that make a search line of so many characters. */
function searchesOf(length: number): string[] {
  const eight = Array.from({ length: 8 }, (_, i) => `${i}${"d".repeat(252)}`);
  return [...eight, "x".repeat(length - 8 * 254)];
}

export const POD_RULES: Record<string, PodRuleCase> = {
  "what is said of DNS asks for something": {
    message: "spec.dns must have at least one of ndots, searches, nameservers, options and goResolver",
    field: "spec.dns",
    accepted: [
      { ndots: 1 },
      { searches: ["svc.cluster.local"] },
      { nameservers: ["10.96.0.10"] },
      { options: [{ name: "use-vc" }] },
      { goResolver: "Go", goContainers: ["app"] },
    ].map(dns),
    refused: [{}, { onConflict: "Override" }, { libc: "Musl" }, { searchMode: "Append", goResolver: "Unset" }].map(dns),
  },
  "search domains are within what a kubelet writes": {
    message: "spec.dns.searches must be at most 2048 characters long together",
    field: "spec.dns.searches",
    accepted: [dns({ searches: ["svc.cluster.local"] }), dns({ searches: searchesOf(2048) })],
    refused: [dns({ searches: searchesOf(2049) })],
  },
  "name servers are addresses": {
    message: "spec.dns.nameservers must hold IP addresses",
    field: "spec.dns.nameservers[0]",
    accepted: [dns({ nameservers: ["10.96.0.10", "fd00::a"] })],
    refused: ["kube-dns", "10.96.0.10:53", "10.96.0.256", "fe80::1%eth0"].map((address) =>
      dns({ nameservers: [address] }),
    ),
  },
  "an option has a number exactly when it takes one": {
    message: "value must be a number from 1 to 30 for timeout and from 1 to 5 for attempts",
    field: "spec.dns.options[0].value",
    accepted: [
      { name: "timeout", value: "1" },
      { name: "timeout", value: "30" },
      { name: "attempts", value: "5" },
      { name: "use-vc" },
    ].map(option),
    refused: [
      { name: "timeout" },
      { name: "timeout", value: "0" },
      { name: "timeout", value: "31" },
      { name: "timeout", value: "2s" },
      { name: "attempts", value: "6" },
      { name: "attempts", value: "" },
      { name: "use-vc", value: "1" },
    ].map(option),
  },
  "Go's resolver is chosen for containers that are named": {
    message: "spec.dns.goContainers must name the containers when goResolver is Go or Cgo",
    field: "spec.dns",
    accepted: [
      dns({ goResolver: "Go", goContainers: ["app"] }),
      dns({ goResolver: "Cgo", goContainers: ["app", "sidecar"] }),
      dnsToo({ goResolver: "Unset" }),
    ],
    refused: [
      dns({ goResolver: "Go" }),
      dns({ goResolver: "Cgo" }),
      dnsToo({ goContainers: ["app"] }),
      dnsToo({ goResolver: "Unset", goContainers: ["app"] }),
    ],
  },
  "search domains are replaced by some": {
    message: "spec.dns.searches must hold at least one domain when searchMode is Replace",
    field: "spec.dns",
    accepted: [dns({ searchMode: "Replace", searches: ["svc.cluster.local"] }), dnsToo({ searchMode: "Append" })],
    refused: [dnsToo({ searchMode: "Replace" })],
  },
  "a connection is idle for some time before it is probed": {
    message: "spec.keepalive.time must be a duration from 1s to 32767s",
    field: "spec.keepalive.time",
    accepted: ["1s", "5m", "1h30m", "32767s"].map((time) => keepalive({ time })),
    refused: ["0s", "32768s", "10h", "300", "300ms", "-1s"].map((time) => keepalive({ time, paths: somePaths() })),
  },
  "two probes have some time between them": {
    message: "spec.keepalive.interval must be a duration from 1s to 32767s",
    field: "spec.keepalive.interval",
    accepted: ["1s", "75s", "32767s"].map((interval) => keepalive({ interval })),
    refused: ["0s", "32768s", "75", "1500ms"].map((interval) => keepalive({ interval, paths: somePaths() })),
  },
  "a closed connection is forgotten in bounded time": {
    message: "spec.keepalive.finTimeout must be a duration from 1s to 120s",
    field: "spec.keepalive.finTimeout",
    accepted: ["1s", "30s", "2m"].map((finTimeout) => keepalive({ finTimeout })),
    refused: ["0s", "121s", "30"].map((finTimeout) => keepalive({ finTimeout })),
  },
  "a hop forgets after a time": {
    message: "idleTimeout must be a duration from 1s to 168h",
    field: "spec.keepalive.paths[0].idleTimeout",
    accepted: ["391s", "900s", "168h"].map((idleTimeout) => path({ idleTimeout })),
    refused: ["0s", "169h", "900", "never"].map((idleTimeout) => path({ idleTimeout })),
  },
  "a hop's time is known": {
    message: "a path must have an idleTimeout or a preset",
    field: "spec.keepalive.paths[0]",
    accepted: [
      path({ idleTimeout: "900s" }),
      path({ preset: "IPVS" }),
      path({ preset: "IPVS", idleTimeout: "600s", tcpKeepalive: "Counts" }),
    ],
    refused: [path({}), path({ tcpKeepalive: "Counts" })],
  },
  "a keepalive fits into every hop where it counts": {
    message: "spec.keepalive must have time + 3 x interval below the idleTimeout of every path",
    field: "spec.keepalive",
    accepted: [
      path({ idleTimeout: "391s" }),
      path({ idleTimeout: "60s", tcpKeepalive: "Ignored" }),
      // A preset may say that keepalive is ignored there.
      path({ idleTimeout: "60s", preset: "AWSALB" }),
    ],
    refused: [
      path({ idleTimeout: "390s" }),
      path({ idleTimeout: "6m", tcpKeepalive: "Counts" }),
      keepalive({ paths: [...somePaths(), { name: "azure", idleTimeout: "4m" }] }),
    ],
  },
  "a pod that sleeps has time left to end": {
    message: "spec.lifecycle.preStopSleepSeconds must be less than terminationGracePeriodSeconds",
    field: "spec.lifecycle",
    accepted: [
      lifecycle({ terminationGracePeriodSeconds: 30, preStopSleepSeconds: 29 }),
      lifecycle({ terminationGracePeriodSeconds: 30 }),
      lifecycle({ preStopSleepSeconds: 3000 }),
    ],
    refused: [
      lifecycle({ terminationGracePeriodSeconds: 30, preStopSleepSeconds: 30 }),
      lifecycle({ terminationGracePeriodSeconds: 5, preStopSleepSeconds: 60 }),
    ],
  },
  "few workloads are evicted from at the same time": {
    message: "spec.rollout.maxConcurrentWorkloads must be at most 5 with strategy Evict",
    field: "spec.rollout",
    accepted: [
      rollout({ strategy: "Evict", maxConcurrentWorkloads: 5 }),
      rollout({ strategy: "Evict" }),
      rollout({ strategy: "Template", maxConcurrentWorkloads: 20 }),
      rollout({ maxConcurrentWorkloads: 20 }),
    ],
    refused: [
      rollout({ strategy: "Evict", maxConcurrentWorkloads: 6 }),
      rollout({ strategy: "Evict", maxConcurrentWorkloads: 20 }),
    ],
  },
  "a workload has some time to become available, and not for ever": {
    message: "spec.rollout.availableWithin must be a duration from 10s to 24h",
    field: "spec.rollout.availableWithin",
    accepted: ["10s", "24h", "1h30m"].map((availableWithin) => rollout({ availableWithin })),
    refused: ["9s", "24h1s", "25h"].map((availableWithin) => rollout({ availableWithin })),
  },
  "a maintenance window is open for a while": {
    message: "spec.rollout.maintenanceWindow.duration must be a duration from 1m to 168h",
    field: "spec.rollout.maintenanceWindow.duration",
    accepted: ["1m", "2h", "168h"].map(maintenance),
    refused: ["0m", "169h", "10081m"].map(maintenance),
  },
};

function somePaths(): object[] {
  return [{ name: "ipvs", idleTimeout: "900s" }];
}
